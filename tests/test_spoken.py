"""Sentences as sound: one clip each, in the label file's form."""

import shutil

import pandas as pd
import pytest
from kit.tiny_text import write_sentences
from kit.typed_commands import load_module


@pytest.fixture(scope="module")
def spoken():
    return load_module("benchmarks/spoken.py")


@pytest.mark.skipif(not shutil.which("espeak-ng"), reason="espeak-ng is not installed")
def test_each_sentence_of_the_split_is_spoken(spoken, tmp_path):
    labels = write_sentences(tmp_path / "labels.csv")
    assert spoken.main(["--labels", str(labels), "--out", str(tmp_path / "spoken")]) == 0
    table = pd.read_csv(tmp_path / "spoken" / "labels.csv")
    assert len(table) == 8 and set(table.split) == {"test"}
    assert all((tmp_path / "spoken" / path).read_bytes()[:4] == b"RIFF" for path in table.path)


def test_without_a_synthesiser_or_clips_it_says_so(spoken, tmp_path, monkeypatch, capsys):
    labels = write_sentences(tmp_path / "labels.csv")
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/espeak-ng")
    typed = ["--labels", str(labels), "--out", str(tmp_path / "spoken")]
    assert spoken.main([*typed, "--split", "dev"]) == 2
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert spoken.main(typed) == 2
    said = capsys.readouterr().err
    assert "no clip of the split dev" in said and "apt-get install espeak-ng" in said
