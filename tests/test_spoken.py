"""The benchmark that has sentences spoken: sounds and labels that preprocessing reads; espeak-ng is faked."""

import json
import shutil
import subprocess
import sys

import pandas as pd
import pytest
from kit.made_set import work_here
from kit.tiny_text import write_sentences
from kit.typed_commands import load_module

from preprocessing.__main__ import main as preprocess
from preprocessing.cache.store import ClipStore
from preprocessing.hearing.heard import Word
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


def fake_espeak(folder, monkeypatch):
    """A program that says nothing for half a second."""
    monkeypatch.setenv("PATH", str(folder / "bin"))
    program = folder / "bin" / "espeak-ng"
    program.parent.mkdir()
    program.write_text(ESPEAK)
    program.chmod(0o755)


@pytest.mark.skipif(not shutil.which("espeak-ng"), reason="espeak-ng is not installed")
def test_the_synthesiser_speaks_each_sentence(speak, tmp_path):
    assert speak() == 0
    table = pd.read_csv(tmp_path / "spoken" / "labels.csv")
    assert len(table) == 8 and set(table.split) == {"test"}
    assert all((tmp_path / "spoken" / path).read_bytes()[:4] == b"RIFF" for path in table.path)


def test_every_sentence_of_the_split_becomes_a_clip_with_its_text(speak, tmp_path, monkeypatch):
    fake_espeak(tmp_path, monkeypatch)
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


def test_other_languages_are_counted_by_how_sure_the_recogniser_is(tmp_path, monkeypatch, capsys):
    fake_espeak(tmp_path, monkeypatch)
    benchmark = load_module("benchmarks/fast_language.py")
    (tmp_path / "people").mkdir()
    subprocess.run(["espeak-ng", "-w", str(tmp_path / "people" / "one.wav")], check=True)
    monkeypatch.setattr(benchmark, "SENTENCES", {"en": ["Good."], "de": ["Gut."], "es": ["Bueno.", "Malo."]})
    monkeypatch.setattr(benchmark, "VOICES", {"en": ["en-us"], "de": ["de"], "es": ["es"]})
    sure = iter([[0.9], [0.3, 0.6], [], [0.3], [0.7]])
    hear = lambda *_: [Word("word", 0.0, 0.1, one) for one in next(sure)]  # noqa: E731
    monkeypatch.setattr(benchmark, "hear_words", hear)
    monkeypatch.setattr(benchmark, "load_recogniser", lambda _: None)
    asked = ["--speech", f"de={tmp_path / 'people'}", "--out", str(tmp_path / "out.json")]
    assert benchmark.main(asked) == 0
    told = capsys.readouterr().out.splitlines()
    assert told == [
        "espeak-ng en: 1 clips, no words in 0, words left out in 0",
        "espeak-ng de: 1 clips, no words in 0, words left out in 1",
        "espeak-ng es: 2 clips, no words in 1, words left out in 1",
        "people de: 1 clips, no words in 0, words left out in 0",
    ]
    assert len(json.loads((tmp_path / "out.json").read_text())) == 5


def test_without_a_synthesiser_or_clips_it_says_so(speak, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/espeak-ng")
    assert speak("--split", "dev") == 2
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert speak() == 2
    said = capsys.readouterr().err
    assert "no clip of the split dev" in said and "apt-get install espeak-ng" in said
    assert not (tmp_path / "spoken").exists()
