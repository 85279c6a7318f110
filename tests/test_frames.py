"""Frames and their times: made files whose pictures tell their number, real ones against a plain decode.

Every file is read twice, by PyAV and by decord where it may.
"""

from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from kit.made_clips import H264, draw_number, find_packets, make_chirps, overwrite, read_number, write_clip

from preprocessing.config import READERS
from preprocessing.media import decord_frames, frames
from preprocessing.media.decode import MediaError, probe
from preprocessing.media.frames import FrameReader, pick_frames
from preprocessing.media.pictures import upright

COUNT = 40
PICTURES = [draw_number(number) for number in range(COUNT)]
TIMES_MS = np.arange(COUNT) * 40
SWAPPED = H264 | {"preset": "medium", "bf": "3", "g": "12"}  # frames stored in another order than shown
OPEN = H264 | {"preset": "medium", "bf": "3", "g": "6", "x264-params": "open-gop=1"}
HEVC = {"x265-params": "keyint=6:open-gop=1:bframes=3:log-level=none:pools=1:frame-threads=1"}
UNEVEN_MS = TIMES_MS + 3 * np.arange(COUNT) ** 2 % 17 + 200 * (np.arange(COUNT) > 20)


@pytest.fixture(params=READERS)
def reading(request) -> str:
    """Who reads."""
    return request.param


def read(path: Path, reading: str = "pyav", index=None) -> dict[int, np.ndarray]:
    """Frames by their position, all of them without `index`."""
    reader = FrameReader(probe(path), reading)
    return dict(reader.frames(np.arange(len(reader.time)) if index is None else np.asarray(index)))


def check_frames(path: Path, reading: str, times_ms, numbers=range(COUNT), by_decord: bool = True) -> None:
    """All frames, and some of them, are those of their times."""
    reader = FrameReader(probe(path), reading)
    assert (reader._decord is not None) == (by_decord and reading == "decord")
    assert np.allclose(reader.time * 1000, times_ms, atol=0.6)
    every, picked = range(len(numbers)), [0, 3, 4, 9, 17, 18, 33, len(numbers) - 1]
    for index in (every, picked):
        found = read(path, reading, index)
        expected = [(position, numbers[position]) for position in index]
        assert [(position, read_number(frame)) for position, frame in found.items()] == expected


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("plain.mp4", "libx264", H264),
        ("swapped.mp4", "libx264", SWAPPED),
        ("open.mp4", "libx264", OPEN),
        ("open.mkv", "libx264", OPEN),
        ("hevc.mov", "libx265", HEVC),
        ("window.wmv", "wmv2", {"g": "5"}),
        ("old.avi", "mpeg4", {}),
        ("swapped.avi", "mpeg4", {"bf": "2"}),
        ("swapped.flv", "libx264", SWAPPED),
        ("vp9.webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
        (
            "vp8.webm",
            "libvpx",
            {"auto-alt-ref": "1", "lag-in-frames": "16", "cpu-used": "4"},
        ),  # hidden frames
    ],
)
def test_each_frame_comes_at_its_time(tmp_path, reading, name, codec, options):
    path = write_clip(tmp_path / name, PICTURES, codec=codec, options=options)
    check_frames(path, reading, TIMES_MS, by_decord=name != "swapped.avi")  # whose times decord has wrong


@pytest.mark.parametrize("options", [H264, SWAPPED])
def test_variable_rate_keeps_real_times(tmp_path, reading, options):
    path = write_clip(tmp_path / "clip.mp4", PICTURES, times_ms=UNEVEN_MS.tolist(), options=options)
    check_frames(path, reading, UNEVEN_MS)


def test_late_pictures_keep_their_times(tmp_path, reading):
    times = (TIMES_MS + 500).tolist()
    path = write_clip(tmp_path / "clip.mp4", PICTURES, times_ms=times, sound=make_chirps(2.1, 44_100))
    check_frames(path, reading, times)


def test_late_sound_does_not_move_the_pictures(tmp_path, reading):
    sound = make_chirps(1.0, 44_100)
    path = write_clip(tmp_path / "clip.mp4", PICTURES, sound=sound, sound_start_s=0.5)
    check_frames(path, reading, TIMES_MS)


@pytest.mark.parametrize("options", [H264, SWAPPED])
def test_frames_that_an_edit_list_discards_do_not_come(tmp_path, reading, options):
    times = (TIMES_MS - 200).tolist()
    path = write_clip(
        tmp_path / "clip.mp4", PICTURES, times_ms=times, options=options, sound=make_chirps(1.4, 44_100)
    )
    check_frames(path, reading, times[5:], range(5, COUNT), by_decord=False)


