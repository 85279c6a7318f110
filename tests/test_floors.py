"""Trivial baselines: scores of a predictor that never sees the clip."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mosi_e2e.scores.metrics import BINARY_KEYS, REGRESSION_KEYS
from mosi_e2e.scores.statistics import (
    floors,
    floors_binary,
)


def read_labels(shared: Path) -> pd.DataFrame:
    return pd.read_csv(shared / "data/mosi/mosi_labels.csv")


def test_floors_of_the_official_test_split(shared):
    labels = read_labels(shared).groupby("mode")["label"].apply(list)
    found = floors(labels["train"], labels["test"])
    mean, zero, negative = found["train_mean"], found["zero"], found["always_negative"]
    for key, expected in {"mae": 1.464, "rmse": 1.681, "r2": -0.121}.items():
        assert mean[key] == pytest.approx(expected, abs=5e-4)
    shares = {"acc7": 0.155, "acc2_non0": 0.422, "f1_non0": 0.251, "acc2_has0": 0.448, "f1_has0": 0.277}
    for key, expected in shares.items():
        assert mean[key] == pytest.approx(expected, abs=5e-4)
    for key, expected in {"mae": 1.417, "rmse": 1.620, "r2": -0.040, "acc7": 0.155}.items():
        assert zero[key] == pytest.approx(expected, abs=5e-4)
    for key, expected in {"acc2_non0": 0.578, "f1_non0": 0.423, "f1_has0": 0.393}.items():
        assert negative[key] == pytest.approx(expected, abs=5e-4)
    assert negative["acc2_has0"] == 379 / 686
    # Train is mostly positive, test mostly negative: the honest sign is the wrong one.
    assert found["majority"]["acc2_non0"] == mean["acc2_non0"] and mean["corr"] is None
    assert [found["majority"][key] for key in ("mae", "r2", "corr", "acc7")] == [None] * 4
    assert all(list(row) == list(REGRESSION_KEYS) for row in found.values())
    assert json.loads(json.dumps(found)) == found


def test_random_floor_is_the_expectation():
    train, label = np.array([-2.0, -1.0, 0.0, 0.0, 3.0]), np.array([-2.0, 1.0, 3.0, 0.0, -0.4] * 20)
    found = floors(train, label)["random"]
    difference = label[:, None] - train
    assert found["mae"] == pytest.approx(np.abs(difference).mean(), abs=0.02)
    assert found["rmse"] ** 2 == pytest.approx((difference**2).mean(), abs=0.1)
    assert found["acc7"] == pytest.approx((np.round(label)[:, None] == train).mean(), abs=0.01)
    assert found["acc2_has0"] == pytest.approx(((label >= 0)[:, None] == (train >= 0)).mean(), abs=0.01)
    assert found["corr"] == pytest.approx(0, abs=0.02)
    assert floors(train, label)["random"] == found
    order, other = (np.random.default_rng(1).permutation(len(one)) for one in (train, label))
    assert floors(train[order], label[other])["random"] == found  # whatever order the clips come in
    assert floors_binary(train, label)["random"] == floors_binary(train[order], label[other])["random"]
    assert floors(train, label, seed=1)["random"] != found
    assert floors([1.0, 1.0], label)["random"]["corr"] is None


def test_majority_follows_train():
    label = np.array([1.0, 2.0, 3.0, -1.0])
    assert floors([0.0, 0.0, 2.0, -2.0, -1.0], label)["majority"]["acc2_non0"] == 0.25  # zeros have no sign
    assert floors([-1.0, 1.0], label)["majority"]["acc2_non0"] == 0.75  # equally many: positive
    assert floors_binary([-1.0, 1.0], label)["majority"]["acc"] == 0.75
    assert floors([-1.0, -2.0, 5.0], label)["majority"]["acc2_non0"] == 0.25
    assert floors([1.0, 2.0, -5.0], label)["majority"]["acc2_non0"] == 0.75
    assert floors([0.5, 0.5, -2.0], label)["majority"]["acc2_non0"] == 0.75  # labels below 1 count as well
    assert floors([-0.5, -0.5, 2.0], label)["majority"]["acc2_non0"] == 0.25
    assert floors_binary([-1.0, -2.0, 5.0], label)["majority"]["acc"] == 0.25
    assert floors_binary([0.0, -2.0, 5.0], label, zero="positive")["majority"]["acc"] == 0.75


def test_binary_floors(shared):
    labels = read_labels(shared).groupby("mode")["label"].apply(list)
    for zero, view in (("drop", "non0"), ("positive", "has0")):
        found = floors_binary(labels["train"], labels["test"], zero)
        sign = floors(labels["train"], labels["test"])
        assert found["majority"]["acc"] == sign["majority"][f"acc2_{view}"]
        assert found["always_negative"]["f1"] == sign["always_negative"][f"f1_{view}"]
        assert found["train_rate"]["auc"] == found["random"]["auc"] == 0.5
        truth, rate = np.array(labels["test"]), np.array(labels["train"])
        truth = (truth[truth != 0] > 0) if zero == "drop" else truth >= 0
        rate = ((rate[rate != 0] > 0) if zero == "drop" else rate >= 0).mean()
        expected = np.where(truth, rate, 1 - rate)
        assert found["random"]["acc"] == pytest.approx(expected.mean(), abs=3e-3)
        assert found["train_rate"]["nll"] == pytest.approx(-np.log(expected).mean(), abs=1e-12)
        assert all(list(row) == ["n", *BINARY_KEYS] for row in found.values())
    with pytest.raises(ValueError, match="other than 0"):
        floors_binary([0.0, 0.0], [1.0])


def test_the_random_floor_of_a_binary_task():
    train, label = [1.0, 1.0, 1.0, -1.0], [2.0, -1.0, 1.0, 0.0]
    found = floors_binary(train, label)["random"]
    assert found["n"] == 3 and found["auc"] == 0.5 and found["nll"] is None
    assert found["acc"] == pytest.approx((2 * 0.75 + 0.25) / 3, abs=0.03)
    for one_class in ([2.0, 1.0], [-2.0, -1.0]):
        assert floors_binary([1.0, -1.0], one_class)["random"]["auc"] is None
    assert floors_binary([1.0], [0.0])["random"] == {"n": 0, **dict.fromkeys(BINARY_KEYS)}
    with pytest.raises(ValueError, match="other than 0"):
        floors_binary([0.0, 0.0], [1.0])


def test_a_constant_class_states_no_probability():
    found = floors_binary([1.0, 1.0, -1.0], [2.0, -1.0, -1.0, 1.0])
    for name, accuracy in (("majority", 0.5), ("always_negative", 0.5)):
        assert found[name]["acc"] == accuracy and found[name]["auc"] is found[name]["nll"] is None
    assert floors([2.0, 1.0, -3.0], [1.0, -1.0])["always_negative"]["acc2_has0"] == 0.5
    signs = floors([2.0, 1.0, -3.0], [0.0, 1.0, -1.0, -1.0])
    assert signs["majority"]["acc2_has0"] == 0.5 and signs["majority"]["acc2_non0"] == 1 / 3
    assert signs["always_negative"]["acc2_has0"] == 0.5 and signs["always_negative"]["acc2_non0"] == 2 / 3
