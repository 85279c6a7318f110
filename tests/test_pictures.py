"""Pixels that are not square, sizes that change: every reader gives one geometry."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from kit.made_clips import draw_number, read_number, write_clip

from preprocessing.config import READERS
from preprocessing.media import decord_frames
from preprocessing.media.decode import probe, video_stream
from preprocessing.media.frames import FrameReader
from preprocessing.media.pictures import PixelShape, is_believable, square_size

COUNT = 20
PICTURES = [draw_number(number) for number in range(COUNT)]  # 128 x 96
WIDE, NARROW = Fraction(2), Fraction(1, 2)


def read_all(path: Path, reader: str = "pyav") -> list[np.ndarray]:
    frames = FrameReader(probe(path), reader)
    found = dict(frames.frames(np.arange(len(frames.time))))
    assert list(found) == list(range(len(frames.time)))
    return list(found.values())


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("shape", [WIDE, NARROW])
@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts"])
def test_squeezed_pictures_get_their_shape_back(tmp_path, reader, shape, name):
    size = (64, 96) if shape > 1 else (128, 48)
    squeezed = [cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in PICTURES]
    path = write_clip(tmp_path / name, squeezed, shape=shape)
    assert [read_number(frame) for frame in read_all(path, reader)] == list(range(COUNT))


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_squeezed_and_turned(tmp_path, degrees):
    stored = [np.rot90(picture, -degrees // 90 % 4) for picture in PICTURES]
    squeezed = [
        cv2.resize(one, (one.shape[1] // 2, one.shape[0])) for one in map(np.ascontiguousarray, stored)
    ]
    path = write_clip(tmp_path / "clip.mp4", squeezed, shape=WIDE, rotation=degrees)
    assert [read_number(frame) for frame in read_all(path)] == list(range(COUNT))


@pytest.mark.parametrize(
    ("stored", "shape", "shown"),
    [
        ((720, 576), Fraction(64, 45), (1024, 576)),
        ((720, 576), Fraction(16, 15), (768, 576)),
        ((720, 480), Fraction(8, 9), (720, 540)),
        ((1440, 1080), Fraction(4, 3), (1920, 1080)),
        ((352, 576), Fraction(24, 11), (768, 576)),
        ((640, 480), None, (640, 480)),
        ((640, 480), Fraction(0), (640, 480)),
        ((640, 480), Fraction(1), (640, 480)),
        ((853, 480), Fraction(853, 854), (853, 480)),  # the shown size was stored in whole pixels
        ((640, 480), Fraction(100), (640, 480)),
        ((640, 480), Fraction(1, 100), (640, 480)),
    ],
)
def test_known_and_unbelievable_shapes(stored, shape, shown):
    assert square_size(*stored, shape) == shown
    assert is_believable(shape) == (shape not in (Fraction(100), Fraction(1, 100)))


def test_an_absurd_shape_is_remarked_and_not_followed(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", PICTURES, shape=Fraction(40))
    assert "are not believed: taken as square" in FrameReader(probe(path)).remark
    assert read_all(path)[0].shape == (96, 128, 3)


def test_a_shape_that_changes_on_the_way(tmp_path):
    """Television that goes over from 16:9 to 4:3: what is stored has one size."""
    tail = {"codec": "mpeg2video", "options": {"g": "5"}}
    one = write_clip(tmp_path / "one.ts", PICTURES, shape=Fraction(4, 3), **tail).read_bytes()
    two = write_clip(tmp_path / "two.ts", PICTURES, shape=Fraction(1), **tail).read_bytes()
    (tmp_path / "clip.ts").write_bytes(one + two)
    frames = read_all(tmp_path / "clip.ts")
    assert {frame.shape for frame in frames} == {(96, 171, 3)}
    bars = [not frame[:, :15].any() and not frame[:, -15:].any() for frame in frames]
    assert not any(bars[: COUNT - 2]) and all(bars[COUNT + 1 :])
    with av.open(str(tmp_path / "clip.ts")) as file:
        assert PixelShape(video_stream(file))() == Fraction(4, 3)


def write_sizes(path: Path, sizes: list[tuple[int, int]]) -> Path:
    """Parts of one clip in several sizes, as the two ends of a video call have them."""
    data = []
    for number, size in enumerate(sizes):
        pictures = [cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST) for picture in PICTURES]
        times = [40 * (COUNT * number + place) + 80 * number for place in range(COUNT)]  # B frames come late
        part = write_clip(path.with_name(f"{number}.ts"), pictures, times_ms=times)
        data.append(part.read_bytes())
    path.write_bytes(b"".join(data))
    return path


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("first", [0, 1])
def test_all_frames_have_the_size_of_the_largest(tmp_path, reader, first):
    sizes = [(128, 96), (256, 192)]
    path = write_sizes(tmp_path / "clip.ts", [sizes[first], sizes[1 - first]])
    frames = read_all(path, reader)
    assert {frame.shape for frame in frames} == {(192, 256, 3)}
    assert [read_number(frame[::2, ::2]) for frame in frames] == [*range(COUNT), *range(COUNT)]


def test_another_shape_gets_bars(tmp_path):
    path = write_sizes(tmp_path / "clip.ts", [(256, 192), (96, 96)])
    frames = read_all(path)
    assert {frame.shape for frame in frames} == {(192, 256, 3)}
    assert not frames[-1][:, :28].any() and not frames[-1][:, -28:].any() and frames[-1][:, 40:80].any()


def test_decord_reads_no_clip_that_would_fill_the_memory(tmp_path, monkeypatch):
    path = write_clip(tmp_path / "clip.mp4", PICTURES)
    assert FrameReader(probe(path), "decord")._decord is not None
    monkeypatch.setattr(decord_frames, "MAX_BYTES", COUNT * 128 * 96 * 3 - 1)
    assert FrameReader(probe(path), "decord")._decord is None
    assert [read_number(frame) for frame in read_all(path, "decord")] == list(range(COUNT))


def test_real_faults_of_shape_and_size(shared):
    folder = shared / "data" / "faults"
    frames = read_all(folder / "anamorphic.mp4")
    assert {frame.shape for frame in frames} == {(360, 480, 3)}
    plain = read_all(folder / "phase.mp4")  # the clip itself
    assert np.abs(frames[30].astype(int) - plain[30]).mean() < 3
    assert {frame.shape for frame in read_all(folder / "ramp.webm")} == {(480, 640, 3)}
