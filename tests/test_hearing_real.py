"""Real recognisers on spoken sentences: what they hear, and when."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from preprocessing.hearing.error_rate import count_errors
from preprocessing.hearing.listening import hear_words
from preprocessing.hearing.models import load_whisper
from preprocessing.media.decode import probe
from preprocessing.media.sound import read_sound
from preprocessing.pretrained.checkpoints import weights_folder

SENTENCES = (
    "The film was good and the actors were wonderful.",
    "I did not like this movie at all.",
    "It is a really interesting story about two brothers.",
)
MORE = (
    "My sister and I saw it on a rainy Sunday in a small cinema near the river.",
    "The music is loud, the pictures are beautiful, and the ending made us cry.",
    "Some people in the front row talked all the time, which was a pity.",
    "Later we had dinner with our parents and told them everything about the plot.",
    "They want to go next week, and I will probably join them once more.",
    "If you have two hours to spend, buy a ticket, and take a friend along.",
)
CLIP = Path(__file__).parents[2] / "shared/data/clips/real/mosi_Oz06ZWiO20M_6.mp4"
SAID = "and sucker punch is a failure but like a really ambitious weird interesting idiosyncratic failure"
MODEL = weights_folder() / "whisper-tiny.en"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not MODEL.is_dir(), reason="no weights: python -m mosi_e2e.weights get whisper-tiny.en"
    ),
]


def speak(text: str, path: Path) -> np.ndarray:
    """[S] int16 of a synthetic voice, 16 kHz."""
    subprocess.run(["espeak-ng", "-s", "150", "-w", str(path), text], check=True)
    return read_sound(probe(path)).waveform


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_a_synthetic_voice_is_understood(tmp_path):
    whisper, said, heard = load_whisper(str(MODEL), ""), {}, {}
    for number, text in enumerate(SENTENCES):
        waveform = speak(text, tmp_path / f"{number}.wav")
        words = hear_words(waveform, whisper)
        said[str(number)], heard[str(number)] = text, [word.text for word in words]
        edges = [edge for word in words for edge in (word.start_s, word.end_s)]
        assert edges == sorted(edges) and edges[-1] <= len(waveform) / 16_000
    assert count_errors(said, heard).rate < 0.25


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_long_speech_is_heard_in_pieces(tmp_path):
    text = " ".join((*SENTENCES, *MORE))
    words = hear_words(speak(text, tmp_path / "long.wav"), load_whisper(str(MODEL), ""))
    assert words[-1].end_s > 35  # more than Whisper hears at once
    assert count_errors({"a": text}, {"a": [word.text for word in words]}).rate < 0.25


@pytest.mark.skipif(not CLIP.is_file(), reason="the real clips are not here")
def test_a_real_voice_is_understood():
    words = hear_words(read_sound(probe(CLIP)).waveform, load_whisper(str(MODEL), "en"))
    assert count_errors({"a": SAID}, {"a": [word.text for word in words]}).rate < 0.2
    ambitious = next(word for word in words if word.text.lower().startswith("ambitious"))
    assert 3 < ambitious.start_s < ambitious.end_s < 5