@pytest.mark.parametrize("options", [{"g": "12", "bf": "2"}, {"g": "12"}])
def test_program_streams_are_whole(tmp_path, reading, options):
    path = write_clip(
        tmp_path / "clip.mpg",
        PICTURES,
        codec="mpeg1video",
        options=options,
        sound=make_chirps(1.6, 44_100),
        audio_codec="mp2",
    )
    start_ms = probe(path).video_start_s * 1000
    assert 0 < start_ms < 30
    check_frames(path, reading, TIMES_MS + start_ms, by_decord=False)


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_turned_pictures_stand_upright(tmp_path, reading, degrees):
    stored = [upright(picture, -degrees // 90 % 4) for picture in PICTURES]
    check_frames(write_clip(tmp_path / "clip.mp4", stored, rotation=degrees), reading, TIMES_MS)


def test_a_single_frame_is_enough(tmp_path, reading):
    path = write_clip(tmp_path / "clip.mp4", PICTURES[7:8])
    reader = FrameReader(probe(path), reading)
    assert reader.time.tolist() == [0]
    [(position, frame)] = reader.frames(pick_frames(reader.time, 10))
    assert (position, read_number(frame)) == (0, 7)


def test_pyav_goes_on_where_decord_stops(tmp_path, monkeypatch):
    reader = FrameReader(probe(write_clip(tmp_path / "clip.mp4", PICTURES)), "decord")
    whole = reader._decord.next
    calls = iter([whole] * 20)
    monkeypatch.setattr(reader._decord, "next", lambda: next(calls)())
    picked = np.arange(0, COUNT, 3)
    found = [(position, read_number(frame)) for position, frame in reader.frames(picked)]
    assert found == [(number, number) for number in picked]


def test_a_wrong_first_picture_gives_the_clip_to_pyav(tmp_path, monkeypatch):
    info = probe(write_clip(tmp_path / "clip.mp4", PICTURES))
    decord = decord_frames.decord
    monkeypatch.setattr(decord.VideoReader, "next", lambda self: decord.nd.array(PICTURES[9]))
    reader = FrameReader(info, "decord")
    assert reader._decord is None
    assert [read_number(frame) for _, frame in reader.frames(np.array([0, 5]))] == [0, 5]


def test_pictures_that_nobody_asks_for_are_not_decoded(tmp_path):
    """Those that no other picture is built upon, that is: what is asked for stays the same to the bit."""
    path = write_clip(tmp_path / "clip.mp4", PICTURES, options=SWAPPED)
    some = [0, 3, 9, 17, 18, 39]
    whole, picked = read(path), read(path, index=some)
    assert list(picked) == some
    assert all(np.array_equal(whole[position], frame) for position, frame in picked.items())
    with av.open(str(path)) as file:
        wanted = {packet.pts: 0 for packet in file.demux(video=0) if packet.pts in (0, 512)}
        file.seek(0)
        stream = file.streams.video[0]
        assert 2 <= len(list(frames._decode(file.demux(stream), stream, wanted))) < 0.7 * COUNT


def test_a_broken_off_file_gives_the_frames_that_are_there(tmp_path, reading):
    noise = np.random.default_rng(0).integers(0, 256, (COUNT, 96, 128, 3), dtype=np.uint8)
    path = write_clip(tmp_path / "clip.mkv", noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    reader = FrameReader(probe(path), reading)
    assert 0.3 * COUNT < len(reader.time) < 0.7 * COUNT
    assert len(reader.time) / 25 <= reader.span_s < len(reader.time) / 25 + 0.01
    found = read(path, reading)
    assert len(reader.time) - 3 <= len(found) <= len(reader.time)


def test_what_does_not_decode_in_the_middle_shifts_nothing(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", PICTURES, codec="mpeg4", options={"g": "1"})
    overwrite(path, find_packets(path, "video")[10:13], 0x00)
    found = {position: frame for position, frame in read(path).items() if not 10 <= position < 13}
    assert {position: read_number(frame) for position, frame in found.items()} == {
        number: number for number in range(COUNT) if not 10 <= number < 13
    }


def test_a_stream_without_a_decodable_frame(tmp_path, reading):
    path = write_clip(tmp_path / "clip.mp4", PICTURES)
    overwrite(path, find_packets(path, "video"), 0xFF)
    assert read(path, reading, range(5)) == {}


def test_a_picture_that_stands_long_lasts_as_long(tmp_path):
    """Slides: the last picture is as much part of the clip as any."""
    times = [0, 1000, 2000, 9000]
    reader = FrameReader(probe(write_clip(tmp_path / "clip.mp4", PICTURES[:4], times_ms=times)))
    assert np.allclose(reader.time, [0, 1, 2, 9], atol=0.01)
    assert reader.span_s >= 9


def test_the_cover_of_a_sound_file_is_no_video(tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as file:
        cover = file.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 128, 96, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        sound = file.add_stream("aac", rate=16_000, layout="mono")
        file.mux(cover.encode(av.VideoFrame.from_ndarray(PICTURES[3], format="rgb24")))
        for start in range(0, 16_000, 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16_000, start
            file.mux(sound.encode(frame))
        file.mux(sound.encode())
    info = probe(path)
    assert (info.has_video, info.has_audio) == (False, True)


def test_a_video_stream_of_no_packets_is_refused(tmp_path):
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as file:
        video = file.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 128, 96, "yuv420p"
        sound = file.add_stream("pcm_s16le", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.ones((1, 1600), np.int16), format="s16", layout="mono")
        frame.sample_rate = 16_000
        file.mux(sound.encode(frame))
    with pytest.raises(MediaError, match="no decodable frame"):
        FrameReader(probe(path))


def test_picked_frames_are_the_nearest_to_a_grid():
    even = np.arange(75) / 25
    assert np.allclose(np.diff(even[pick_frames(even, 5)]), 0.2)
    assert pick_frames(even, 10)[:6].tolist() == [
        0,
        2,
        5,
        7,
        10,
        12,
    ]  # 0.1 s lies between 2 and 3: the earlier
    assert pick_frames(even, 25).tolist() == list(range(75))
    assert pick_frames(even, 100).tolist() == list(range(75))  # no frame twice
    assert pick_frames(even + 0.5, 5).tolist() == pick_frames(even, 5).tolist()
    uneven = np.array([0.0, 0.04, 0.08, 0.5, 0.54, 1.0])
    assert pick_frames(uneven, 5).tolist() == [0, 2, 3, 4, 5]
    assert pick_frames(np.array([0.3]), 5).tolist() == [0]
    assert pick_frames(np.array([0.3, 0.31]), 5).tolist() == [0]
