"""Scores of a table of predictions, by the conventions of the CMU-MOSI literature.

Pure functions of arrays, no state and no files. Every score is computed once over a whole split: an
average of batch values is another number. Values are fractions, not percent, and a value that is not
defined (the correlation of a constant predictor) is `None`, never 0.

Two binary conventions exist and papers print them as "has0 / non0":

- `has0`: (label >= 0) against (score >= 0) on all clips, negative / non-negative.
- `non0`: clips with label 0 left out, (label > 0) against (score > 0), negative / positive.

F1 is weighted by the support of the *true* classes, so truth is always the first argument. With the
arguments swapped a constant predictor scores far too well: an F1 far above the accuracy is a warning.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import pearsonr
from sklearn.metrics import (
    confusion_matrix,
    f1_score,
    log_loss,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
    root_mean_squared_error,
)

ClassView = Literal["has0", "non0", "acc5", "acc7"]
ZeroRule = Literal["drop", "positive"]

REGRESSION_KEYS = (
    "mae",
    "rmse",
    "r2",
    "corr",
    "ccc",
    "acc7",
    "acc5",
    "acc2_has0",
    "f1_has0",
    "acc2_non0",
    "f1_non0",
)
BINARY_KEYS = ("acc", "f1", "macro_f1", "auc", "nll")
CLASS_NAMES: dict[str, tuple[str, ...]] = {
    "has0": ("negative", "non-negative"),
    "non0": ("negative", "positive"),
    "acc5": ("-2", "-1", "0", "+1", "+2"),
    "acc7": ("-3", "-2", "-1", "0", "+1", "+2", "+3"),
}
# Scores that differ by less than float32 noise on the scale of sentiment come from a collapsed model;
# a correlation with that noise would be a number without a meaning.
CONSTANT_SPREAD = 1e-6
POSITIONS_SHOWN = 20


class Confusion(NamedTuple):
    """Counts of clips: rows are true classes, columns predicted ones, both in the order of `classes`."""

    matrix: NDArray[np.int64]
    classes: tuple[str, ...]


def score_regression(label: ArrayLike, score: ArrayLike) -> dict[str, float | None]:
    """All metrics of sentiment scores against labels, under the keys of `REGRESSION_KEYS`.

    MAE, RMSE and R2 see the scores as they are; Acc-7 and Acc-5 clip both sides to [-3, 3] or [-2, 2]
    and round half to even. CCC is Lin's coefficient (Biometrics 1989) with population moments, so a
    constant predictor has CCC 0, while its Corr is undefined.

    Args:
        label: sentiment [n], in [-3, 3] for MOSI.
        score: predictions [n], not clipped.

    Returns:
        Fractions; `corr` is None where label or score is constant, `r2` where the label is, `ccc` where
        both are the same constant, `acc2_non0` and `f1_non0` where every label is 0.

    Raises:
        ValueError: empty input, unequal lengths, more than one dimension, NaN or infinity.
    """
    label, score = check_pair(label, score)
    scores = {
        "mae": mean_absolute_error(label, score),
        "rmse": root_mean_squared_error(label, score),
        "r2": None if is_constant(label) else r2_score(label, score),
        "corr": _correlation(label, score),
        "ccc": _concordance(label, score),
        "acc7": _accuracy(label, score, "acc7"),
        "acc5": _accuracy(label, score, "acc5"),
        "acc2_has0": _accuracy(label, score, "has0"),
        "f1_has0": _f1(label, score, "has0"),
        "acc2_non0": _accuracy(label, score, "non0"),
        "f1_non0": _f1(label, score, "non0"),
    }
    return {key: None if value is None else float(value) for key, value in scores.items()}


def score_binary(
    label: ArrayLike, probability: ArrayLike, zero: ZeroRule = "drop"
) -> dict[str, float | int | None]:
    """Metrics of a negative / positive classifier: `n`, accuracy, weighted and macro F1, AUC, NLL.

    The decision follows the convention that the rule for zeros belongs to: `drop` is non0 (positive
    where probability > 0.5), `positive` is has0 (positive where probability >= 0.5). So the accuracy
    equals Acc-2 of `score_regression` for `probability = sigmoid(score)`, and the table behind it is
    `confusion(label, probability - 0.5, "non0")`.

    Args:
        label: sentiment [n] in [-3, 3], not yet thresholded.
        probability: of the positive class [n], in [0, 1].
        zero: what a clip with label 0 is: left out (`drop`), or of the positive class (`positive`).

    Returns:
        `n` counts the clips scored; `auc` is None where only one class is present (a constant
        probability has AUC 0.5: all pairs are ties), everything but `n` is None where no clip is left.
        NLL is in nats; probabilities 0 and 1 are moved inside by the float64 epsilon.

    Raises:
        ValueError: as `score_regression`; a probability outside [0, 1]; an unknown rule for zeros.
    """
    label, probability = check_pair(label, probability, "probability")
    truth, predicted, kept = binary_classes(label, probability, zero)
    if not truth.size:
        return {"n": 0, **dict.fromkeys(BINARY_KEYS)}
    return {
        "n": int(truth.size),
        "acc": float(np.mean(truth == predicted)),
        "f1": float(f1_score(truth, predicted, average="weighted", zero_division=0)),
        "macro_f1": float(f1_score(truth, predicted, average="macro", zero_division=0)),
        "auc": None if np.ptp(truth) == 0 else float(roc_auc_score(truth, probability[kept])),
        "nll": float(log_loss(truth, probability[kept], labels=[0, 1])),
    }


def confusion(label: ArrayLike, score: ArrayLike, kind: ClassView) -> Confusion:
    """Count true against predicted classes in one of the class views: `has0`, `non0`, `acc5`, `acc7`.

    Every class of the view has its row and column, also where no clip falls into it.
    """
    truth, predicted = split_classes(*check_pair(label, score), kind)
    classes = CLASS_NAMES[kind]
    if not truth.size:
        return Confusion(np.zeros((len(classes),) * 2, dtype=np.int64), classes)
    return Confusion(confusion_matrix(truth, predicted, labels=np.arange(len(classes))), classes)


def is_constant(score: ArrayLike) -> bool:
    """Whether all values are the same up to float32 noise (`CONSTANT_SPREAD`)."""
    return bool(np.ptp(check_values(score, "score")) <= CONSTANT_SPREAD)


def predicts_one_class(score: ArrayLike, kind: ClassView) -> bool:
    """Whether every clip gets the same class in this view: its accuracy is then that of a constant."""
    score = check_values(score, "score")
    # A label of 1 everywhere keeps every clip in every view; only the predictions are looked at.
    _, predicted = split_classes(np.ones_like(score), score, kind)
    return bool(np.ptp(predicted) == 0)


def split_classes(
    label: NDArray, score: NDArray, kind: ClassView
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Class numbers of truth and prediction, in the order of `CLASS_NAMES[kind]`.

    Args:
        label: [n], or any shape that goes with `score`.
        score: [n] or [..., n].
        kind: the class view; `non0` leaves out the clips with label 0, so its arrays [m] are shorter.
    """
    match kind:
        case "has0":
            return (label >= 0).astype(np.int64), (score >= 0).astype(np.int64)
        case "non0":
            kept = label != 0
            return (label[kept] > 0).astype(np.int64), (score[kept] > 0).astype(np.int64)
        case "acc5" | "acc7":
            limit = len(CLASS_NAMES[kind]) // 2
            # np.round rounds half to even: 0.5 -> 0, 1.5 -> 2, 2.5 -> 2, as the published results do.
            truth, predicted = (np.round(np.clip(x, -limit, limit)) + limit for x in (label, score))
            return truth.astype(np.int64), predicted.astype(np.int64)
    raise ValueError(f"the class view must be one of {', '.join(CLASS_NAMES)}: got {kind!r}")


