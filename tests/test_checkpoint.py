"""What a run leaves on disk: weights that stand alone, and a state that survives any death."""

import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from kit.made_cache import make_cache
from kit.tiny_encoders import GROUP_NORM, VIT
from kit.tiny_models import MODELS, TINY_CROSS, load_batch, tiny_model

from mosi_e2e.config import RunConfig
from mosi_e2e.models.config import FaceConfig, ModelConfig, SpeechConfig
from mosi_e2e.models.encoders.text_checkpoint import load_text_model
from mosi_e2e.models.rebuild import SkipRandomFilling
from mosi_e2e.runs import resume
from mosi_e2e.runs.checkpoint import cache_facts, check_columns, count_parameters, load_model, save_model
from mosi_e2e.runs.resume import find_resume, replace_folder
from mosi_e2e.tensors import write_tensors
from preprocessing.cache.store import ClipStore
from preprocessing.errors import UserError

CLIPS = ["ta_1", "ta_2", "tb_1", "tc_3"]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return ClipStore(make_cache(tmp_path_factory.mktemp("made")))


def save(folder, config, model, store):
    run = RunConfig(model=config, seed=7)
    save_model(folder, model, run, cache_facts(store, config, [0.5, -1.0]))


def test_a_crossmodal_of_an_earlier_version_says_how_to_train_it_again(tmp_path, store):
    model = tiny_model(MODELS["crossmodal"], store)
    save(tmp_path / "old" / "best", MODELS["crossmodal"], model, store)
    weights = {name: value for name, value in model.state_dict().items() if not name.startswith("summaries")}
    write_tensors(tmp_path / "old" / "best" / "model.safetensors", weights)
    with pytest.raises(UserError, match=r"an earlier version.*configs/crossmodal\.yaml name=NAME"):
        load_model(tmp_path / "old" / "best")
    (tmp_path / "old" / "config.yaml").touch()
    with pytest.raises(UserError, match=rf"--config {tmp_path}/old/config\.yaml name=NAME"):
        load_model(tmp_path / "old" / "best")


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_a_saved_model_predicts_the_same(tmp_path, store, name):
    config = MODELS[name]
    model, batch = tiny_model(config, store), load_batch(config, store, CLIPS)
    save(tmp_path / "best", config, model, store)
    shutil.copytree(tmp_path / "best", tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "best")
    torch.manual_seed(99)  # nothing may come from fresh random weights
    loaded, run, facts = load_model(tmp_path / "elsewhere")
    assert not loaded.training and run.seed == 7
    assert facts.train_label == [0.5, -1.0] and facts.synthetic
    assert facts.columns["behaviour"] == store.columns("behaviour", "behaviour")
    assert facts.stages["behaviour"]["options"] == store.meta["stages"]["behaviour"]["options"]
    wanted, found = model(batch), loaded(batch)
    assert torch.equal(wanted.score, found.score)
    assert all(torch.equal(wanted.by_stream[key], found.by_stream[key]) for key in wanted.by_stream)


@torch.no_grad()
def test_pretrained_encoders_are_rebuilt_without_the_folders_they_came_from(tmp_path, store):
    import timm
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    source = tmp_path / "source"
    image_model = timm.create_model("vit_small_patch16_224", num_classes=0, **VIT)
    timm.models.save_for_hf(image_model, source / "face", model_args=VIT)
    Wav2Vec2Model(Wav2Vec2Config(**GROUP_NORM)).save_pretrained(source / "speech")
    face = FaceConfig(str(source / "face"), image_size=32, freeze="frozen")
    speech = SpeechConfig(str(source / "speech"), freeze="last_n", last_n=1)
    config = ModelConfig("crossmodal", crossmodal=replace(TINY_CROSS, face=face, speech=speech))
    model, batch = tiny_model(config, store), load_batch(config, store, CLIPS)
    save(tmp_path / "best", config, model, store)
    shutil.rmtree(source)
    loaded, run, _ = load_model(tmp_path / "best")
    assert str(source) not in (tmp_path / "best" / "config.yaml").read_text()
    assert run.model.crossmodal.streams == TINY_CROSS.streams
    assert torch.equal(model(batch).score, loaded(batch).score)
    assert count_parameters(loaded) == count_parameters(model)


