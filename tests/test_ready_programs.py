"""The ready model as ONNX: the command, what streams.json says, and scores by the page's snippet."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from kit.launched import ROOT
from kit.made_ready import BERT, make_ready, write_checkpoints, write_runs
from kit.tiny_text import write_text_checkpoint
from tokenizers import Tokenizer

import mosi_e2e.ready.bases
import mosi_e2e.ready.programs
from mosi_e2e.export import write
from mosi_e2e.export.__main__ import main
from mosi_e2e.export.programs import Traced, check_scores
from mosi_e2e.models.config import TextConfig
from mosi_e2e.models.encoders import build_encoder
from mosi_e2e.ready.card import write_ready_card
from mosi_e2e.ready.combining import combine, score_classes
from mosi_e2e.ready.folder import read_ready
from mosi_e2e.ready.predictor import open_part
from mosi_e2e.ready.programs import describe_program, describe_streams, read_sentiment
from mosi_e2e.ready.scorers import take_colour
from mosi_e2e.weights.catalogue import CHECKPOINTS, Checkpoint
from preprocessing.cache.words import spread_words

SHIPPED = ROOT / "models" / "ready"
CLASSES = {
    "speech": ["angry", "happy", "neutral", "surprised"],
    "words": [],
    "face": ["fear", "happy", "surprise"],
}


@pytest.fixture
def known():
    """What streams.json says of the shipped model, as a reader has it."""
    ready = read_ready(SHIPPED)
    entries = {name: describe_program(ready, name, CLASSES[name], {}) for name in ready.streams}
    return json.loads(json.dumps(describe_streams(ready, entries)))


def test_the_weights_of_the_file_combine_scores_as_the_model_does(known):
    facts = read_ready(SHIPPED).streams
    for scores in ({"words": 1.0, "speech": -2.0}, {"speech": -2.0, "face": 1.0}, {"face": 0.5}):
        there = {name: known["streams"][name] for name in scores}
        kind = "beside_opinions" if any(one["opinion"] > 0 for one in there.values()) else "alone"
        weight = {name: one["weight"][kind] for name, one in there.items()}
        found = sum(weight[name] * score for name, score in scores.items()) / sum(weight.values())
        assert found == pytest.approx(combine(scores, facts))


def test_the_classes_of_the_file_become_sentiment_as_in_the_model(known):
    facts = read_ready(SHIPPED).streams["speech"]
    probability = np.random.default_rng(0).dirichlet(np.ones(4), 3)
    classes = known["streams"]["speech"]["classes"]
    assert [one["name"] for one in classes] == CLASSES["speech"] and classes[-1]["weight"] == 0
    share = probability * [one["weight"] for one in classes]
    found = share @ [one["valence"] for one in classes] / share.sum(axis=1)
    wanted = score_classes(probability, CLASSES["speech"], facts.valence, facts.weight)
    np.testing.assert_allclose(found, wanted)


def test_the_file_says_how_each_stream_is_read_and_on_what_terms(known):
    words, speech, face = (known["streams"][name] for name in ("words", "speech", "face"))
    assert (
        words["tokenizer"] == "words/tokenizer.json" and words["classes"] == [] and words["language"] == "en"
    )
    assert speech["rate_hz"] == 16_000 and (face["side_px"], face["rate_hz"], face["grey"]) == (
        224,
        5.0,
        True,
    )
    assert (
        words["error"] == 0.9949 and words["half_width"]["90"] == 1.8488 and "CC BY-NC-SA" in speech["terms"]
    )
    assert known["range"] == [-3, 3] and known["window_s"]["usual"] == 3.108


def test_the_card_of_programs_has_the_terms_of_what_is_inside():
    text = write_ready_card(read_ready(SHIPPED), as_programs=True)
    assert "| whisper-base, inside the programs | MIT |" in text and "research only" in text
    assert "`streams.json`" in text and "fetched" not in text and "weights get" not in text


def test_a_program_of_classes_is_held_to_the_sentiment_that_it_means(tmp_path):
    facts = read_ready(SHIPPED).streams["speech"]
    wanted, found = np.array([[0.5, 0.5]]), np.array([[0.5, 0.50003]])
    prediction = SimpleNamespace(score=torch.tensor(wanted), by_stream={})
    objective = SimpleNamespace(to_score=lambda raw: raw)
    largest = {}
    for name, read in (("raw", None), ("sentiment", read_sentiment(["sad", "happy"], facts))):
        traced = Traced(None, lambda _: prediction, objective, [], 1, ["score"], read)
        largest[name] = check_scores(tmp_path / "model.onnx", traced, lambda _: {"score": found})
    sentiment = [
        score_classes(one, ["sad", "happy"], facts.valence, facts.weight)[0] for one in (wanted, found)
    ]
    assert largest["raw"] == pytest.approx(3e-5) and largest["sentiment"] == abs(sentiment[0] - sentiment[1])
    assert largest["sentiment"] > 4e-5


def test_without_a_run_the_command_takes_the_ready_model(tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(mosi_e2e.ready.bases, "offer_bases", lambda ready: asked.append(ready.name))

    def write(ready, folder):
        (folder / "words").mkdir()
        (folder / "words" / "model.onnx").write_text(ready.name)

    monkeypatch.setattr(mosi_e2e.ready.programs, "write_programs", write)
    monkeypatch.chdir(ROOT)
    for number, words in enumerate([[], ["--onnx"], ["--fast"], [str(SHIPPED)]]):
        out = tmp_path / str(number)
        assert main([*words, "--out", str(out)]) == 0
        assert f"{out / 'words' / 'model.onnx'}: 0.00 MB" in capsys.readouterr().out
    assert asked == ["ready", "ready", "fast", "ready"]


@pytest.mark.parametrize(
    ("words", "told"), [(["--small"], "is small already"), (["runs/one", "--fast"], "without a run")]
)
def test_what_a_ready_model_cannot_be_is_refused(words, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert main([*words, "--out", str(tmp_path / "out")]) == 2
    assert told in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_the_tokenizer_beside_a_program_neither_pads_nor_cuts(tmp_path, monkeypatch):
    """That of a checkpoint may do both: all-mpnet-base-v2's makes 128 tokens of any text."""
    folder = write_text_checkpoint(tmp_path / "bert")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding(length=12)
    tokenizer.enable_truncation(4)
    tokenizer.save(str(folder / "tokenizer.json"))
    encoder = build_encoder("words", TextConfig(str(folder)))
    monkeypatch.setattr(write, "trace", lambda *_: None)
    monkeypatch.setattr(write, "write_onnx", lambda *_: 0.0)
    write.write_program(tmp_path, SimpleNamespace(encoders={"words": encoder}), None, None)
    written = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    words = "the film was ungood bad"
    found = written.encode(words.split(), is_pretokenized=True).ids
    rows = read_rows(words)
    assert len(found) == 8 and found == encoder.read_words()(rows)["values"].tolist()


