"""What both models promise, whatever is inside."""

from dataclasses import replace
from itertools import combinations

import pytest
import torch
from kit.made_cache import LACKING, make_cache
from kit.tiny_models import MODELS, TINY_CROSS, TINY_LATE, load_batch, tiny_model

from mosi_e2e.config import LossConfig
from mosi_e2e.data.batch import drop_stream
from mosi_e2e.engine.losses import Objective
from mosi_e2e.models import build_model, list_streams, set_statistics
from mosi_e2e.models.config import ModelConfig
from mosi_e2e.models.dropout import seed_clips
from preprocessing.cache.store import ClipStore
from preprocessing.errors import UserError

CLIPS = ["ta_1", "ta_2", "ta_3", "tb_1", "tb_3", "tc_1", "tc_3", "t_d_2"]  # three of them lack a stream
# Weights over the one row that functionals have: nothing to weigh.
WITHOUT_EFFECT = {"summaries.functionals.pool.score.weight"}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return ClipStore(make_cache(tmp_path_factory.mktemp("made")))


@pytest.fixture(params=MODELS)
def config(request):
    return MODELS[request.param]


@pytest.fixture
def model(config, store):
    return tiny_model(config, store)


@pytest.fixture
def batch(config, store):
    return load_batch(config, store, CLIPS)


def flatten(prediction):
    """All scores of a batch, [clip, 1 + streams]."""
    return torch.stack([prediction.score, *prediction.by_stream.values()], dim=1)


def spoil_padding(batch, streams):
    """The batch with nonsense in every padded place."""
    spoilt = dict(batch)
    for name in streams:
        is_pad, values = batch[f"{name}_is_pad"], batch[name].clone()
        values[is_pad] = 77
        spoilt[name] = values
        if name != "speech":
            spoilt[f"{name}_time"] = batch[f"{name}_time"].masked_fill(is_pad, 1e4)
    return spoilt


@torch.no_grad()
def test_a_clip_scores_alike_alone_and_in_a_padded_batch(config, store, model, batch):
    assert set(CLIPS) & set(LACKING)
    together = flatten(model(batch))
    alone = torch.cat([flatten(model(load_batch(config, store, [clip]))) for clip in CLIPS])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    assert together.std(dim=0).min() > 1e-3  # and clips differ


@torch.no_grad()
def test_padding_is_not_looked_at(config, model, batch):
    spoilt = spoil_padding(batch, list_streams(config))
    torch.testing.assert_close(flatten(model(batch)), flatten(model(spoilt)), atol=1e-6, rtol=0)


def test_any_streams_may_be_absent(config, model, batch):
    streams = list_streams(config)
    model.train()
    seen = []
    for count in range(len(streams) + 1):
        for absent in combinations(streams, count):
            partial = batch
            for name in absent:
                partial = drop_stream(partial, name)
            scores = flatten(model(partial))
            assert scores.isfinite().all(), absent
            seen.append(scores[0, 0].item())
    assert len({round(score, 6) for score in seen}) == 2 ** len(streams)  # each stream has its say
    scores.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@torch.no_grad()
def test_a_stream_may_be_left_out_of_the_batch(config, model, batch):
    if config.name != "crossmodal":
        pytest.skip("the baseline wants its streams, absent or not")
    for name in list_streams(config):
        without = {key: value for key, value in batch.items() if not key.startswith(name)}
        absent = flatten(model(drop_stream(batch, name)))
        torch.testing.assert_close(flatten(model(without)), absent, atol=1e-5, rtol=0)


