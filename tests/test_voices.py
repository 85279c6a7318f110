"""Emotional voices: what file names and tables say of them, and sound without picture as an ordinary clip."""

import csv
import wave
from pathlib import Path

import numpy as np
import pytest
from kit.made_set import work_here

from preprocessing.__main__ import main as preprocess
from preprocessing.cache.store import ClipStore
from preprocessing.list_voices import main
from preprocessing.run import pipeline
from preprocessing.sets.labels import read_labels
from preprocessing.sets.voices import parse_voice

EMODB = ("03a01Fa", "03a01Wa", "08b02Fb", "08b02Tc", "09a05Nd", "09a05Wb")


def write_sound(path: Path, seconds: float = 0.6) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(int(16000 * seconds)) / 16000
    sound = (8000 * np.sin(2 * np.pi * 200 * time)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(sound.tobytes())
    return path


@pytest.fixture
def emodb(tmp_path):
    for name in EMODB:
        write_sound(tmp_path / "wav" / f"{name}.wav")
    return tmp_path / "wav"


def refuse(capsys, *words):
    assert main([str(word) for word in words]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    return message


@pytest.mark.parametrize(
    ("stem", "corpus", "speaker", "emotion"),
    [
        ("03-01-06-01-02-01-12", "ravdess", "ravdess_12", "fearful"),
        ("01-02-02-01-01-02-24", "ravdess", "ravdess_24", "calm"),
        ("16b10Wb", "emodb", "emodb_16", "angry"),
        ("03a07La", "emodb", "emodb_03", "bored"),
        ("1001_DFA_ANG_XX", "cremad", "cremad_1001", "angry"),
        ("1091_WSI_NEU_X", "cremad", "cremad_1091", "neutral"),
    ],
)
def test_file_names_say_speaker_and_emotion(stem, corpus, speaker, emotion):
    voice = parse_voice("x.wav", stem)
    assert (voice.corpus, voice.speaker, voice.emotion) == (corpus, speaker, emotion)


@pytest.mark.parametrize("stem", ["03-01-09-01-02-01-12", "03a01Xa", "1001_DFA_ANX_XX", "03-01-06", "talk_1"])
def test_other_names_say_nothing(stem):
    assert parse_voice("x.wav", stem) is None


def test_a_folder_becomes_a_labels_file(emodb, tmp_path, capsys):
    write_sound(emodb / "noise.wav")
    assert main([str(emodb), "--out", str(tmp_path / "emodb.csv")]) == 0
    told = capsys.readouterr().out
    assert "6 recordings of 3 speakers (train 2, valid 2, test 2)" in told
    assert "1 files are left out, whose names say no emotion: noise.wav" in told
    entries = read_labels(tmp_path / "emodb.csv")
    assert {entry.video_id: entry.split for entry in entries} == {
        "emodb_03": "train",
        "emodb_08": "valid",
        "emodb_09": "test",
    }
    assert entries[0].clip_id == "emodb_03_03a01Fa" and entries[0].class_name == "happy"


def test_sound_without_picture_is_an_ordinary_clip(emodb, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "run_jobs", work_here)
    assert main([str(emodb), "--out", str(tmp_path / "emodb.csv")]) == 0
    assert preprocess([f"labels={tmp_path / 'emodb.csv'}", f"out={tmp_path / 'cache'}", "workers=1"]) == 0
    index = ClipStore(tmp_path / "cache").index
    assert (index.waveform == "ok").all() and (index.acoustics == "ok").all()
    assert (index.faces == "no_video").all() and (index.behaviour == "no_video").all()
    assert index.class_name.tolist() == ["happy", "angry", "happy", "sad", "neutral", "angry"]


def write_manifest(path: Path, *rows: str, header: str = "path,corpus,speaker,emotion") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_a_table_of_several_sets_gives_one_of_them(emodb, tmp_path):
    names = [f"wav/{name}.wav,{'a' if place < 5 else 'b'},s{place},happy" for place, name in enumerate(EMODB)]
    table = write_manifest(tmp_path / "manifest.csv", *names)
    assert main([str(table), "--corpus", "a", "--out", str(tmp_path / "a.csv")]) == 0
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert [row["split"] for row in rows] == ["train", "train", "train", "valid", "test"]
    assert rows[0] == {
        "path": str((emodb / "03a01Fa.wav").resolve()),
        "video_id": "s0",
        "clip_id": "s0_03a01Fa",
        "label": "happy",
        "split": "train",
    }


def test_a_table_may_bring_its_splits(emodb, tmp_path):
    rows = ["wav/03a01Fa.wav,x,happy,dev", "wav/03a01Wa.wav,y,sad,training"]
    table = write_manifest(tmp_path / "m.csv", *rows, header="path,speaker,emotion,split")
    assert main([str(table), "--out", str(tmp_path / "out.csv")]) == 0
    assert {entry.split for entry in read_labels(tmp_path / "out.csv")} == {"valid", "train"}


def test_what_cannot_be_a_set_is_refused(emodb, tmp_path, capsys):
    out = ("--out", tmp_path / "out.csv")
    assert "there is no folder or table" in refuse(capsys, tmp_path / "nothing", *out)
    write_sound(tmp_path / "other" / "talk.wav")
    assert "none of its 1 recordings, such as talk.wav, is named" in refuse(capsys, tmp_path / "other", *out)
    assert "found emodb" in refuse(capsys, emodb, "--corpus", "ravdess", *out)
    write_sound(emodb / "copy" / f"{EMODB[0]}.wav")
    assert "1 recordings are there twice, such as 03a01Fa of emodb_03" in refuse(capsys, emodb, *out)
    rows = ["wav/none.wav,a,s1,happy", "wav/03a01Fa.wav,a,,sad", "wav/03a01Wa.wav,a,s1,sad"]
    message = refuse(capsys, write_manifest(tmp_path / "bad.csv", *rows), *out)
    assert "there is no file wav/none.wav" in message and "speaker is blank" in message
    message = refuse(capsys, write_manifest(tmp_path / "one.csv", rows[2]), *out)
    assert "needs 3 speakers or more; found 1" in message
    assert not (tmp_path / "out.csv").exists()


def test_the_real_manifest_is_understood(shared, tmp_path, capsys):
    manifest = shared / "data" / "voices" / "manifest.csv"
    if not manifest.is_file():
        pytest.skip("needs the real voices")
    for corpus, told in (("ravdess", "1440 recordings of 24 speakers"), ("emodb", "535 recordings of 10")):
        assert main([str(manifest), "--corpus", corpus, "--out", str(tmp_path / "x.csv")]) == 0
        assert told in capsys.readouterr().out
