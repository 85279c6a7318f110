"""Frames of real videos are those of a plain decode."""

from pathlib import Path

import av
import numpy as np
import pytest
from av.error import FFmpegError

from preprocessing.config import READERS
from preprocessing.media import decord_frames
from preprocessing.media.decode import probe
from preprocessing.media.frames import FrameReader
from preprocessing.media.pictures import upright

DAMAGED = {"bitflips.mp4"}  # lost blocks are filled from whatever pictures are at hand
BROKEN_OFF = {"truncated_faststart.mp4", "tvlt_Howto100m_mg7Q4o9bNN0.mp4"}
LONGEST = 120  # frames of a real clip that are compared
BY_PYAV = {"pyfeat_no_face.mp4", "ravdess_01-01-01-01-01-01-01.mp4"}  # edit lists; program streams as well


@pytest.fixture(params=READERS)
def reading(request) -> str:
    """Who reads."""
    return request.param


def decode_all(path: Path) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """PyAV's times of the frames, and its pictures of some, at quarter size."""
    times, pictures = [], {}
    with av.open(str(path)) as file:
        start = (file.start_time or 0) / av.time_base
        try:
            for number, frame in enumerate(file.decode(video=0)):
                if number == LONGEST:
                    break
                times.append(frame.time - start)
                if number % 7 == 0:
                    picture = upright(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90) % 4)
                    pictures[number] = picture[::4, ::4].astype(np.int16)
        except FFmpegError:
            assert path.name in BROKEN_OFF
    return np.array(times), pictures


def list_videos(shared: Path, *folders: str) -> list[Path]:
    paths = [path for folder in folders for path in sorted((shared / "data" / "clips" / folder).iterdir())]
    unreadable = {"garbage.mp4", "truncated_no_moov.mp4", "zero_bytes.mp4", "audio_only.m4a"}
    return [path for path in paths if path.name not in unreadable and path.name != "long_120s.mp4"]


@pytest.mark.parametrize("folder", ["real", "labelled", "odd", "derived"])
def test_real_frames_are_those_of_a_plain_decode(shared, folder):
    videos = list_videos(shared, folder)
    assert len(videos) == {"real": 12, "labelled": 4, "odd": 10, "derived": 15}[folder]
    for path in videos:
        times, expected = decode_all(path)
        for reading in READERS:
            compare_with_plain(path, reading, times, expected)


def compare_with_plain(path: Path, reading: str, times: np.ndarray, expected: dict) -> None:
    reader = FrameReader(probe(path), reading)
    [(_, first)] = FrameReader(probe(path)).frames(np.array([0]))
    too_large = len(reader.time) * first.size > decord_frames.MAX_BYTES
    refused = path.suffix == ".mpg" or path.name in BY_PYAV or too_large
    assert (reader._decord is not None) == (reading == "decord" and not refused), path.name
    lost = min(len(reader.time), LONGEST) - len(times)
    assert lost == 0 or (path.name in BROKEN_OFF and 0 < lost <= 3), path.name
    assert np.abs(reader.time[: len(times)] - times).max() < 1e-4, path.name
    found = dict(reader.frames(np.array(sorted(expected))))
    assert list(found) == sorted(expected), path.name
    limit = 10 if path.name in DAMAGED else 0.5 if reading == "decord" else 0
    for number, frame in found.items():
        difference = np.abs(frame[::4, ::4] - expected[number]).mean()
        assert difference <= limit, f"{path.name} frame {number}"
