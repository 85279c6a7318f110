"""Losses by hand, and that only the clips count, not how they are batched."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from mosi_e2e.config import LossConfig, RunConfig
from mosi_e2e.engine.class_loss import ClassObjective
from mosi_e2e.engine.losses import Objective, concordance_loss
from mosi_e2e.models.prediction import Prediction
from mosi_e2e.scores.metrics import REGRESSION_KEYS, score_regression
from preprocessing.errors import UserError

LABEL = torch.tensor([-2.0, 0.0, 1.0, 3.0])
SCORE = torch.tensor([-1.5, 1.0, 1.0, 0.0])
TRAIN = np.array([-2.0, -1.0, -1.0, 0.0, 2.0])


def objective(task="regression", zero_label="drop", train=TRAIN, **loss):
    return Objective(task, zero_label, LossConfig(**loss), train)


def log_loss(logit, positive):
    probability = 1 / (1 + math.exp(-logit))
    return -math.log(probability if positive else 1 - probability)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("l1", [0.5, 1, 0, 3]), ("mse", [0.25, 1, 0, 9]), ("huber", [0.125, 0.375, 0, 1.375])],
)
def test_regression_by_hand(name, expected):
    each = objective(regression=name, huber_delta=0.5).each(SCORE, LABEL)
    torch.testing.assert_close(each, torch.tensor(expected, dtype=torch.float32))


def test_binary_by_hand():
    label, logit = torch.tensor([-1.0, 2.0, 0.0]), [0.3, -0.7, 1.1]
    dropped = objective("binary").each(torch.tensor(logit), label)
    kept = objective("binary", "positive").each(torch.tensor(logit), label)
    assert kept.tolist() == pytest.approx([log_loss(0.3, False), log_loss(-0.7, True), log_loss(1.1, True)])
    assert dropped.tolist()[:2] == pytest.approx(kept.tolist()[:2])


@pytest.mark.parametrize(("zero_label", "negative", "positive"), [("drop", 3, 1), ("positive", 3, 2)])
def test_balance_gives_both_classes_the_same_say(zero_label, negative, positive):
    weighted, plain = (objective("binary", zero_label, balance=on) for on in (True, False))
    label, logit = torch.tensor([-1.0, 2.0]), torch.tensor([0.4, 0.4])
    low, high = (weighted.each(logit, label) / plain.each(logit, label)).tolist()
    assert negative * low == pytest.approx(positive * high)
    assert (negative * low + positive * high) / (negative + positive) == pytest.approx(1.0)


def test_balance_needs_both_classes():
    with pytest.raises(UserError, match=r"both classes.*loss\.balance=false"):
        objective("binary", train=np.array([1.0, 2.0]), balance=True)
    assert objective("regression", train=np.array([1.0, 2.0]), balance=True).class_weight == (1.0, 1.0)


def test_streams_of_their_own_are_averaged_and_weighted():
    by_stream = {"a": torch.zeros(4), "b": torch.full((4,), 2.0)}
    weight = torch.full((4,), 0.25)
    loss = objective(auxiliary=0.5)(Prediction(SCORE, by_stream), LABEL, weight)
    fused, alone = (0.5 + 1 + 0 + 3) / 4, ((2 + 0 + 1 + 3) / 4 + (4 + 2 + 1 + 1) / 4) / 2
    assert loss.item() == pytest.approx(fused + 0.5 * alone)
    assert objective(auxiliary=0.0)(Prediction(SCORE, by_stream), LABEL, weight).item() == pytest.approx(
        fused
    )
    assert objective()(Prediction(SCORE, {}), LABEL, weight).item() == pytest.approx(fused)


def test_without_auxiliary_losses_stream_scores_still_have_a_gradient():
    own = torch.zeros(4, requires_grad=True)
    objective(auxiliary=0.0)(Prediction(SCORE, {"a": own}), LABEL, torch.ones(4)).backward()
    assert own.grad.tolist() == [0.0] * 4  # several processes wait for a gradient of every parameter


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_the_split_in_micro_batches_changes_nothing(task):
    generator = torch.Generator().manual_seed(0)
    score, own, label = (torch.randn(7, generator=generator) for _ in range(3))
    loss = objective(task, auxiliary=0.3, balance=True)
    whole = loss(Prediction(score, {"a": own}), label, torch.full((7,), 1 / 7))
    for parts in ([7], [3, 4], [1] * 7, [2, 2, 2, 1]):
        pieces = zip(*(x.split(parts) for x in (score, own, label)), strict=True)
        total = sum(loss(Prediction(s, {"a": o}), y, torch.full_like(y, 1 / 7)) for s, o, y in pieces)
        torch.testing.assert_close(total, whole)
    each = loss.each(score, label) + 0.3 * loss.each(own, label)
    torch.testing.assert_close(whole, each.mean())


def test_smoothing_spreads_a_share_of_the_label_over_all_classes():
    logits = torch.tensor([[2.0, 0.0, -1.0]])
    label, log = torch.tensor([0.0]), logits.log_softmax(dim=1)
    smooth = ClassObjective(LossConfig(smoothing=0.3), np.array([0, 1, 2]), ["a", "b", "c"])
    wanted = -(0.7 * log[0, 0] + 0.1 * log.sum())
    torch.testing.assert_close(smooth.each(logits, label), wanted[None])


def test_smoothing_is_for_classes():
    """Refused as soon as the settings are read, so that a page's command is checked, too."""
    with pytest.raises(UserError, match=r"type loss\.smoothing=0"):
        RunConfig(task="binary", loss=LossConfig(smoothing=0.1))
    RunConfig(task="classes", loss=LossConfig(smoothing=0.1))