def test_a_new_best_replaces_the_old_one(tmp_path, store):
    config = MODELS["late_fusion"]
    for seed in (0, 1):
        save(tmp_path, config, tiny_model(config, store, seed), store)
    kept, wanted = load_model(tmp_path)[0].state_dict(), tiny_model(config, store, 1).state_dict()
    assert all(torch.equal(kept[name], wanted[name]) for name in wanted)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "config.yaml",
        "facts.json",
        "model.safetensors",
    ]


def test_a_folder_without_a_model_says_what_to_type(tmp_path):
    with pytest.raises(UserError, match=r"holds no trained model.*accelerate launch -m mosi_e2e\.train"):
        load_model(tmp_path)


def test_another_behaviour_backend_is_refused_by_name(tmp_path, store):
    config = MODELS["late_fusion"]
    other = ClipStore(make_cache(tmp_path / "openface", backend="openface_csv"))
    facts = cache_facts(store, config, [1.0])
    check_columns(facts, store)
    ours, theirs = (len(one.columns("behaviour", "behaviour")) for one in (store, other))
    message = rf"reads {ours} behaviour columns, .*openface.* has {theirs} .*'_neutral'.*behaviour\.backend"
    with pytest.raises(UserError, match=message):
        check_columns(facts, other)


def test_the_order_and_number_of_columns_matter_too(store):
    facts = cache_facts(store, MODELS["late_fusion"], [1.0])
    names = facts.columns["acoustics"]
    for wrong in (names[::-1], names[:-1], [*names, "more"]):
        with pytest.raises(UserError, match="acoustics columns"):
            check_columns(replace(facts, columns=facts.columns | {"acoustics": wrong}), store)


def test_parameters_are_counted():
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
    model[0].requires_grad_(False)
    assert count_parameters(model) == (13, 4)


class Death(Exception):
    """The process dies here."""


class MortalDisk:
    """Counts what is done to the disk, and dies before the n-th deed."""

    def __init__(self, monkeypatch):
        self.left = 10**9
        rename, rmtree, write = Path.rename, shutil.rmtree, Path.write_text
        monkeypatch.setattr(Path, "rename", self._mortal(rename))
        monkeypatch.setattr(resume.shutil, "rmtree", self._mortal(rmtree))
        self.write = self._mortal(write)

    def _mortal(self, deed):
        def act(*args, **kwargs):
            if self.left == 0:
                raise Death
            self.left -= 1
            return deed(*args, **kwargs)

        return act

    def save(self, epoch, folder):
        """Write a state of two files, between which it may die too."""

        def write(beside):
            for name in ("model", "optimizer"):
                self.write(beside / name, str(epoch))

        alone = SimpleNamespace(is_main_process=True, wait_for_everyone=lambda: None)
        replace_folder(alone, folder, write)


def read_whole(folder):
    """The epoch of a whole state."""
    found = find_resume(folder)
    parts = {(found / name).read_text() for name in ("model", "optimizer")}
    assert len(parts) == 1
    return int(parts.pop())


@pytest.mark.parametrize("second", range(8))
@pytest.mark.parametrize("first", range(8))
def test_one_whole_state_survives_two_deaths_at_any_moment(tmp_path, monkeypatch, first, second):
    disk, folder = MortalDisk(monkeypatch), tmp_path / "last"
    disk.save(0, folder)
    newest = 0
    for deeds in (first, second):
        disk.left = deeds
        with suppress(Death):
            disk.save(newest + 1, folder)
        disk.left = 10**9
        assert read_whole(folder) in (newest, newest + 1)
        newest = read_whole(folder)
    disk.save(9, folder)
    assert read_whole(folder) == 9
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


def test_no_state_is_no_state(tmp_path):
    assert find_resume(tmp_path / "last") is None
    (tmp_path / "last.new").mkdir()  # died while it wrote the first one
    assert find_resume(tmp_path / "last") is None


def test_no_random_number_is_drawn_for_weights_that_are_replaced():
    sizes = {"vocab_size": 9, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1}
    before = torch.get_rng_state()
    with SkipRandomFilling():
        torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Conv1d(3, 3, 3), torch.nn.Embedding(9, 4))
        load_text_model("bert", False, sizes | {"intermediate_size": 8})
    assert torch.equal(torch.get_rng_state(), before)
