"""Model folders without what pretrained checkpoints bring: small, whole again, and never of other weights."""

import json

import pytest
import torch
from kit.tiny_text import write_sentences, write_text_checkpoint
from safetensors.torch import load_file, save_file

from mosi_e2e import load
from mosi_e2e.evaluate import main as evaluate
from mosi_e2e.export.__main__ import main as export
from mosi_e2e.train import main as train
from mosi_e2e.weights.catalogue import CHECKPOINTS, Checkpoint
from preprocessing.errors import UserError
from preprocessing.import_words import main as import_words

NAME = "tiny-bert"


@pytest.fixture
def small(tmp_path, monkeypatch, one_thread):
    """A run on a checkpoint of the catalogue, exported whole as `whole` and small as `small`."""
    monkeypatch.setenv("MOSI_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setitem(CHECKPOINTS, NAME, Checkpoint("a model", "MIT", "someone/tiny", 1, ()))
    torch.manual_seed(0)
    base = write_text_checkpoint(tmp_path / "weights" / NAME)
    (base / "weights.json").write_text(json.dumps({"name": NAME}))
    table = write_sentences(tmp_path / "labels.csv")
    assert import_words([str(table), "--text", "text", "--out", str(tmp_path / "cache")]) == 0
    settings = [f"data.cache={tmp_path / 'cache'}", f"out={tmp_path}", "name=run", "data.workers=0"]
    settings += ["model.name=late_fusion", "model.late_fusion.streams=[words]", "optim.epochs=1"]
    encoder = [f"model.late_fusion.words.model={base}", "model.late_fusion.words.adapter_rank=2"]
    assert train([*settings, *encoder]) == 0
    for name, more in (("whole", []), ("small", ["--small"])):
        assert export([str(tmp_path / "run"), "--out", str(tmp_path / name), *more]) == 0
    return tmp_path / "small"


def test_a_small_folder_is_the_same_model(small, capsys):
    whole = load(small.with_name("whole")).network.state_dict()
    again = load(small).network.state_dict()
    assert whole.keys() == again.keys() and all(torch.equal(whole[name], again[name]) for name in whole)
    kept = load_file(small / "model.safetensors")
    assert not any("base_layer" in name or "tokenizer" in name for name in kept)
    assert any("lora_A" in name for name in kept) and "head.0.weight" in kept
    bases = json.loads((small / "base.json").read_text())
    assert [one["checkpoint"] for one in bases.values()] == [NAME]
    made = list((small.parent / "weights" / "models").iterdir())
    assert len(made) == 1 and load(small) and list((small.parent / "weights" / "models").iterdir()) == made


def test_other_weights_than_those_of_training_are_refused(small):
    path = small.parent / "weights" / NAME / "model.safetensors"
    save_file({name: value + 1 for name, value in load_file(path).items()}, path, {"format": "pt"})
    with pytest.raises(UserError, match=f"trained from other weights of {NAME}.*--source packages"):
        load(small)


@pytest.mark.parametrize(
    "content", ["[]", '{"words": 1}', '{"words": {"checkpoint": "/etc", "tensors": []}}']
)
def test_a_damaged_base_is_one_line(small, content):
    (small / "base.json").write_text(content)
    with pytest.raises(UserError, match=r"base\.json"):
        load(small)


def test_a_strangers_folder_is_held_against_the_checkpoint(small):
    config = small / "config.yaml"
    text = config.read_text()
    config.write_text(text.replace("num_hidden_layers: 2", "num_hidden_layers: 90000"))
    with pytest.raises(UserError, match="does not describe the model"):  # nothing of that size was built
        load(small)
    config.write_text(text)
    bases = json.loads((small / "base.json").read_text())
    (small / "base.json").write_text(json.dumps({"behaviour": bases["words"]}))
    with pytest.raises(UserError, match=r"base\.json does not fit config\.yaml"):
        load(small)
    (small / "base.json").write_text(json.dumps(bases))
    (small / "model.safetensors").write_bytes((small / "model.safetensors").read_bytes()[:-9])
    with pytest.raises(UserError, match="damaged or cut"):
        load(small)


def test_what_began_with_no_known_checkpoint_stays_whole(small, capsys):
    (small.parent / "weights" / NAME / "weights.json").unlink()
    assert export([str(small.parent / "run"), "--out", str(small.parent / "other"), "--small"]) == 2
    assert "leave out --small" in capsys.readouterr().err
    assert not (small.parent / "other").exists()
    assert evaluate([str(small.parent / "run"), "--split", "test"]) == 0