def read_rows(words):
    """Words as a window has them."""
    arrays, _ = spread_words(words, 2.0)
    return {"values": arrays["words"], "time": arrays["words_time"]}


def ask_part(part, name, rows):
    """What the ready model says of a window that has this stream alone."""
    example = {"index": 0, "clip_id": "", "label": np.nan, "weight": 1.0, "streams": {name: rows}}
    return part.ask(example, None, np.array([0.0, np.inf]), 0, 0).score[0]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_pages_snippet_scores_as_the_ready_model_does(tmp_path, monkeypatch, capsys, one_thread):
    monkeypatch.setenv("MOSI_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setitem(CHECKPOINTS, BERT, Checkpoint("a model", "MIT", "someone/tiny", 1, ()))
    make_ready(tmp_path / "made", write_runs(tmp_path, write_checkpoints(tmp_path / "weights")))
    monkeypatch.chdir(tmp_path)
    assert main(["made", "--out", "onnx/"]) == 0
    written = {str(path.relative_to("onnx")) for path in Path("onnx").rglob("*") if path.is_file()}
    programs = {f"{name}/{file}" for name in CLASSES for file in ("model.onnx", "README.md")}
    assert written == {"README.md", "streams.json", "words/tokenizer.json", *programs}
    told = capsys.readouterr().out
    assert all(f"{name}/model.onnx: scores differ by" in told for name in CLASSES)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "export.md").read_text(), re.DOTALL)
    space = {}
    exec(blocks[3], space)
    ready, ask = read_ready(tmp_path / "made"), space["ask"]
    parts = {name: open_part(ready, name, facts) for name, facts in ready.streams.items()}
    assert float(capsys.readouterr().out) == pytest.approx(space["scores"]["words"], abs=1e-6)
    wanted = ask_part(parts["words"], "words", read_rows("the film was good"))
    assert space["scores"]["words"] == pytest.approx(wanted, abs=1e-3)
    random = np.random.default_rng(0)
    for seconds in (0.1, 1.0, 3.3):
        sound = random.normal(0, 0.1 * seconds, round(16_000 * seconds)).astype(np.float32)
        wanted = ask_part(parts["speech"], "speech", {"values": sound, "time": np.zeros(1, np.float32)})
        assert ask("speech", sound[None])[0] == pytest.approx(wanted, abs=1e-3)
        pictures = random.integers(0, 256, (round(5 * seconds) + 1, 224, 224, 3), np.uint8)
        rows = {"values": pictures, "time": np.arange(len(pictures), dtype=np.float32) / 5}
        found = ask("face", take_colour(pictures)[:, None].transpose(0, 1, 4, 2, 3)).mean()
        assert found == pytest.approx(ask_part(parts["face"], "face", rows), abs=1e-3)
