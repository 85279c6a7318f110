"""The benchmark that has sentences spoken: sounds and labels that preprocessing reads; espeak-ng is faked."""

import sys

import pandas as pd
import pytest
from kit.made_set import work_here
from kit.tiny_text import write_sentences
from kit.typed_commands import load_module

from preprocessing.__main__ import main as preprocess
from preprocessing.cache.store import ClipStore
from preprocessing.run import pipeline

ESPEAK = f"""#!{sys.executable}
import sys, wave
with wave.open(sys.argv[sys.argv.index("-w") + 1], "wb") as file:
    file.setparams((1, 2, 22050, 0, "NONE", ""))
    file.writeframes(bytes(2 * 22050 // 2))
"""


@pytest.fixture
def speak(tmp_path, monkeypatch):
    """The benchmark, on sentences, with a folder for what is spoken."""
    labels = write_sentences(tmp_path / "labels.csv")
    main = load_module("benchmarks/spoken.py").main
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return lambda: main(["--labels", str(labels), "--out", str(tmp_path / "spoken")])


def test_every_sentence_of_the_split_becomes_a_clip_with_its_text(speak, tmp_path, monkeypatch):
    program = tmp_path / "bin" / "espeak-ng"
    program.parent.mkdir()
    program.write_text(ESPEAK)
    program.chmod(0o755)
    assert speak() == 0
    said = pd.read_csv(tmp_path / "labels.csv")
    said = said[said["mode"] == "test"]
    table = pd.read_csv(tmp_path / "spoken" / "labels.csv")
    assert table.text.tolist() == said.text.tolist() and set(table.split) == {"test"}
    monkeypatch.setattr(pipeline, "run_jobs", work_here)
    settings = [f"labels={tmp_path / 'spoken' / 'labels.csv'}", f"out={tmp_path / 'cache'}"]
    assert preprocess(settings) == 0
    index = ClipStore(tmp_path / "cache").index
    assert len(index) == len(said) and index.duration_s.tolist() == [0.5] * len(said)


def test_without_the_synthesiser_it_says_how_to_get_it(speak, tmp_path, capsys):
    assert speak() == 2
    assert "apt-get install espeak-ng" in capsys.readouterr().err
    assert not (tmp_path / "spoken").exists()
