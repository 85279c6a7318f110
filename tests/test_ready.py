"""The ready model: made of runs, used without a run, and what it says where something is missing."""

import io
import json
import shutil
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from kit.made_predictor import write_video
from kit.made_ready import BERT, EMOTIONS, make_ready, write_checkpoints, write_runs
from kit.tiny_models import TINY_CROSS
from kit.tiny_text import write_sentences
from kit.typed_commands import load_module
from safetensors.numpy import load_file, save_file

import mosi_e2e
from mosi_e2e.models import build_model
from mosi_e2e.models.config import FaceConfig, ModelConfig, SpeechConfig, TextConfig
from mosi_e2e.predict.__main__ import find_runs
from mosi_e2e.predict.__main__ import main as predict
from mosi_e2e.predict.predictor import PredictOptions
from mosi_e2e.ready import folder as ready_folder
from mosi_e2e.ready import predictor as ready_predictor
from mosi_e2e.ready.__main__ import main as build
from mosi_e2e.ready.build import weigh_classes
from mosi_e2e.ready.comparing import compare_ready
from mosi_e2e.ready.folder import read_ready
from mosi_e2e.ready.scorers import take_colour
from mosi_e2e.runs.checkpoint import load_model
from mosi_e2e.weights.catalogue import CHECKPOINTS, Checkpoint
from preprocessing.errors import UserError
from preprocessing.hearing import listening
from preprocessing.hearing.heard import Word
from preprocessing.hearing.voice import Span
from preprocessing.hearing.whisper import WhisperRecogniser

PLAIN = PredictOptions(draws=0, window_s=4)
ENGLISH, GERMAN = {"en": 0.9, "de": 0.1}, {"en": 0.02, "de": 0.98}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Checkpoints, runs, the ready model of them, and a video."""
    folder = tmp_path_factory.mktemp("ready")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOSI_WEIGHTS", str(folder / "weights"))
        patch.setitem(CHECKPOINTS, BERT, Checkpoint("a model", "MIT", "someone/tiny", 1, ()))
        runs = write_runs(folder, write_checkpoints(folder / "weights"))
        make_ready(folder / "model", runs)
        fast = ["--words", str(runs["words"]), "--face", str(runs["face"])]
        told = io.StringIO()
        with redirect_stdout(told):
            assert build([*fast, "--same-as", str(folder / "model"), "--out", str(folder / "fast")]) == 0
    (folder / "told.txt").write_text(told.getvalue())
    write_video(folder / "video.mp4", 1.2)
    return folder


@pytest.fixture(autouse=True)
def _here(place, monkeypatch):
    """The weights, somebody who speaks English, and the ready model in the program's own place."""
    monkeypatch.setenv("MOSI_WEIGHTS", str(place / "weights"))
    monkeypatch.setitem(CHECKPOINTS, BERT, Checkpoint("a model", "MIT", "someone/tiny", 1, ()))
    monkeypatch.setattr(ready_folder, "PLACE", place / "model")
    monkeypatch.chdir(place)
    say(monkeypatch, [Span(0.2, 1.0)], ENGLISH)