def test_a_filler_counts_nothing():
    score = torch.tensor([1.0, -50.0], requires_grad=True)
    loss = objective()(Prediction(score, {"a": score}), torch.tensor([2.0, 3.0]), torch.tensor([1.0, 0.0]))
    loss.backward()
    assert loss.item() == pytest.approx(1.2) and score.grad[1] == 0.0


def test_half_precision_scores_are_judged_in_full():
    each = objective(regression="mse").each(torch.tensor([300.0], dtype=torch.float16), torch.zeros(1))
    assert each.dtype == torch.float32 and each.item() == 90000.0


@pytest.mark.parametrize(
    ("task", "zero_label", "expected"),
    [
        ("regression", "drop", [True, True, True, False]),
        ("binary", "drop", [True, False, True, False]),
        ("binary", "positive", [True, True, True, False]),
    ],
)
def test_which_clips_are_examples(task, zero_label, expected):
    label = np.array([-1.0, 0.0, 2.0, np.nan])
    assert objective(task, zero_label).counts(label).tolist() == expected


def test_written_scores_are_sentiment_or_probability():
    raw = torch.tensor([-4.0, 0.0, 2.0])
    assert objective().to_score(raw).tolist() == [-4.0, 0.0, 2.0]
    assert objective("binary").to_score(raw).tolist() == pytest.approx([0.0180, 0.5, 0.8808], abs=1e-4)


def test_metrics_leave_unlabelled_clips_out():
    table = pd.DataFrame({"label": [1.0, np.nan, -1.0], "score": [0.5, 99.0, -1.0]})
    scores = objective().score(table)
    assert tuple(scores) == REGRESSION_KEYS and scores["mae"] == pytest.approx(0.25)
    probabilities = table.assign(score=[0.9, 0.1, 0.2])
    assert objective("binary").score(probabilities)["n"] == 2
    assert objective("binary").score(probabilities)["acc"] == 1.0


def test_floors_know_the_train_labels():
    label = np.array([1.0, -1.0, 2.0])
    floor = objective().floors(label)["train_mean"]["mae"]
    assert floor == pytest.approx(np.abs(label - TRAIN.mean()).mean())
    assert objective("binary").floors(label)["train_rate"]["nll"] == pytest.approx(
        -(2 * math.log(0.25) + math.log(0.75)) / 3
    )


def test_the_monitored_metric_is_one_that_is_scored():
    table = pd.DataFrame({"label": [1.0, -1.0], "score": [0.5, 0.4]})
    for task in ("regression", "binary"):
        metric, mode = objective(task).monitor
        assert metric in objective(task).score(table) and mode == "min"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"task": "ordinal"},
            r"task is one of regression, binary, classes, but got 'ordinal'; type task=regression",
        ),
        ({"zero_label": "keep"}, "zero_label is one of drop, positive"),
        ({"regression": "l2"}, r"loss\.regression is one of l1, mse, huber"),
    ],
)
def test_unknown_choices_are_named(settings, message):
    with pytest.raises(UserError, match=message):
        objective(**settings)


def test_the_ordinal_term_by_hand():
    plain, ordinal = (objective(ordinal=weight).each(SCORE, LABEL) for weight in (0.0, 0.5))
    cuts = (-2.5, -1.5, -0.5, 0.5, 1.5, 2.5)
    pairs = zip(SCORE.tolist(), LABEL.tolist(), strict=True)
    by_hand = [sum(log_loss(score - cut, label > cut) for cut in cuts) / 6 for score, label in pairs]
    assert (ordinal - plain).tolist() == pytest.approx([0.5 * value for value in by_hand], abs=1e-6)


def test_the_concordance_term_is_that_of_the_metric():
    weight = torch.full((4,), 0.25)
    plain, more = (objective(ccc=ccc)(Prediction(SCORE, {}), LABEL, weight) for ccc in (0.0, 0.7))
    ccc = score_regression(LABEL.numpy(), SCORE.numpy())["ccc"]
    assert (more - plain).item() == pytest.approx(0.7 * (1 - ccc), abs=1e-5)


def test_the_concordance_term_ignores_fillers_and_survives_one_clip():
    score, label = torch.cat([SCORE, torch.tensor([9.0])]), torch.cat([LABEL, torch.tensor([0.0])])
    weight = torch.tensor([0.25, 0.25, 0.25, 0.25, 0.0])
    torch.testing.assert_close(
        concordance_loss(score, label, weight), concordance_loss(SCORE, LABEL, weight[:4])
    )
    alone = torch.tensor([1.0], requires_grad=True)
    concordance_loss(alone, torch.tensor([2.0]), torch.tensor([1.0])).backward()
    assert alone.grad.isfinite().all()
