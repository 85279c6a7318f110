"""The benchmark that has sentences spoken: sounds and labels that preprocessing reads; espeak-ng is faked."""

import shutil
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
    return lambda *more: main(["--labels", str(labels), "--out", str(tmp_path / "spoken"), *more])


@pytest.mark.skipif(not shutil.which("espeak-ng"), reason="espeak-ng is not installed")
def test_the_synthesiser_speaks_each_sentence(speak, tmp_path):
    assert speak() == 0
    table = pd.read_csv(tmp_path / "spoken" / "labels.csv")
    assert len(table) == 8 and set(table.split) == {"test"}
    assert all((tmp_path / "spoken" / path).read_bytes()[:4] == b"RIFF" for path in table.path)


def test_every_sentence_of_the_split_becomes_a_clip_with_its_text(speak, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
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


def test_without_a_synthesiser_or_clips_it_says_so(speak, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/espeak-ng")
    assert speak("--split", "dev") == 2
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert speak() == 2
    said = capsys.readouterr().err
    assert "no clip of the split dev" in said and "apt-get install espeak-ng" in said
    assert not (tmp_path / "spoken").exists()