@pytest.fixture(scope="module")
def loaded(place):
    """The model, opened once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOSI_WEIGHTS", str(place / "weights"))
        patch.setitem(CHECKPOINTS, BERT, Checkpoint("a model", "MIT", "someone/tiny", 1, ()))
        return mosi_e2e.load(place / "model")


def say(monkeypatch, speech, languages):
    monkeypatch.setattr(ready_predictor, "find_speech", lambda _: speech)
    monkeypatch.setattr(listening, "find_speech", lambda _: pytest.fail("speech was looked for twice"))
    monkeypatch.setattr(WhisperRecogniser, "weigh_languages", lambda *_: languages)


def test_the_folder_holds_small_weights_and_no_labels(place):
    known = read_ready(place / "model")
    assert known.bases == ["whisper-base", BERT] and known.streams.keys() == {"words", "speech", "face"}
    assert known.streams["words"].opinion == 1.0 and known.streams["face"].opinion == 0.0
    assert 0.3 < known.streams["words"].sd < 0.7 and known.streams["words"].people == 10
    assert known.streams["speech"].valence == {"happy": 2.0, "neutral": 0.0, "sad": -2.0}
    for name, run in (("words", "words"), ("speech", "speech"), ("face", "face")):
        facts = json.loads((place / "model" / name / "facts.json").read_text())
        assert facts["train_label"] == []
        whole, small = (one / "model.safetensors" for one in (place / run / "best", place / "model" / name))
        assert small.stat().st_size < 0.7 * whole.stat().st_size
    text = (place / "model" / "README.md").read_text()
    assert "| voice | RAVDESS, EmoDB |" in text and str(place) not in text


def test_what_is_built_again_is_compared_with_what_is_there(place, tmp_path):
    lines = (place / "told.txt").read_text().splitlines()[-2:]
    assert lines == [f"{name}: the same as {place / 'model'} to the bit" for name in ("words", "face")]
    mine, other = tmp_path / "mine", tmp_path / "other"
    for copy in (mine, other):
        shutil.copytree(place / "fast", copy)

    def compare(**metrics):
        """The line about the words, by what `metrics_test.json` says in the two folders."""
        for folder, known in metrics.items():
            (tmp_path / folder / "words" / "metrics_test.json").write_text(json.dumps(known))
        return compare_ready(mine, other)[0]

    weights = {name: value + 0.25 for name, value in load_file(mine / "words" / "model.safetensors").items()}
    save_file(weights, other / "words" / "model.safetensors")
    start = f"same as {other}"
    assert f"words: not the {start}: weights differ by at most 0.25; no metrics of both" in compare()
    known = {"n": 9, "metrics": {"mae": 0.613, "corr": None}}
    told = compare(mine=known, other=known | {"metrics": {"mae": 0.6135}})
    assert (
        told == f"words: the {start} within 0.001: weights differ by at most 0.25, metrics by at most 0.0005"
    )
    told = compare(other={"n": 8, "metrics": {"mae": 0.5}})
    assert told.endswith("at most 0.25; test clips 8 → 9, test mae 0.5 → 0.613") and "not the same" in told
    weights.popitem()
    save_file(weights, other / "words" / "model.safetensors")
    assert "words: not the same as" in compare() and "another network (first difference:" in compare()
    combine = json.loads((other / "combine.json").read_text())
    combine["streams"]["face"]["sd"] = 3.0
    del combine["streams"]["words"]
    (other / "combine.json").write_text(json.dumps(combine))
    words, face = compare_ready(mine, other)
    assert words == f"words: {other} has none"
    assert f"face: the {start} to the bit; its error for combining is" in face and "there 3 (the 30" in face


def test_a_video_is_scored_without_a_run(place, tmp_path, capsys):
    assert predict([str(place / "video.mp4"), "--window", "4", "--out", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    found = json.loads((tmp_path / "video.json").read_text())
    assert found["weight"] == {"words": 1.0, "speech": 0.0, "face": 0.0}
    assert found["score"] == pytest.approx(found["by_stream"]["words"], abs=1e-4)
    assert found["contribution"]["face"] == 0 and found["by_stream"]["face"] != 0
    assert (
        found["interval"]["level"] == 0.9
        and "from the 30 valid clips of 10 videos" in found["interval"]["method"]
    )
    assert "(decides), face " in told or "(decides), voice " in told
    assert [word["word"] for word in found["timeline"][0]["words"]] == ["The", "film", "was", "ungood."]
    assert found["model"]["name"] == "model" and found["spread"] is None
    page = (tmp_path / "video.html").read_text()
    assert "own score times its weight" in page and "Shapley" not in page


def test_a_file_of_sound_alone_needs_no_run_either(tmp_path):
    (tmp_path / "voice.wav").touch()
    assert find_runs([tmp_path / "voice.wav"]) == []
    with pytest.raises(UserError, match="there is no run"):
        find_runs([tmp_path / "nothing.wav"])


def test_load_takes_its_folder_or_nothing(loaded):
    assert mosi_e2e.load().ready.streams == loaded.ready.streams
    result = loaded.predict("video.mp4", options=PLAIN)
    words = result.timeline[0].words
    assert result.streams_missing == [] and len(words) == 4
    assert any(abs(word["effect"]) > 1e-4 for word in words)
    odd = replace(result.people[0], by_stream={"words": 1.5, "face": -1.0, "speech": 1.0})
    assert "face −1.00 against words +1.50: it may be irony" in loaded._remark_on_streams(odd)
    assert loaded._remark_on_streams(replace(odd, by_stream={"words": 1.5, "face": -0.4})) == ""


def test_the_fast_one_has_no_voice_and_nearly_the_same_words(place, loaded, capsys):
    small = mosi_e2e.load(fast=True)
    assert small.streams == ["face", "words"]
    result, whole = (one.predict("video.mp4", options=PLAIN) for one in (small, loaded))
    assert result.model["name"] == "fast" and set(result.by_stream) == {"face", "words"}
    assert result.score == pytest.approx(whole.score, abs=1e-5)
    small.use_int8()  # adapters included
    assert 0 < abs(small.predict("video.mp4", options=PLAIN).score - whole.score) < 0.2
    assert "--fast video.mp4" in (place / "fast" / "README.md").read_text()
    assert predict(["model", "video.mp4", "--fast"]) == 2
    assert "--fast is a smaller ready model" in capsys.readouterr().err
    with pytest.raises(UserError, match="leave out fast"):
        mosi_e2e.load("model", fast=True)


def test_a_model_of_all_streams_begins_with_its_encoders(place):
    own = {name: str(place / "model" / name) for name in ("face", "speech", "words")}
    encoders = {
        "face": FaceConfig(own["face"], last_n=1),
        "speech": SpeechConfig(own["speech"], last_n=1),
        "words": TextConfig(own["words"]),
    }
    settings = replace(TINY_CROSS, streams=list(own), **encoders)
    model = build_model(ModelConfig("crossmodal", crossmodal=settings), {}, 1)
    for name, folder in own.items():
        trained = load_model(Path(folder))[0].encoders[name].state_dict()
        ours = model.encoders[name].state_dict()
        assert len(ours.keys() & trained.keys()) >= len(ours) > 5
        assert all(value.equal(trained[key]) for key, value in ours.items())


def test_another_language_leaves_the_words_out(loaded, monkeypatch):
    say(monkeypatch, [Span(0.2, 1.0)], GERMAN)
    result = loaded.predict("video.mp4", options=PLAIN)
    assert result.streams_missing == ["words"] and result.list_words() == []
    assert any("seems to be German (98 %)" in one for one in result.remarks)
    assert not any("no words were heard" in one for one in result.remarks)
    assert result.interval is None and "expression, not opinion" in result.why_none
    assert set(result.people[0].weight) == {"speech", "face"} and result.label_class is None
    assert sum(result.people[0].weight.values()) == pytest.approx(1.0)


def test_a_language_that_is_not_clear_is_called_so(loaded, monkeypatch):
    say(monkeypatch, [Span(0.2, 1.0)], {"fr": 0.23, "de": 0.2, "en": 0.1})
    result = loaded.predict("video.mp4", options=PLAIN)
    assert any("in no clear language, most likely French (23 %)" in one for one in result.remarks)
    assert result.list_words() == []


@pytest.mark.parametrize(("confidence", "counts"), [(0.3, False), (0.6, True)])
def test_words_that_an_english_recogniser_is_unsure_of_do_not_count(loaded, monkeypatch, confidence, counts):
    say(monkeypatch, [Span(0.2, 1.0)], {})
    words = [Word("There's", 0.0, 0.4, confidence), Word("blood", 0.4, 0.8, confidence)]
    monkeypatch.setattr(WhisperRecogniser, "hear", lambda *_: words)
    result = loaded.predict("video.mp4", options=PLAIN)
    assert (result.streams_missing == []) is counts and len(result.list_words()) == 2 * counts
    assert any("unsure of the words (30 % on average)" in one for one in result.remarks) is not counts
    assert (result.interval is not None) is counts


def test_where_nobody_speaks_the_face_is_left(loaded, monkeypatch):
    say(monkeypatch, [], ENGLISH)
    result = loaded.predict("video.mp4", options=PLAIN)
    assert set(result.streams_missing) == {"words", "speech"}
    assert result.score == pytest.approx(result.by_stream["face"], abs=1e-6)
    assert any("no words were heard" in one for one in result.remarks)


def test_windows_without_words_do_not_count_where_others_have_some(loaded):
    counts = loaded.count_windows([["words"], [], ["words", "face"]])
    assert counts.tolist() == [0, 1, 0]
    assert loaded.count_windows([["words"], ["words"]]).tolist() == [1, 1]


def test_each_picture_counts_once_and_a_second_by_its_own(loaded):
    scorer = loaded.members[0].scorer.parts["face"]
    pictures = np.random.default_rng(0).integers(0, 255, (4, 32, 32, 3), np.uint8)
    rows = {"values": pictures, "time": np.array([0.1, 0.4, 1.1, 1.6], np.float32)}
    example = {"index": 0, "clip_id": "", "label": np.nan, "weight": 1.0, "streams": {"face": rows}}

    def ask(places):
        kept = {name: values[places] for name, values in rows.items()}
        return scorer.ask(example | {"streams": {"face": kept}}, None, np.array([0, 1, np.inf]), 0, 0)

    single = [float(ask([n]).score[0]) for n in range(4)]
    whole = ask([0, 1, 2, 3])
    assert whole.score[0] == pytest.approx(np.mean(single), abs=1e-5)
    assert whole.effect[0][1] == pytest.approx(np.mean(single) - np.mean(single[:2]), abs=1e-5)
    assert max(single) - min(single) > 1e-3
    rows["values"] = take_colour(pictures)  # which learned from pictures without any
    assert float(ask([0]).score[0]) == pytest.approx(single[0], abs=1e-5)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ([], "name at least one run"),
        (["--words", "face"], "reads face, but that of this stream reads words alone"),
        (["--words", "words", "--words-errors", "none.csv"], "there is no none.csv"),
        (["--words", "words", "--out", "model"], "model is there already"),
        (["--words", "words", "--same-as", "face"], "--same-as face is no ready model"),
        (["--words", "words", "--hears", "nobody"], "--hears is one of mosi weights list"),
    ],
)
def test_what_cannot_be_built_is_one_line(place, capsys, asked, told):
    assert build(["--out", "other", *asked]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1
    assert not list(place.glob("*other*"))


def test_unknown_emotions_are_named(loaded):
    facts = loaded.members[0].facts
    with pytest.raises(UserError, match="the sentiment of proud is not known"):
        weigh_classes(replace(facts, classes=[*EMOTIONS, "proud"]), True)


def test_sentences_are_scored_with_the_share_of_labels_inside_the_intervals(place, tmp_path):
    table = write_sentences(tmp_path / "labels.csv")
    asked = ["--labels", str(table), "--ready", str(place / "model"), "--out", str(tmp_path / "ready.json")]
    assert load_module("benchmarks/ready_words.py").main(asked) == 0
    (row,) = json.loads((tmp_path / "ready.json").read_text())["rows"]
    assert row["words"] == "given" and row["clips"] == 8 and row["metrics"]["mae"] > 0
    shares = [row["coverage"][level]["share"] for level in ("50", "80", "90")]
    assert shares == sorted(shares) and 0 <= shares[0] <= shares[-1] <= 1
