"""`mosi_e2e.scores.metrics` against hand-computed tables, real labels, loops and the stated invariances."""

import json
import math
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kit.plain_metrics import f1_by_loop, score_by_loop
from sklearn.metrics import f1_score

from mosi_e2e.scores.metrics import (
    CLASS_NAMES,
    REGRESSION_KEYS,
    check_values,
    confusion,
    is_constant,
    predicts_one_class,
    score_regression,
    split_classes,
)

# Zeros on both sides, halves of both parities, values beyond the range. Worked by hand below.
LABEL = [0.0, 0.0, 0.5, 1.5, 2.5, -0.5, -1.5, -3.0]
SCORE = [0.0, -0.4, 0.0, 2.5, 3.5, 0.5, -2.5, -2.4]
# The third-party predictions of ../shared, by `score_by_loop`: a change of convention would move them.
THIRD_PARTY = {
    "mae": 1.20777,
    "rmse": 1.48404,
    "r2": 0.12691,
    "corr": 0.44943,
    "ccc": 0.30512,
    "acc7": 163 / 685,
    "acc5": 170 / 685,
    "acc2_has0": 468 / 685,
    "f1_has0": 0.68311,
    "acc2_non0": 453 / 655,
    "f1_non0": 0.69243,
}


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def draw_table(seed: int = 0, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    label = np.clip(np.round(generator.normal(0, 1.6, n) * 5) / 5, -3, 3)
    return label, 0.5 * label + generator.normal(0, 1, n)


def test_hand_computed_table():
    found = score_regression(LABEL, SCORE)
    # |error|: 0 .4 .5 1 1 1 1 .6 = 5.5; squared: 0 .16 .25 1 1 1 1 .36 = 4.77
    assert found["mae"] == pytest.approx(5.5 / 8)
    assert found["rmse"] == pytest.approx(math.sqrt(4.77 / 8))
    # label: sum -0.5, squares 0 0 .25 2.25 6.25 .25 2.25 9 = 20.25 -> about the mean 20.25 - 0.25 / 8
    assert found["r2"] == pytest.approx(1 - 4.77 / 20.21875)
    # score: sum 1.2, squares 0 .16 0 6.25 12.25 .25 6.25 5.76 = 30.92
    # label times score: 0 0 0 3.75 8.75 -.25 3.75 7.2 = 23.2
    covariance, squares = 23.2 + 0.5 * 1.2 / 8, 30.92 - 1.2**2 / 8
    assert found["corr"] == pytest.approx(covariance / math.sqrt(20.21875 * squares))
    assert found["ccc"] == pytest.approx(2 * covariance / (20.21875 + squares + 8 * (1.7 / 8) ** 2))
    # rounded labels 0 0 0 2 2 0 -2 -3, rounded scores 0 0 0 2 3 0 -2 -2
    assert found["acc7"] == 6 / 8
    # in [-2, 2] the last two pairs of limits agree as well
    assert found["acc5"] == 8 / 8
    # has0: truth + + + + + - - -, prediction + - + + + + - -
    assert found["acc2_has0"] == 6 / 8
    assert found["f1_has0"] == pytest.approx((5 * 8 / 10 + 3 * 4 / 6) / 8)
    # non0: truth + + + - - -, prediction - + + + - - (0 is not positive here)
    assert found["acc2_non0"] == 4 / 6
    assert found["f1_non0"] == pytest.approx(2 / 3)
    assert list(found) == list(REGRESSION_KEYS)
    assert all(type(value) is float for value in found.values())


def test_hand_computed_confusions():
    assert confusion(LABEL, SCORE, "has0").matrix.tolist() == [[2, 1], [1, 4]]
    assert confusion(LABEL, SCORE, "non0").matrix.tolist() == [[2, 1], [1, 2]]
    seven = confusion(LABEL, SCORE, "acc7")
    assert seven.classes == ("-3", "-2", "-1", "0", "+1", "+2", "+3")
    expected = np.zeros((7, 7), dtype=int)
    expected[0, 1] = expected[1, 1] = expected[5, 5] = expected[5, 6] = 1
    expected[3, 3] = 4
    assert seven.matrix.tolist() == expected.tolist()
    assert confusion(LABEL, SCORE, "acc5").matrix.diagonal().tolist() == [2, 0, 4, 0, 2]


@pytest.mark.parametrize("kind", CLASS_NAMES)
def test_confusion_agrees_with_accuracy_and_macro_f1(kind):
    label, score = draw_table()
    matrix, classes = confusion(label, score, kind)
    key = kind if kind.startswith("acc") else f"acc2_{kind}"
    assert matrix.shape == (len(classes), len(classes))
    assert matrix.trace() / matrix.sum() == pytest.approx(score_regression(label, score)[key])
    # F1 of a class is twice its diagonal cell over the sum of its row and its column.
    f1 = [2 * matrix[i, i] / (matrix[i].sum() + matrix[:, i].sum()) for i in range(len(classes))]
    assert f1_score(*split_classes(label, score, kind), average="macro") == pytest.approx(np.mean(f1))


def test_confusion_of_nothing_is_zero():
    found = confusion([0.0, 0.0], [1.0, -1.0], "non0")
    assert found.matrix.tolist() == [[0, 0], [0, 0]]


def test_third_party_predictions_match_plain_loops(shared):
    table = pd.read_csv(shared / "data/mosi/third_party_test_predictions.tsv", sep="\t")
    assert len(table) == 685
    # The file has labels in float32 ("-2.799999952316284"); rounding to 4 digits is what they stood for.
    for label in (table["Ground Truth"], table["Ground Truth"].round(4)):
        found = score_regression(label, table["Prediction"])
        assert found == pytest.approx(score_by_loop(label.tolist(), table["Prediction"].tolist()), abs=1e-12)
    assert found == pytest.approx(THIRD_PARTY, abs=5e-6)


def test_constant_negative_predictor_and_swapped_arguments(shared):
    label = read_split(shared, "test")
    found = score_regression(label, np.full(label.size, -1.0))
    assert found["acc2_non0"] == pytest.approx(0.578, abs=5e-4)
    assert found["f1_non0"] == pytest.approx(0.423, abs=5e-4)
    assert found["acc2_has0"] == 379 / 686
    assert found["f1_has0"] == pytest.approx(0.393, abs=5e-4)
    kept = label[label != 0] > 0
    assert f1_by_loop([False] * kept.size, kept.tolist()) == pytest.approx(0.732, abs=1e-3)


def read_split(shared: Path, mode: str) -> np.ndarray:
    table = pd.read_csv(shared / "data/mosi/mosi_labels.csv")
    return table.loc[table["mode"] == mode, "label"].to_numpy()


def test_real_labels_contain_halves_and_are_scored_perfectly(shared):
    label = read_split(shared, "test")
    assert np.sum(np.abs(label) % 1 == 0.5) == 18
    found = score_regression(label, label)
    assert [found[key] for key in ("mae", "rmse")] == [0, 0]
    assert all(found[key] == pytest.approx(1, abs=1e-12) for key in REGRESSION_KEYS[2:])


@pytest.mark.parametrize(
    ("value", "seven", "five"),
    [(0.5, 0, 0), (1.5, 2, 2), (2.5, 2, 2), (-0.5, 0, 0), (-1.5, -2, -2), (-2.5, -2, -2), (9.0, 3, 2)],
)
def test_rounding_is_half_to_even_after_clipping(value, seven, five):
    assert score_regression([value], [float(seven)])["acc7"] == 1
    assert score_regression([float(seven)], [value])["acc7"] == 1
    assert score_regression([value], [float(five)])["acc5"] == 1
    away = seven + (1 if seven <= 0 else -1)
    assert score_regression([value], [float(away)])["acc7"] == 0


def test_order_of_clips_does_not_matter():
    label, score = draw_table()
    order = np.random.default_rng(1).permutation(label.size)
    shuffled = score_regression(label[order], score[order])
    assert shuffled == pytest.approx(score_regression(label, score), abs=1e-12)


def test_what_scaling_and_shifting_a_score_changes():
    label, score = draw_table()
    plain, scaled, shifted = (score_regression(label, s) for s in (score, 3 * score, score + 0.7))
    assert scaled["corr"] == pytest.approx(plain["corr"], abs=1e-12)
    assert shifted["corr"] == pytest.approx(plain["corr"], abs=1e-12)
    for key in ("acc2_has0", "f1_has0", "acc2_non0", "f1_non0"):
        assert scaled[key] == plain[key]
        assert shifted[key] != plain[key]
    assert scaled["mae"] != plain["mae"] and shifted["ccc"] < plain["ccc"]
    mirrored = score_regression(-label, -score)
    for key in ("mae", "rmse", "r2", "corr", "ccc", "acc7", "acc5", "acc2_non0", "f1_non0"):
        assert mirrored[key] == pytest.approx(plain[key], abs=1e-12)


def test_mae_is_not_clipped():
    assert score_regression([3.0, -3.0], [13.0, -3.0])["mae"] == 5


def test_float32_gives_the_same(shared):
    label = read_split(shared, "test")
    # Scores on a grid that float32 holds, next to labels such as 0.2, which it does not.
    score = np.round(np.random.default_rng(0).normal(label / 2, 1) * 64) / 64
    expected = score_regression(label, score)
    found = score_regression(label.astype(np.float32), score.astype(np.float32))
    assert found == pytest.approx(expected, abs=1e-6)
    assert score_regression([0.5, 1], np.float32([0.5, 1]))["acc7"] == 1


def test_undefined_values_are_none_and_survive_json():
    label, _ = draw_table()
    found = score_regression(label, np.full(label.size, label.mean()))
    assert found["corr"] is None and found["ccc"] == 0 and found["r2"] == pytest.approx(0, abs=1e-12)
    assert json.loads(json.dumps(found)) == found
    flat = score_regression([1.0, 1.0, 1.0], [0.0, 1.0, 2.0])
    assert flat["r2"] is None and flat["corr"] is None and flat["ccc"] == 0
    assert score_regression([1.0, 1.0], [1.0, 1.0])["ccc"] is None
    zeros = score_regression([0.0, 0.0], [1.0, -1.0])
    assert zeros["acc2_non0"] is None and zeros["f1_non0"] is None and zeros["acc2_has0"] == 0.5


def test_a_predictor_with_float_noise_is_constant():
    label, _ = draw_table()
    collapsed = (0.2340 + 1e-8 * np.random.default_rng(0).normal(size=label.size)).astype(np.float32)
    assert is_constant(collapsed)
    assert score_regression(label, collapsed)["corr"] is None
    assert not is_constant(collapsed + np.linspace(0, 1e-4, label.size))


def test_one_sided_predictor_is_named():
    assert predicts_one_class([0.1, 0.2, 2.9], "non0")
    assert not predicts_one_class([0.1, 0.2, 2.9], "acc7")
    assert predicts_one_class([0.0, 0.2], "has0") and not predicts_one_class([0.0, 0.2], "non0")


@pytest.mark.parametrize(
    ("label", "score", "message"),
    [
        (
            [0.0, 1.0, 2.0],
            [np.nan, 0.0, np.inf],
            r"score must be finite: 2 of 3 values .*positions 0, 2\)",
        ),
        ([0.0, np.nan], [1.0, 1.0], r"label must be finite: 1 of 2 .*positions 1\)"),
        (np.zeros(99), np.full(99, np.nan), "99 of 99 values .* 19 and 79 more"),
        ([0.0, 1.0], [0.0], "equal length: got 2 and 1"),
        ([], [], "not empty"),
        (np.zeros((3, 1)), np.zeros(3), r"one-dimensional.*\(3, 1\)"),
    ],
)
def test_broken_input_is_refused(label, score, message):
    with pytest.raises(ValueError, match=message):
        score_regression(label, score)
    with pytest.raises(ValueError):
        confusion(label, score, "has0")


def test_unknown_view_names_the_views():
    with pytest.raises(ValueError, match="has0, non0, acc5, acc7: got 'acc3'"):
        confusion([1.0], [1.0], "acc3")


def test_constants_are_told_from_each_other_and_from_noise():
    ones = np.ones(4)
    assert score_regression(ones, ones)["ccc"] is None
    assert score_regression(ones, ones + 5e-4)["ccc"] == 0  # two constants that differ
    noise = 4e-7 * np.array([-1.0, 0.5, 1.0, -0.5])
    assert (
        score_regression(1e3 * noise, 0.5 + noise)["ccc"] == 0
    )  # exactly: a collapsed model's noise is nothing


def test_a_message_names_twenty_positions_and_counts_the_rest():
    broken = np.full(20, np.nan)
    with pytest.raises(ValueError, match=r"positions [\d, ]*19\)$"):
        check_values(broken, "score")
    with pytest.raises(ValueError, match=r"19 and 1 more\)$"):
        check_values(np.append(broken, np.nan), "score")
