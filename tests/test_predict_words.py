"""Words of a new video: heard like those of the training clips, shown with what each adds, as subtitles."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from kit.made_clips import make_tone, write_clip
from kit.made_predictor import write_run, write_video
from kit.made_set import work_here
from kit.tiny_models import TINY_CROSS, TINY_LATE
from kit.tiny_speech import write_whisper
from kit.tiny_text import write_sentences, write_text_checkpoint

import mosi_e2e
from mosi_e2e.models.config import ModelConfig, TextConfig
from mosi_e2e.predict.__main__ import main
from mosi_e2e.predict.predictor import PredictOptions, Predictor
from mosi_e2e.predict.result import PersonResult, VideoResult, Window
from mosi_e2e.predict.subtitles import list_subtitles, split_words
from mosi_e2e.predict.windows import Stretch, WindowReader
from preprocessing.__main__ import main as preprocess
from preprocessing.cache.words import unpack_words
from preprocessing.errors import UserError
from preprocessing.hearing import listening, voice
from preprocessing.hearing.voice import Span
from preprocessing.import_words import main as import_words
from preprocessing.run import pipeline

SAID = ["The", "film", "was", "ungood."]
ASKED = ["--draws", "0", "--window", "4"]
PLAIN = PredictOptions(draws=0, window_s=4)


@pytest.fixture(autouse=True)
def _speech(monkeypatch):
    monkeypatch.setattr(listening, "find_speech", lambda _: [Span(0.2, 1.0)])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Runs that read words: `heard` with the voice, from a cache of clips; `given` alone, from a table."""
    folder = tmp_path_factory.mktemp("words")
    write_text_checkpoint(folder / "bert")
    write_whisper(folder / "weights" / "whisper-base")
    write_video(folder / "video.mp4", 1.2)
    clips = folder / "raw"
    clips.mkdir()
    for clip_id in ("v_1", "w_1", "x_1"):
        write_clip(clips / f"{clip_id}.m4a", sound=make_tone(1.1, 44_100, 200))
    table = pd.DataFrame(
        {"clip_id": ["v_1", "w_1", "x_1"], "label": 1.0, "split": ["train", "valid", "test"]}
    )
    table["video_id"], table["path"] = table.clip_id.str[0], table.clip_id + ".m4a"
    table.to_csv(clips / "labels.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "run_jobs", work_here)
        patch.setattr(listening, "find_speech", lambda _: [Span(0.2, 1.0)])
        patch.setenv("MOSI_WEIGHTS", str(folder / "weights"))
        asked = [f"labels={clips}", f"out={folder / 'cache'}", "words.source=whisper"]
        assert preprocess(asked) == 0
    text = TextConfig(str(folder / "bert"))
    cross = replace(TINY_CROSS, streams=["speech", "words"], words=text)
    write_run(folder / "heard", folder / "cache", ModelConfig("crossmodal", crossmodal=cross))
    write_sentences(folder / "labels.csv")
    assert import_words([str(folder / "labels.csv"), "--text", "text", "--out", str(folder / "table")]) == 0
    late = ModelConfig("late_fusion", late_fusion=replace(TINY_LATE, streams=["words"], words=text))
    write_run(folder / "given", folder / "table", late)
    return folder


@pytest.fixture(autouse=True)
def _weights(place, monkeypatch):
    monkeypatch.setenv("MOSI_WEIGHTS", str(place / "weights"))


@pytest.mark.parametrize("run", ["heard", "given"])
def test_a_word_adds_what_is_lost_without_it(place, run):
    predictor = Predictor.open(place / run)
    recording = predictor.read(place / "video.mp4", options=PLAIN)
    stretches = predictor.cut(recording, PLAIN)
    result = predictor.score(recording, stretches, options=PLAIN)
    (window,) = result.timeline
    assert [word["word"] for word in window.words] == SAID
    edges = [edge for word in window.words for edge in (word["start_s"], word["end_s"])]
    assert edges == pytest.approx(sorted(edges)) and edges[0] >= 0.2 and edges[-1] <= 1.0
    for place_of, word in enumerate(window.words):
        left = {key: np.delete(rows, place_of, axis=0) for key, rows in recording.heard["words"].items()}
        without = predictor.score(replace(recording, heard={"words": left}), stretches, options=PLAIN)
        assert word["effect"] == pytest.approx(result.score - without.score, abs=1e-5)
    assert any(abs(word["effect"]) > 1e-4 for word in window.words)


def test_a_library_user_gets_the_words(place):
    result = mosi_e2e.load(place / "heard").predict(place / "video.mp4")
    assert [word["word"] for word in result.list_words()] == SAID
    assert result.contribution.keys() == {"speech", "words"} and not result.streams_missing


def test_the_sentences_before_are_those_of_the_windows_before(place, tmp_path, monkeypatch):
    """A model that learned with `--context 1` reads each window behind the words of the one before it."""
    table = ["--text", "text", "--context", "1", "--out", str(tmp_path / "table")]
    assert import_words([str(place / "labels.csv"), *table]) == 0
    text = TextConfig(str(place / "bert"))
    cross = ModelConfig("crossmodal", crossmodal=replace(TINY_CROSS, streams=["words"], words=text))
    write_run(tmp_path / "run", tmp_path / "table", cross)
    predictor = Predictor.open(tmp_path / "run")
    recording = predictor.read(place / "video.mp4", options=PLAIN)
    assert "each window is read together with what was said in the window before it" in recording.remarks
    stretches = [[Stretch(0, 0, 0.6, True), Stretch(0, 0.6, 1.2, True)]]
    result = predictor.score(recording, stretches, options=PLAIN)
    first, second = result.timeline
    said = [[word["word"] for word in window.words] for window in (first, second)]
    assert said[0] + said[1] == SAID and all(said)
    reader = WindowReader(recording, predictor.config, 1)
    rows = reader.read_example(stretches[0][1], ["words"], stretches[0][:1])["streams"]["words"]
    assert unpack_words(rows["values"]) == [*said[0], "|", *said[1]]
    alone = predictor.score(recording, [stretches[0][1:]], options=PLAIN)
    assert alone.score != pytest.approx(second.score, abs=1e-6)
    assert predictor.score(recording, [stretches[0][:1]], options=PLAIN).score == pytest.approx(first.score)
    monkeypatch.setattr(reader, "list_words", lambda stretch: [])
    assert reader.read_example(stretches[0][1], ["words"], stretches[0][:1])["n_before"] == 0


def test_listening_to_a_long_video_shows_how_far_it_is(place, monkeypatch):
    monkeypatch.setattr(listening, "find_speech", lambda _: [Span(0.1, 0.4), Span(0.6, 1.0)])
    monkeypatch.setattr(voice, "APART_S", 0.1)
    told = []
    Predictor.open(place / "given").predict(place / "video.mp4", lambda *one: told.append(one), PLAIN)
    shares = [share for share, what in told if what == "listening"]
    assert len(shares) == 3 and 0.5 == shares[0] < shares[1] < shares[2] < 0.75
    assert [share for share, _ in told] == sorted(share for share, _ in told)


def test_words_are_on_the_page_in_the_files_and_as_subtitles(place, tmp_path, capsys):
    asked = [*ASKED, str(place / "heard"), str(place / "video.mp4"), "--out", str(tmp_path)]
    assert main([*asked, "--srt", "--vtt"]) == 0
    found = json.loads((tmp_path / "video.json").read_text())
    assert [word["word"] for word in found["timeline"][0]["words"]] == SAID
    assert " ".join(SAID) in (tmp_path / "video.csv").read_text()
    page = (tmp_path / "video.html").read_text()
    assert page.count("% confidence") == 2 * len(SAID) and "raise the score of their window" in page
    score = found["timeline"][0]["score"]
    srt = (tmp_path / "video.srt").read_text()
    assert srt.startswith("1\n00:00:00,2") and srt.endswith(f"[{score:+.2f}] The film was ungood.\n")
    assert (tmp_path / "video.vtt").read_text().startswith("WEBVTT\n\n00:00:00.2")
    assert "4 words heard" in capsys.readouterr().out


def test_without_speech_the_words_are_absent_and_that_is_said(place, monkeypatch, tmp_path):
    monkeypatch.setattr(listening, "find_speech", lambda _: [])
    result = Predictor.open(place / "heard").predict(place / "video.mp4", options=PLAIN)
    assert result.streams_missing == ["words"] and result.list_words() == [] and result.score is not None
    assert "no words were heard: what is left is voice" in result.remarks
    alone = Predictor.open(place / "given").predict(place / "video.mp4", options=PLAIN)
    assert alone.score is None and "there is no score: no words were heard" in alone.remarks
    asked = [*ASKED, str(place / "heard"), str(place / "video.mp4"), "--out", str(tmp_path)]
    assert main([*asked, "--srt"]) == 0 and (tmp_path / "video.srt").read_text() == ""


def test_a_model_of_known_texts_says_who_hears_instead(place, monkeypatch, tmp_path, capsys):
    result = Predictor.open(place / "given").predict(place / "video.mp4", options=PLAIN)
    told = "the words were heard by whisper-base, but the model learned from the texts 'text': its errors"
    assert any(remark.startswith(told) for remark in result.remarks)
    monkeypatch.setenv("MOSI_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    asked = [str(place / "given"), str(place / "video.mp4"), "--out", str(tmp_path)]
    assert main(asked) == 2
    assert "type --words whisper:FOLDER" in capsys.readouterr().err
    folder = place / "weights" / "whisper-base"
    assert main([*asked, "--draws", "0", "--words", f"whisper:{folder}"]) == 0
    assert main([*asked, "--words", "somebody"]) == 2
    assert "type --words whisper" in capsys.readouterr().err


def test_a_model_without_words_refuses_to_hear_them(place, tmp_path, capsys):
    cross = ModelConfig("crossmodal", crossmodal=replace(TINY_CROSS, streams=["speech"]))
    write_run(tmp_path / "run", place / "cache", cross)
    asked = [str(tmp_path / "run"), str(place / "video.mp4"), "--out", str(tmp_path)]
    assert main([*asked, "--words", "whisper"]) == 2
    assert "the model reads no words" in capsys.readouterr().err
    assert main([*asked, "--srt"]) == 2
    assert "this model reads none" in capsys.readouterr().err
    with pytest.raises(UserError, match="reads no words"):
        Predictor.open(tmp_path / "run").read(place / "video.mp4", options=PredictOptions(words="whisper"))


def test_long_windows_become_several_subtitles():
    words = [{"word": "word" * 5, "start_s": i, "end_s": i + 0.9, "effect": 0.0} for i in range(9)]
    parts = list(split_words(words))
    assert [len(held) for held, _ in parts] == [4, 4, 1]
    assert all(len(line) <= 42 for _, text in parts for line in text.split("\n"))
    window = Window(0, 9, -1.5, None, None, {}, {}, [], [], words)
    nobody = [None] * 4
    person = PersonResult(
        1, -1.5, *nobody[:3], {}, {}, {}, [window], None, [], None, 1.0, portrait=None, name="person 1"
    )
    result = VideoResult("v", 9.0, [person, replace(person, name="person 2")], 0.0, [], {}, None)
    lines = list_subtitles(result)
    assert all(one.end_s <= other.start_s for one, other in pairwise(lines))
    assert {one.name for one in lines} <= {"person 1", "person 2"}
