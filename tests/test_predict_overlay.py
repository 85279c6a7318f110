"""The video with the score drawn in: its times are the source's, whatever the source is like."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from kit.demo_models import make_result
from kit.made_clips import H264, draw_number, make_tone, write_clip

from mosi_e2e.predict.overlay import write_overlay


def write_source(path: Path, seconds: float, first_picture_s: float = 0.0, **sound) -> Path:
    """Numbered pictures, 25 a second from `first_picture_s` on, and a tone from 0 on."""
    times = [round(1000 * first_picture_s) + 40 * number for number in range(round(25 * seconds))]
    tone = make_tone(seconds + first_picture_s, 44_100, 150)
    return write_clip(path, map(draw_number, range(len(times))), times_ms=times, sound=tone, **sound)


def read_times(path: Path, kind: str) -> np.ndarray:
    """[N] seconds of the decoded frames of the first stream, `audio` or `video`."""
    with av.open(str(path)) as file:
        return np.array([frame.time for frame in file.decode(**{kind: 0})])


def read_sound(path: Path) -> np.ndarray:
    """[S] of the first channel."""
    with av.open(str(path)) as file:
        return np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])


def draw(source: Path) -> Path:
    result = replace(make_result(), waveform=np.ones(1, np.int16))  # there is sound
    write_overlay(result, source, source.with_name("drawn.mp4"))
    return source.with_name("drawn.mp4")


def test_sound_may_come_before_the_first_picture(tmp_path):
    source = write_source(tmp_path / "late.mp4", 1.0, first_picture_s=0.3)
    assert read_times(source, "video")[0] == pytest.approx(0.3, abs=0.03)
    drawn = draw(source)
    assert read_times(drawn, "video") == pytest.approx(read_times(source, "video"), abs=1e-3)
    assert len(read_sound(drawn)) == pytest.approx(len(read_sound(source)), abs=2048)  # of AAC's framing


def round_times(source: Path, path: Path, step_ms: int) -> Path:
    """The same Matroska file with coarser times of its sound."""
    with av.open(str(source)) as file, av.open(str(path), "w") as copy:
        streams = {one.index: copy.add_stream_from_template(one) for one in file.streams}
        for packet in file.demux():
            if packet.dts is None:
                continue
            if packet.stream.type == "audio":
                packet.pts = packet.dts = packet.pts // step_ms * step_ms
            packet.stream = streams[packet.stream.index]
            copy.mux(packet)
    return path


@pytest.mark.parametrize("step_ms", [1, 40])
def test_rounded_times_of_the_sound_do_not_overlap(tmp_path, step_ms):
    """Matroska knows milliseconds: pieces of 23.2 ms come at steps of 23 and 24, or two at one time."""
    source = round_times(write_source(tmp_path / "fine.mkv", 2.0), tmp_path / "rounded.mkv", step_ms)
    assert np.diff(read_times(source, "audio")).min() < 1024 / 44_100 - 1e-4
    drawn = draw(source)
    assert read_times(drawn, "video") == pytest.approx(read_times(source, "video"), abs=1e-3)
    assert np.diff(read_times(drawn, "audio")) == pytest.approx(1024 / 44_100, abs=1e-4)
    assert len(read_sound(drawn)) == pytest.approx(len(read_sound(source)), abs=2048)


@pytest.mark.parametrize("name", ["raw.h264", "guessed.avi", "joined.ts"])
def test_times_that_cannot_be_are_corrected(tmp_path, name):
    path, swapped = tmp_path / name, H264 | {"preset": "medium", "bf": "3"}
    kind = {"pictures": [draw_number(number) for number in range(20)], "options": swapped}
    if name == "joined.ts":
        tone = {"sound": make_tone(0.8, 48_000, 150), "sample_rate": 48_000, "audio_codec": "mp2"}
        path.write_bytes(write_clip(tmp_path / "part.ts", **kind, **tone).read_bytes() * 2)
    else:
        write_clip(path, **kind)
    times = read_times(draw(path), "video")
    steps = np.diff(times)
    assert len(times) == (40 if name == "joined.ts" else 20)
    assert np.allclose(np.delete(steps, 19) if len(steps) > 20 else steps, 0.04, atol=2e-3)
    assert steps.max() < 0.12


def test_the_drawn_picture_has_square_pixels(tmp_path):
    pictures = [cv2.resize(draw_number(number), (64, 96)) for number in range(5)]
    drawn = draw(write_clip(tmp_path / "clip.mp4", pictures, shape=Fraction(2)))
    with av.open(str(drawn)) as file:
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    assert {frame.shape for frame in frames} == {(96, 128, 3)}