def test_one_batch_can_be_learned_by_heart(model, batch):
    objective = Objective("regression", "drop", LossConfig("mse"), batch["label"].numpy())
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    model.train()
    losses = []
    for _ in range(250):
        loss = objective(model(batch), batch["label"], batch["weight"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if loss < 0.04 * losses[0]:
            break
    assert losses[-1] < 0.05 * losses[0]


@pytest.mark.parametrize("auxiliary", [0.2, 0.0])
def test_a_gradient_reaches_every_trainable_parameter(model, batch, auxiliary):
    loss = LossConfig("mse", auxiliary=auxiliary)  # the signs that L1 sums may cancel
    objective = Objective("regression", "drop", loss, batch["label"].numpy())
    objective(model.train()(batch), batch["label"], batch["weight"]).backward()
    trainable = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    assert not [name for name, grad in trainable.items() if grad is None]  # or several processes would hang
    idle = {name for name, grad in trainable.items() if not grad.any()} - WITHOUT_EFFECT
    # Without their own losses late fusion's heads are idle, as is crossmodal's stand-in for an absent vote.
    spare = ("stream_heads", ".absent") if not auxiliary else ()
    assert all(any(part in name for part in spare) for name in idle), idle
    assert all(grad.isfinite().all() for grad in trainable.values())


@torch.no_grad()
def test_labels_are_not_read(config, model, batch):
    inputs = {key: batch[key] for key in batch if key.split("_")[0] in list_streams(config)}
    assert "label" not in inputs
    assert torch.equal(flatten(model(batch)), flatten(model(inputs)))


@torch.no_grad()
def test_the_order_of_the_streams_changes_nothing(config, store, model, batch):
    section = getattr(config, config.name)
    turned = replace(config, **{config.name: replace(section, streams=section.streams[::-1])})
    other = tiny_model(turned, store)
    assert other.state_dict().keys() == model.state_dict().keys()
    assert torch.equal(other(batch).score, model(batch).score)
    assert other(batch).by_stream.keys() == model(batch).by_stream.keys()


@torch.no_grad()
def test_only_differences_of_times_matter(store):
    config = MODELS["crossmodal"]
    model, batch = tiny_model(config, store), load_batch(config, store, CLIPS)
    times = [key for key in batch if key.endswith("_time")]
    shifted = batch | {key: batch[key] + 100.0 for key in times}
    torch.testing.assert_close(flatten(model(batch)), flatten(model(shifted)), atol=1e-4, rtol=0)
    moved = batch | {"behaviour_time": batch["behaviour_time"] + 1.0}
    assert (model(batch).score - model(moved).score).abs().max() > 1e-3


@torch.no_grad()
def test_a_streams_own_score_is_that_of_the_stream_alone(store):
    config = MODELS["crossmodal"]
    model, batch = tiny_model(config, store), load_batch(config, store, CLIPS)
    whole, streams = model(batch), list_streams(config)
    for name in streams:
        only = batch
        for other in set(streams) - {name}:
            only = drop_stream(only, other)
        alone = model(only)
        torch.testing.assert_close(alone.by_stream[name], whole.by_stream[name])
        has = ~batch[f"{name}_is_pad"].all(dim=1)
        torch.testing.assert_close(alone.score[has], whole.by_stream[name][has])
    votes = torch.stack(list(whole.by_stream.values())).mean(dim=0)
    assert (whole.score - votes).abs().max() > 1e-3  # and together they say more


def test_a_model_of_one_stream_has_no_fusion(store):
    config = ModelConfig("crossmodal", crossmodal=replace(TINY_CROSS, streams=["behaviour"]))
    model = tiny_model(config, store)
    found = model(load_batch(config, store, CLIPS))
    assert torch.equal(found.score, found.by_stream["behaviour"])
    assert not any(name.startswith(("fusion", "correction")) for name in model.state_dict())


def test_scores_have_names(store):
    names = {"late_fusion": {"visual", "acoustic"}, "crossmodal": set(TINY_CROSS.streams)}
    for name, config in MODELS.items():
        prediction = tiny_model(config, store)(load_batch(config, store, CLIPS[:2]))
        assert prediction.score.shape == (2,) and prediction.by_stream.keys() == names[name]


@pytest.mark.parametrize("streams", [["behaviour"], ["functionals"], ["acoustics", "behaviour"]])
def test_the_baseline_works_with_any_of_its_streams(store, streams):
    config = ModelConfig("late_fusion", late_fusion=replace(TINY_LATE, streams=streams))
    prediction = tiny_model(config, store)(load_batch(config, store, CLIPS))
    assert prediction.score.isfinite().all()
    assert prediction.by_stream.keys() == {"visual" if s == "behaviour" else "acoustic" for s in streams}


def test_token_encoders_carry_the_train_statistics(store, model):
    behaviour = model.state_dict()["encoders.behaviour.mean"]
    torch.testing.assert_close(behaviour, torch.tensor(store.stats["behaviour"]["mean"]))
    acoustics = model.state_dict()["encoders.acoustics.mean"]
    torch.testing.assert_close(acoustics, torch.tensor(store.stats["lld"]["mean"]))
    few = {key: value for key, value in store.stats.items() if key != "lld"}
    with pytest.raises(UserError, match="no train statistics for 'acoustics'"):
        set_statistics(model, few)


def test_settings_that_cannot_be():
    with pytest.raises(UserError, match=r"model\.name is one of crossmodal, late_fusion, but got 'mult'"):
        build_model(ModelConfig("mult"), {})
    foreign = ModelConfig("late_fusion", late_fusion=replace(TINY_LATE, streams=["face", "behaviour"]))
    with pytest.raises(UserError, match=r"cannot read face; remove it from model\.late_fusion\.streams"):
        list_streams(foreign)
    with pytest.raises(UserError, match="one or more of"):
        list_streams(ModelConfig("crossmodal", crossmodal=replace(TINY_CROSS, streams=["face", "face"])))


@pytest.mark.slow  # compiles
def test_one_compilation_is_enough_for_batches_of_any_length(config, store):
    torch.compiler.reset()
    model = tiny_model(config, store).train()
    batches = [load_batch(config, store, clips) for clips in (CLIPS[:3], CLIPS[2:5], CLIPS[4:7])]

    def score(batch):
        model.clip_seeds.values = seed_clips(batch["index"], 0)
        return flatten(model(batch))

    whole = [score(batch) for batch in batches]
    model.compile(dynamic=True, backend="eager")
    torch.testing.assert_close(score(batches[0]), whole[0])
    with torch._dynamo.config.patch(error_on_recompile=True):
        torch.testing.assert_close([score(batch) for batch in batches[1:]], whole[1:])
