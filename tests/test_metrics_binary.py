"""`mosi_e2e.scores.metrics.score_binary` against a hand-computed table and the signs of a regression."""

import math
import warnings

import numpy as np
import pytest
from sklearn.metrics import f1_score

from mosi_e2e.scores.metrics import BINARY_KEYS, confusion, score_binary, score_regression, split_classes


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def draw_table(seed: int = 0, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    label = np.clip(np.round(generator.normal(0, 1.6, n) * 5) / 5, -3, 3)
    return label, 0.5 * label + generator.normal(0, 1, n)


def test_binary_hand_computed():
    label, probability = [0.0, 2.0, 0.2, -1.0, -2.0, 0.0], [0.4, 0.9, 0.5, 0.2, 0.6, 0.5]
    found = score_binary(label, probability)  # left: + .9, + .5 (not above), - .2, - .6
    assert found["n"] == 4 and found["acc"] == 0.5 and found["f1"] == found["macro_f1"] == 0.5
    assert found["auc"] == 3 / 4
    assert found["nll"] == pytest.approx(-sum(map(math.log, (0.9, 0.5, 0.8, 0.4))) / 4)
    kept = score_binary(label, probability, zero="positive")  # + .4 .9 .5 .5 (all but the first), - .2 .6
    assert kept["n"] == 6 and kept["acc"] == 4 / 6
    assert kept["f1"] == pytest.approx((4 * 6 / 8 + 2 * 2 / 4) / 6)
    assert kept["macro_f1"] == pytest.approx((6 / 8 + 2 / 4) / 2)
    assert kept["auc"] == 5 / 8
    assert list(found) == ["n", *BINARY_KEYS]


@pytest.mark.parametrize(("zero", "view"), [("drop", "non0"), ("positive", "has0")])
def test_binary_equals_the_sign_of_a_regression(zero, view):
    label, score = draw_table()
    probability = 1 / (1 + np.exp(-score))
    found, expected = score_binary(label, probability, zero), score_regression(label, score)
    assert found["acc"] == expected[f"acc2_{view}"]
    assert found["f1"] == expected[f"f1_{view}"]
    assert found["macro_f1"] == f1_score(*split_classes(label, score, view), average="macro")
    assert confusion(label, probability - 0.5, view).matrix.sum() == found["n"]


def test_binary_edges():
    assert score_binary([1.0, 2.0], [0.5, 1.0])["auc"] is None
    assert score_binary([0.0, 0.0], [0.5, 1.0]) == {"n": 0, **dict.fromkeys(BINARY_KEYS)}
    assert score_binary([1.0, -1.0], [0.7, 0.7])["auc"] == 0.5
    assert 30 < score_binary([1.0, -1.0], [0.0, 1.0])["nll"] < 40
    with pytest.raises(ValueError, match=r"probability must lie in \[0, 1\]: 1 of 2 .*positions 1"):
        score_binary([1.0, -1.0], [0.0, 1.1])
    with pytest.raises(ValueError, match="'drop' or 'positive': got 'keep'"):
        score_binary([1.0], [0.5], zero="keep")
