"""The optional stage of words in ordinary preprocessing: off unless asked for, then cached like any other."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kit.made_clips import make_tone, write_clip
from kit.made_set import read_times, work_here
from kit.tiny_speech import write_ctc, write_whisper

from preprocessing.__main__ import main
from preprocessing.cache.store import ClipStore
from preprocessing.cache.words import unpack_words
from preprocessing.config import PreprocessConfig
from preprocessing.hearing import listening
from preprocessing.hearing.voice import Span, find_speech
from preprocessing.run import pipeline
from preprocessing.run.executor import open_pool
from preprocessing.settings import load_config
from preprocessing.stages import find_stage, name_stages
from preprocessing.stages.recipes import describe_settings, make_recipes

TEXTS = {"v_1": "The film was ungood", "v_2": "the film was good", "w_1": ""}


@pytest.fixture(autouse=True)
def _one_process(monkeypatch):
    monkeypatch.setattr(pipeline, "run_jobs", work_here)
    monkeypatch.setattr(listening, "find_speech", lambda _: [Span(0.25, 0.5)])


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    """Three clips of sound, of which two have a text."""
    folder = tmp_path_factory.mktemp("raw")
    for clip_id in TEXTS:
        write_clip(folder / f"{clip_id}.m4a", sound=make_tone(0.6, 44_100, 200))
    table = pd.DataFrame({"clip_id": list(TEXTS), "text": list(TEXTS.values()), "label": 1.0})
    table["video_id"], table["path"] = table.clip_id.str[0], table.clip_id + ".m4a"
    table["split"] = np.where(table.video_id == "v", "train", "test")
    table.to_csv(folder / "labels.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def whisper(tmp_path_factory) -> Path:
    return write_whisper(tmp_path_factory.mktemp("models") / "tiny")


def read(cache: Path) -> dict[str, list[str]]:
    """What the clips of a cache say."""
    store = ClipStore(cache)
    return {clip_id: unpack_words(store.read(clip_id, "words")["words"]) for clip_id in store.index.clip_id}


def recipes(*settings: str) -> dict[str, str]:
    return make_recipes(load_config(PreprocessConfig, None, settings))


def test_words_are_off_unless_asked_for(raw, tmp_path):
    assert main([f"labels={raw}", f"out={tmp_path}"]) == 0
    meta, summary = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("meta", "summary"))
    assert tuple(meta["stages"]) == name_stages() and "words" not in summary
    assert "words" not in ClipStore(tmp_path).index


def test_heard_words_are_added_to_a_cache_and_compared_with_what_was_said(raw, whisper, tmp_path, capsys):
    assert main([f"labels={raw}", f"out={tmp_path}"]) == 0
    before = read_times(tmp_path / "clips")
    asked = [f"labels={raw}", f"out={tmp_path}", "words.source=whisper", f"words.model={whisper}"]
    assert main(asked) == 0
    after = read_times(tmp_path / "clips")
    assert {name: after[name] for name in before} == before  # nothing else was made anew
    assert read(tmp_path) == {clip_id: ["The", "film", "was", "ungood."] for clip_id in TEXTS}
    store = ClipStore(tmp_path)
    assert store.index.words.tolist() == ["ok"] * 3
    arrays = store.read("v_1", "words")
    assert arrays["words_time"].min() >= 0.25 and arrays["words_time"].max() <= 0.5
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["words"] == {
        "source": "whisper", "clips": 3, "words": 12, "word_error_rate": 0.125, "words_said": 8,
    }  # fmt: skip
    printed = capsys.readouterr().out
    assert "word-error rate 12.5 % of 8 words (lower case, without punctuation)" in printed
    assert main(asked) == 0 and "nothing to do" in capsys.readouterr().out
    assert main([*asked, "words.language=en"]) == 2
    assert "words: words.language  → en" in capsys.readouterr().err


def test_a_cache_does_not_lose_its_words_unasked(raw, tmp_path, capsys):
    asked = [f"labels={raw}", f"out={tmp_path}"]
    assert main([*asked, "words.source=given"]) == 0
    labels = pd.read_csv(raw / "labels.csv", keep_default_na=False)
    labels.iloc[:2].to_csv(tmp_path / "labels.csv", index=False)
    assert main(asked) == 0 and "nothing to do" in capsys.readouterr().out
    shutil.copytree(raw, tmp_path / "more")
    shutil.copy(raw / "v_1.m4a", tmp_path / "more" / "w_2.m4a")
    more = pd.concat([labels, labels.iloc[2:].assign(clip_id="w_2", path="w_2.m4a")])
    more.to_csv(tmp_path / "more" / "labels.csv", index=False)
    assert main([f"labels={tmp_path / 'more'}", f"out={tmp_path}"]) == 2
    assert "words is no longer asked for" in capsys.readouterr().err


def test_given_words_are_spread_over_the_speech(raw, tmp_path):
    assert main([f"labels={raw}", f"out={tmp_path}", "words.source=given"]) == 0
    assert read(tmp_path) == {clip_id: text.split() for clip_id, text in TEXTS.items()}
    store = ClipStore(tmp_path)
    assert store.index.words.tolist() == ["ok", "ok", "no_rows"]
    assert store.meta["stages"]["words"]["keys"]["words"]["times"] == "spread over the speech"
    time = store.read("v_1", "words")["words_time"]
    assert time[0] > 0.25 and time[-1] < 0.5
    assert "word_error_rate" not in json.loads((tmp_path / "summary.json").read_text())["words"]


def test_a_changed_text_makes_the_words_anew(raw, tmp_path, capsys):
    own = shutil.copytree(raw, tmp_path / "raw")
    asked = [f"labels={own}", f"out={tmp_path / 'cache'}", "words.source=given"]
    assert main(asked) == 0
    labels = own / "labels.csv"
    labels.write_text(labels.read_text().replace("ungood", "great"))
    assert main([*asked, "--update"]) == 0
    assert read(tmp_path / "cache")["v_1"][-1] == "great"


def test_words_come_from_a_table_or_from_subtitles(raw, tmp_path, capsys):
    table = tmp_path / "heard.csv"
    table.write_text("clip_id,heard\nv_1,the film\nv_2,good\nw_1,\n")
    asked = [f"labels={raw}", "words.source=file"]
    assert main([*asked, f"out={tmp_path / 'a'}", f"words.file={table}", "words.column=heard"]) == 0
    assert read(tmp_path / "a") == {"v_1": ["the", "film"], "v_2": ["good"], "w_1": []}
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())
    assert summary["words"]["word_error_rate"] == 5 / 8  # against the labels' own text

    folder = tmp_path / "subtitles"
    folder.mkdir()
    (folder / "v_1.srt").write_text("1\n00:00:00,100 --> 00:00:00,300\nGood film\n")
    (folder / "v_2.vtt").write_text("WEBVTT\n\n00:00.100 --> 00:09.000\nBad film\n")
    assert main([*asked, f"out={tmp_path / 'b'}", f"words.file={folder}"]) == 1
    assert "has no text of this clip" in (tmp_path / "b" / "failures.csv").read_text()
    store = ClipStore(tmp_path / "b")
    assert np.allclose(store.read("v_1", "words")["words_time"], [0.15, 0.25])
    assert store.read("v_2", "words")["words_time"].max() < 0.65
    assert main([*asked, f"out={tmp_path / 'c'}"]) == 2
    assert "type words.file=FILE" in capsys.readouterr().err


def test_known_words_are_aligned_where_there_is_an_aligner(raw, tmp_path):
    aligner = write_ctc(tmp_path / "ctc")
    given = [f"labels={raw}", f"out={tmp_path / 'a'}", "words.source=given", f"words.aligner={aligner}"]
    assert main(given) == 0
    assert ClipStore(tmp_path / "a").meta["stages"]["words"]["keys"]["words"]["times"] == "aligned"
    heard = [f"labels={raw}", f"out={tmp_path / 'b'}", "words.source=ctc", f"words.model={aligner}"]
    assert main(heard) == 0
    assert json.loads((tmp_path / "b" / "summary.json").read_text())["words"]["words"] > 0


def test_recipes_know_the_content_of_a_checkpoint_and_not_its_place(whisper, tmp_path):
    here = recipes("words.source=whisper", f"words.model={whisper}")
    copy = Path(shutil.copytree(whisper, tmp_path / "tiny"))
    assert recipes("words.source=whisper", f"words.model={copy}") == here
    assert recipes() == {name: here[name] for name in name_stages()}
    assert recipes("words.source=whisper", f"words.model={copy}", "words.language=en") != here
    (copy / "generation_config.json").write_text("{}")
    assert recipes("words.source=whisper", f"words.model={copy}") != here
    config = load_config(PreprocessConfig, None, ["words.source=whisper", f"words.model={copy}"])
    assert describe_settings(config)["words"]["model"] == "tiny"


def test_a_checkpoint_that_is_not_there_stops_the_run_before_the_first_clip(raw, tmp_path, capsys):
    asked = [f"labels={raw}", f"out={tmp_path / 'a'}", "words.source=whisper", "words.model=./none"]
    assert main(asked) == 2
    assert "words.model is a folder or a name on the hub" in capsys.readouterr().err
    assert main([f"labels={raw}", f"out={tmp_path / 'a'}", "words.source=heard"]) == 2
    assert "words.source is one of none, whisper, ctc, file, given" in capsys.readouterr().err


def count_threads() -> int:
    import torch

    return torch.get_num_threads()


@pytest.mark.slow  # another process that imports torch
def test_a_worker_uses_no_more_threads_than_its_share(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with open_pool(1, threads=1) as pool:
        assert pool.schedule(count_threads).result() == 1


def test_a_clip_without_sound_has_no_words():
    empty = find_stage("words").empty(PreprocessConfig())
    assert all(not len(values) for values in empty.values())


def test_a_black_and_silent_clip_has_no_words(whisper, tmp_path, monkeypatch):
    monkeypatch.setattr(listening, "find_speech", find_speech)  # the real detector
    black = [np.zeros((64, 64, 3), np.uint8)] * 10
    write_clip(tmp_path / "black.mp4", black, sound=np.zeros((1, 44_100), np.float32))
    (tmp_path / "labels.csv").write_text("video_id,clip_id,path,label,split\nb,b_1,black.mp4,1,train\n")
    asked = [f"labels={tmp_path}", f"out={tmp_path / 'cache'}", "words.source=whisper"]
    assert main([*asked, f"words.model={whisper}"]) == 0
    store = ClipStore(tmp_path / "cache")
    assert store.index.words.tolist() == ["no_rows"] and read(tmp_path / "cache") == {"b_1": []}
