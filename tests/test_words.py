"""Words: as arrays, from tables, and in training."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from kit.launched import ROOT
from kit.tiny_models import TINY_CROSS, TINY_LATE
from kit.tiny_text import SENTENCES, SMALL, write_sentences, write_text_checkpoint

from mosi_e2e.config import RunConfig
from mosi_e2e.data.dataset import read_stream
from mosi_e2e.data.recipes import describe_difference
from mosi_e2e.data.streams import find_stream
from mosi_e2e.evaluate import main as evaluate
from mosi_e2e.export.__main__ import main as export
from mosi_e2e.export.programs import TOLERANCE, trace, write_onnx
from mosi_e2e.models import build_model
from mosi_e2e.models.config import ModelConfig, TextConfig
from mosi_e2e.runs.checkpoint import CacheFacts
from mosi_e2e.train import main as train
from preprocessing.cache.checksums import hash_file
from preprocessing.cache.store import ClipStore
from preprocessing.cache.words import pack_words, spread_words, unpack_words
from preprocessing.import_words import main as import_words


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    torch.manual_seed(0)
    write_text_checkpoint(folder / "bert")
    table = write_sentences(folder / "labels.csv")
    assert import_words([str(table), "--text", "text", "--out", str(folder / "cache")]) == 0
    return folder


def test_words_are_what_was_packed():
    words = ["ich", "höre", "日本", "x" * 300]
    arrays = pack_words(words, np.arange(4), np.arange(4) + 0.5)
    assert unpack_words(arrays["words"]) == [*words[:3], "x" * 255]
    assert arrays["words_time"].tolist() == [0.25, 1.25, 2.25, 3.25] and (arrays["words_length"] == 0.5).all()
    assert unpack_words(pack_words(["é" * 200], [0], [1])["words"]) == ["é" * 127]  # no half letters
    assert unpack_words(pack_words([], [], [])["words"]) == []


def test_without_times_words_are_spread_by_their_letters():
    arrays, seconds = spread_words("a bcd", 6.0)
    assert seconds == 6.0 and arrays["words_time"].tolist() == pytest.approx([1.0, 4.0])
    assert spread_words("one two three four five")[1] == pytest.approx(2.0)
    assert spread_words("  ", 3.0)[0]["words_time"].tolist() == []


def test_a_table_becomes_a_cache(place):
    store = ClipStore(place / "cache")
    index = store.index.set_index("clip_id")
    assert index.split.value_counts().to_dict() == {"train": 16, "valid": 8, "test": 8}
    assert index.loc["v0_3", "duration_s"] == 5 and index.loc["v0_3", "label"] == -2.0
    rows = read_stream(store, "v0_3", find_stream("words"))
    assert " ".join(unpack_words(rows["values"])) == SENTENCES[-1] and rows["time"][-1] < 5


def test_other_texts_and_further_ones_for_train(place, tmp_path, capsys):
    heard = pd.read_csv(place / "labels.csv")[["video_id", "clip_id", "heard"]].fillna("")
    heard.loc[3, "heard"] = ""
    heard.to_csv(tmp_path / "heard.csv", index=False)
    words = [str(place / "labels.csv"), "--text", f"{tmp_path / 'heard.csv'}:heard", "--also", "text"]
    assert import_words([*words, "--out", str(tmp_path / "cache")]) == 0
    assert "48 clips (train 32, valid 8, test 8); 1 without words" in capsys.readouterr().out
    store = ClipStore(tmp_path / "cache")
    assert unpack_words(store.read("v0_2", "words")["words"]) == ["THE", "FILM", "IS", "GOOD"]
    assert unpack_words(store.read("v0_2.2", "words")["words"]) == ["THE", "FILM", "WAS", "GOOD"]
    assert store.index.set_index("clip_id").words["v0_3"] == "no_rows"
    heard.iloc[1:].to_csv(tmp_path / "heard.csv", index=False)
    assert import_words([*words, "--out", str(tmp_path / "cache")]) == 2
    assert "heard.csv has no row for 1 of 32 clips (first: v0_0)" in capsys.readouterr().err


def test_sentences_before_a_clip_stand_in_front_of_it(place, tmp_path, capsys):
    table = pd.read_csv(place / "labels.csv")
    table["start"] = -table["clip_id"]  # the last clip of each video comes first
    table["end"] = table.start + 2
    table["text"] = table.video_id + "c" + table.clip_id.astype(str)
    table[::-1].to_csv(tmp_path / "labels.csv", index=False)
    words = [str(tmp_path / "labels.csv"), "--text", "text", "--out", str(tmp_path / "cache")]
    assert import_words([*words, "--context", "2"]) == 0
    store = ClipStore(tmp_path / "cache")
    assert unpack_words(store.read("v0_0", "words")["words"]) == ["v0c2", "v0c1", "|", "v0c0"]
    assert unpack_words(store.read("v1_3", "words")["words"]) == ["v1c3"]
    assert store.read("v0_0", "words")["words_time"].tolist() == [0, 0, 0, 1]
    assert store.meta["stages"]["words"]["options"]["context"] == 2
    assert import_words([*words, "--context", "-1"]) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns="mode"), "needs the columns video_id, clip_id, label, split"),
        (lambda table: table.assign(label=9), "label '9' is outside [-3, 3] (and 31 more such rows)"),
        (lambda table: table.drop(columns="text"), "needs the columns video_id, clip_id, text"),
        (lambda table: pd.concat([table, table[:1]]), "clip v0_0 is already in"),
    ],
)
def test_a_wrong_table_is_one_line(place, tmp_path, capsys, change, message):
    change(pd.read_csv(place / "labels.csv")).to_csv(tmp_path / "labels.csv", index=False)
    words = [str(tmp_path / "labels.csv"), "--text", "text", "--out", str(tmp_path / "cache")]
    assert import_words(words) == 2
    assert message in capsys.readouterr().err


def test_another_folder_is_not_overwritten(place, tmp_path, capsys):
    (tmp_path / "mine.txt").touch()
    assert import_words([str(place / "labels.csv"), "--text", "text", "--out", str(tmp_path)]) == 2
    assert "holds something else" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "rank"),
    [pytest.param("late_fusion", 0, marks=pytest.mark.slow), ("late_fusion", 4), ("crossmodal", 0)],
)
def test_a_model_of_words_learns_is_scored_and_can_be_trained_further(
    place, tmp_path, model, rank, one_thread, capsys
):
    settings = [
        f"data.cache={place / 'cache'}",
        f"out={tmp_path}",
        "name=words",
        f"model.name={model}",
        f"model.{model}.streams=[words]",
        f"model.{model}.words.model={place / 'bert'}",
        f"model.{model}.words.adapter_rank={rank}",
        "optim.epochs=12",
        "optim.lr=0.01",
        f"optim.encoder_lr={0.03 if rank else 0.003}",
        "data.batch_size=8",
        "data.workers=0",
    ]
    width = {"late_fusion": "width", "crossmodal": "fusion.width"}[model]
    settings.append(f"model.{model}.{width}=16")
    assert train(settings) == 0
    assert evaluate([str(tmp_path / "words"), "--split", "test"]) == 0
    scores = json.loads((tmp_path / "words" / "metrics_test.json").read_text())
    assert scores["metrics"]["mae"] < (0.9 if rank else 0.5) < scores["floors"]["train_mean"]["mae"]
    again = [*settings, "name=further", f"start={tmp_path / 'words'}", "optim.lr=0", "optim.encoder_lr=0"]
    assert train([*again, "optim.epochs=1"]) == 0
    first, second = (
        json.loads((tmp_path / name / "metrics_valid.json").read_text()) for name in ("words", "further")
    )
    assert second["metrics"] == first["metrics"]
    assert train([*again, "name=wider", f"model.{model}.{width}=32"]) == 2
    assert "its weights do not fit this model" in capsys.readouterr().err


def test_other_words_than_those_of_training_are_remarked(place, tmp_path):
    typed = [str(place / "labels.csv"), "--text", "heard", "--out", str(tmp_path / "heard")]
    assert import_words(typed) == 0
    stages = ClipStore(place / "cache").meta["stages"]
    said = describe_difference(stages, ClipStore(tmp_path / "heard"), ["words"])
    assert said.endswith("cost accuracy (text is heard, trained with text)")
    assert describe_difference(stages, ClipStore(place / "cache"), ["words"]) == ""


@pytest.mark.parametrize("model", ["late_fusion", "crossmodal"])
def test_a_frozen_text_encoder_reads_the_words_in_every_epoch(place, tmp_path, model, one_thread):
    settings = [f"data.cache={place / 'cache'}", f"out={tmp_path}", "name=words", "data.workers=0"]
    settings += [f"model.name={model}", f"model.{model}.streams=[words]", "optim.epochs=1"]
    encoder = [f"model.{model}.words.model={place / 'bert'}", f"model.{model}.words.freeze=frozen"]
    assert train([*settings, *encoder]) == 0
    assert not list((place / "cache" / "clips").glob("words_encoded-*"))


def test_the_recipe_learns_the_sign_from_sentences_and_those_before(place, tmp_path, one_thread):
    words = [str(place / "labels.csv"), "--text", "text", "--context", "2", "--out", str(tmp_path / "cache")]
    assert import_words(words) == 0
    settings = ["--config", str(ROOT / "configs" / "words.yaml"), "task=binary", "optim.epochs=1"]
    settings += [f"data.cache={tmp_path / 'cache'}", f"out={tmp_path}", "data.batch_size=8"]
    assert train([*settings, f"model.late_fusion.words.model={place / 'bert'}"]) == 0
    scores = json.loads((tmp_path / "words" / "metrics_valid.json").read_text())
    assert {"acc", "auc"} <= scores["metrics"].keys()
    assert export([str(tmp_path / "words"), "--out", str(tmp_path / "model")]) == 0
    assert not (tmp_path / "model" / "preprocessing.yaml").exists()  # no settings make its words of a video
    card = (tmp_path / "model" / "README.md").read_text()
    assert "reading words. Words: known texts, not heard, each behind the 2 before it." in card
    assert f"| words | bert | a local file | {hash_file(place / 'bert' / 'model.safetensors')} |" in card
    assert str(place) not in card


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("name", "family", "rank"), [("late_fusion", "mpnet", 2), ("crossmodal", "bert", 0)])
def test_as_onnx_words_score_as_in_the_model(tmp_path, name, family, rank, one_thread):
    torch.manual_seed(0)
    text = TextConfig(family, pretrained=False, kwargs={**SMALL, "vocab_size": 40}, adapter_rank=rank)
    section = replace(
        {"late_fusion": TINY_LATE, "crossmodal": TINY_CROSS}[name], streams=["words"], words=text
    )
    config = ModelConfig(name, **{name: section})
    network = build_model(config, {}).eval()
    traced = trace(network, RunConfig(model=config), CacheFacts({}, [1.0, -1.0], False))
    assert write_onnx(tmp_path / "model.onnx", traced) < TOLERANCE