def binary_classes(
    label: NDArray, probability: NDArray, zero: ZeroRule
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """True and predicted classes [m] of a binary task, and which of the n clips [n] they belong to."""
    if zero not in ("drop", "positive"):
        raise ValueError(f"zero must be 'drop' or 'positive': got {zero!r}")
    outside = np.flatnonzero((probability < 0) | (probability > 1))
    if outside.size:
        raise ValueError(f"probability must lie in [0, 1]: {_name_positions(outside, probability.size)}")
    truth, predicted = split_classes(label, probability - 0.5, "non0" if zero == "drop" else "has0")
    return truth, predicted, label != 0 if zero == "drop" else np.ones(label.shape, dtype=bool)


def check_pair(
    label: ArrayLike, score: ArrayLike, name: str = "score"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both as float64 [n]; a ValueError says what is wrong with them.

    A column [n, 1] is refused because against [n] it would broadcast to [n, n] and still give a number.
    """
    label, score = check_values(label, "label"), check_values(score, name)
    if label.size != score.size:
        raise ValueError(f"label and {name} must have equal length: got {label.size} and {score.size}")
    return label, score


def check_values(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """`values` as float64 [n], n >= 1, all finite; a ValueError names how many are not, and where."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"{name} must be one-dimensional and not empty: got shape {values.shape}")
    broken = np.flatnonzero(~np.isfinite(values))
    if broken.size:
        raise ValueError(f"{name} must be finite: {_name_positions(broken, values.size)}")
    return values


def _name_positions(found: NDArray, total: int) -> str:
    shown = ", ".join(str(i) for i in found[:POSITIONS_SHOWN])
    more = f" and {found.size - POSITIONS_SHOWN} more" if found.size > POSITIONS_SHOWN else ""
    return f"{found.size} of {total} values are not (positions {shown}{more})"


def _correlation(label: NDArray, score: NDArray) -> float | None:
    if is_constant(label) or is_constant(score):
        return None
    return pearsonr(label, score).statistic


def _concordance(label: NDArray, score: NDArray) -> float | None:
    scale = label.var() + score.var() + (label.mean() - score.mean()) ** 2
    if is_constant(label) and is_constant(score) and scale <= CONSTANT_SPREAD**2:
        return None
    if is_constant(label) or is_constant(score):
        return 0.0
    return 2 * np.mean((label - label.mean()) * (score - score.mean())) / scale


def _accuracy(label: NDArray, score: NDArray, kind: ClassView) -> float | None:
    truth, predicted = split_classes(label, score, kind)
    return float(np.mean(truth == predicted)) if truth.size else None


def _f1(label: NDArray, score: NDArray, kind: ClassView) -> float | None:
    truth, predicted = split_classes(label, score, kind)
    return float(f1_score(truth, predicted, average="weighted", zero_division=0)) if truth.size else None
