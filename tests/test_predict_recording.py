"""What a prediction says of a file that is odd: the same remarks as preprocessing."""

import numpy as np
from kit.made_clips import H264, draw_number, make_chirps, write_clip

from mosi_e2e.predict.recording import read_recording
from preprocessing.config import PreprocessConfig


def read_remarks(path) -> list[str]:
    return read_recording(path, PreprocessConfig(), frozenset({"waveform", "faces"}), lambda _: None).remarks


def test_remarks_of_sound_and_time_are_those_of_preprocessing(tmp_path):
    pictures = [draw_number(number) for number in range(20)]
    left = make_chirps(2.5, 44_100)[0]
    clip = write_clip(tmp_path / "clip.mp4", pictures, sound=np.stack([left, -left]))
    assert read_remarks(clip) == [
        "the channels of the sound cancel each other out: the left one alone is used",
        "the picture lasts 0.80 s, the sound 2.50 s",
    ]
    raw = write_clip(tmp_path / "clip.h264", pictures, options=H264)
    assert read_remarks(raw) == ["the picture has no time stamps: 25 frames a second are assumed"]
    assert read_remarks(write_clip(tmp_path / "plain.mp4", pictures, sound=make_chirps(0.8, 44_100))) == []
