"""`crossmodal` with all of its dropout learns the same however its updates are spread."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from kit.launched import TWO_PROCESSES, launch
from kit.made_cache import make_cache
from kit.tiny_models import write_recipe
from torch import nn

from mosi_e2e.models.dropout import ClipDropout, ClipSeeds, draw_mask, drop_by_clip, seed_clips
from mosi_e2e.train import main

pytestmark = pytest.mark.usefixtures("one_thread")

EPOCHS = 5  # of two updates: a batch is 12 of 23 clips
WORDS = ("data.batch_size=12", "stopping.patience=100", "--score", "test")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("place")
    write_recipe(place / "cross.yaml", make_cache(place), "crossmodal", dropout=0.2, epochs=EPOCHS)
    return place


@pytest.fixture(scope="module")
def whole(place):
    return train(place, "whole")


def train(place, name, *words):
    assert main(["--config", str(place / "cross.yaml"), f"name={name}", *WORDS, *words]) == 0
    return place / "runs" / name


def read(run, split):
    return pd.read_csv(run / f"predictions_{split}.csv"), pd.read_csv(run / "history.csv")


def assert_alike(one, other, loss=1e-4, score=2e-3):
    for split in ("valid", "test"):
        (ours, losses), (theirs, other_losses) = read(one, split), read(other, split)
        assert ours.clip_id.tolist() == theirs.clip_id.tolist() and ours.clip_id.is_unique
        assert len(losses) == len(other_losses) == EPOCHS
        assert np.abs(losses.train_loss - other_losses.train_loss).max() < loss
        scores = ours.select_dtypes("number").columns
        assert np.abs(ours[scores] - theirs[scores]).max(axis=None) < score


def test_micro_batches_change_nothing(place, whole):
    assert_alike(whole, train(place, "micro", "data.micro_batch=5"))


def test_two_processes_change_nothing_and_each_test_clip_is_scored_once(place, whole):
    words = ("--config", place / "cross.yaml", "name=two", *WORDS)
    printed = launch("mosi_e2e.train", *words, options=TWO_PROCESSES)
    assert_alike(whole, place / "runs" / "two")
    bars = re.findall(r"epoch 0: 100%.*?\[(\d\d):(\d\d)<00:00, .*clip/s, loss=[\d.]+, lr=[\d.e-]+\]", printed)
    assert len(bars) == 1  # one process shows it: time, time left, clips per second, loss, learning rate


@pytest.mark.slow  # starts two processes
def test_two_processes_share_the_encoding_of_a_frozen_stream(place):
    # With seed 0 the first gradient of a bias is 0 but for rounding, of which Adam makes a step of full size.
    words = (*WORDS, "model.crossmodal.speech.freeze=frozen", "augment.enabled=false", "seed=1")
    launch(
        "mosi_e2e.train", "--config", place / "cross.yaml", "name=shared", *words, options=TWO_PROCESSES
    )  # fmt: skip
    each_time = train(place, "each_time", *words, "data.encode_frozen=false")
    assert_alike(each_time, place / "runs" / "shared", loss=2e-3, score=5e-3)  # kept in half precision


@pytest.mark.slow  # starts two processes
def test_classes_are_learned_the_same_by_two_processes(tmp_path):
    """Also the share of each class in a balanced loss, and clips without a name."""
    write_recipe(
        tmp_path / "late.yaml", make_cache(tmp_path, size=16, named=True), "late_fusion", dropout=0.2
    )
    words = (
        "--config",
        str(tmp_path / "late.yaml"),
        "task=classes",
        "loss.balance=true",
        "loss.smoothing=0.1",
    )
    words += ("optim.epochs=3", "stopping.patience=100", "--score", "test")
    assert main([*words, "name=one"]) == 0
    launch("mosi_e2e.train", *words, "name=two", options=TWO_PROCESSES)
    for split in ("valid", "test"):
        one, two = (read(tmp_path / "runs" / name, split) for name in ("one", "two"))
        assert one[0].clip_id.tolist() == two[0].clip_id.tolist()
        assert one[0].predicted.tolist() == two[0].predicted.tolist()
        chances = [name for name in one[0] if name.startswith("p_")]
        assert len(chances) == 3 and np.abs(one[0][chances] - two[0][chances]).max(axis=None) < 1e-4
        assert np.abs(one[1].train_loss - two[1].train_loss).max() < 1e-4


def test_dropout_matters_here(place, whole):
    """Otherwise the tests above would show nothing."""
    none = ("model.crossmodal.fusion.dropout=0", "model.crossmodal.head_dropout=0")
    still = train(place, "still", *none)
    losses = [read(run, "valid")[1].train_loss for run in (whole, still)]
    assert np.abs(losses[0] - losses[1]).max() > 0.01


def test_a_mask_depends_on_the_clip_alone():
    seeds = seed_clips(torch.tensor([3, 8, 5]), 0, 1)
    whole = draw_mask(seeds, 7, (40, 64), 0.25)
    assert torch.equal(whole[[2, 0]], draw_mask(seed_clips(torch.tensor([5, 3]), 0, 1), 7, (40, 64), 0.25))
    assert torch.equal(whole[:, :10], draw_mask(seeds, 7, (10, 64), 0.25))  # padding changes nothing


def test_masks_are_as_good_as_independent():
    share, seeds = 0.1, seed_clips(torch.arange(16), 0, 0)
    mask = draw_mask(seeds, 7, (200, 256), share)
    others = {
        "layer": draw_mask(seeds, 8, (200, 256), share),
        "epoch": draw_mask(seed_clips(torch.arange(16), 0, 1), 7, (200, 256), share),
        "clip": mask.roll(1, 0),
        "row": mask.roll(1, 1),
        "column": mask.roll(1, 2),
    }
    spread = mask.numel() ** -0.5
    assert mask.float().mean().item() == pytest.approx(share, abs=5 * 0.3 * spread)
    for name, other in others.items():
        both = (mask.float() - share) * (other.float() - share) / (share * (1 - share))
        assert abs(both.mean().item()) < 5 * spread, name


def test_layers_are_replaced_with_salts_of_their_own_and_keep_their_mode():
    model = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5).eval()))
    drop_by_clip(model)
    first, second = model[0], model[1][1]
    assert type(first) is type(second) is ClipDropout and first.salt != second.salt
    assert first.training and not second.training
    model.clip_seeds.values = seed_clips(torch.arange(4), 0)
    ones = torch.ones(4, 8)
    assert torch.equal(first(ones), first(ones)) and set(first(ones).unique().tolist()) == {0.0, 2.0}
    assert torch.equal(second(ones), ones)


@pytest.mark.parametrize("seeds", [None, seed_clips(torch.arange(3), 0)])
def test_without_a_seed_for_each_row_it_is_pytorchs_own(seeds):
    layer, ones = ClipDropout(0.5, ClipSeeds(), 1), torch.ones(8, 64)
    layer.seeds.values = seeds
    torch.manual_seed(0)
    drawn = layer(ones)
    torch.manual_seed(0)
    assert torch.equal(drawn, nn.functional.dropout(ones, 0.5))


@pytest.mark.parametrize("shape", [(64,), (5, 64), (2, 5, 64)])
def test_any_shape_after_the_clips(shape):
    mask = draw_mask(seed_clips(torch.arange(200), 0), 7, shape, 0.5)
    assert mask.shape == (200, *shape)
    assert mask.float().mean(dim=0).sub(0.5).abs().max() < 0.2  # every place is drawn, of 200 each


@pytest.mark.slow  # compiles
@pytest.mark.parametrize("share", [0.3, 0.5])
def test_masks_are_the_same_when_compiled(share):
    """`torch.compile` folds arithmetic on counters; every size is a symbol, as in training."""
    torch.compiler.reset()
    layer = ClipDropout(share, ClipSeeds(), 77).train()
    layer.seeds.values = seed_clips(torch.arange(6), 0)
    compiled = torch.compile(layer, dynamic=True)
    for rows in (21, 22):
        x = torch.randn(6, rows, 67)  # not a multiple of any vector's length
        torch.testing.assert_close(compiled(x), layer(x))
