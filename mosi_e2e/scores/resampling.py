"""Metrics under thousands of re-weightings of one table of predictions, without scoring clips again.

Every metric of `mosi_e2e.scores.metrics` except the AUC is a function of a few sums over clips. So the sums
of each *unit* (a video, or a single clip) are taken once, and a bootstrap resample, which draws unit u
`c[u]` times, has the sums `c @ sums`: 2,000 resamples are one matrix product. The AUC is a sum over
pairs of a positive and a negative clip, so it takes one matrix of pair counts between units in the same
way.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from mosi_e2e.scores.class_metrics import check_classes, list_class_keys, measure_losses, rate_counts
from mosi_e2e.scores.metrics import (
    BINARY_KEYS,
    CONSTANT_SPREAD,
    REGRESSION_KEYS,
    ZeroRule,
    binary_classes,
    split_classes,
)

Task = Literal["regression", "binary", "classes"]

# A block of weights has at most this many numbers (8 MB), however many units and resamples there are.
BLOCK_NUMBERS = 1_000_000


class UnitTable(Protocol):
    """Predictions that can be scored under any weights of their units."""

    keys: tuple[str, ...]
    n_units: int

    def weigh(self, weights: NDArray) -> NDArray[np.float64]:
        """Metrics [n, len(keys)] under each row of `weights` [n, n_units]; NaN where undefined."""


class RegressionTable:
    """The sums of every unit that `score_regression` is a function of.

    Args:
        label: [n_clips].
        score: [n_clips].
        unit: number of each clip's unit [n_clips], 0 .. n_units - 1, none of them empty.
    """

    keys = REGRESSION_KEYS

    def __init__(self, label: NDArray, score: NDArray, unit: NDArray):
        self.n_units = int(unit.max()) + 1
        self.sums = _membership(unit) @ _regression_terms(label, score)  # [n_units, 19]
        # Extremes decide whether a resample is constant: its variance from sums is never exactly 0.
        self.label_low, self.label_high = _extremes(label, unit, self.n_units)
        self.score_low, self.score_high = _extremes(score, unit, self.n_units)

    def weigh(self, weights: NDArray) -> NDArray[np.float64]:
        """See `UnitTable.weigh`."""
        sums = np.moveaxis(weights @ self.sums, -1, 0)  # [19, n]
        n, absolute, error, squared, label, score, label2, score2, product, equal7, equal5 = sums[:11]
        flat_label = _find_constant(weights, self.label_low, self.label_high)
        flat_score = _find_constant(weights, self.score_low, self.score_high)
        with np.errstate(invalid="ignore", divide="ignore"):
            label_variance = label2 / n - (label / n) ** 2
            score_variance = score2 / n - (score / n) ** 2
            covariance = np.where(flat_label | flat_score, 0, product / n - label * score / n**2)
            scale = label_variance + score_variance + (error / n) ** 2
            same_constant = flat_label & flat_score & (scale <= CONSTANT_SPREAD**2)
            ccc = np.where(same_constant, np.nan, 2 * covariance / scale)
            corr = covariance / np.sqrt(label_variance * score_variance)
            metrics = [
                absolute / n,
                np.sqrt(squared / n),
                np.where(flat_label, np.nan, 1 - squared / n / label_variance),
                np.where(flat_label | flat_score, np.nan, corr),
                ccc,
                equal7 / n,
                equal5 / n,
            ]
        metrics += [*score_counts(*sums[11:15])[:2], *score_counts(*sums[15:19])[:2]]
        return np.stack(metrics, axis=-1)


class BinaryTable:
    """The sums and pair counts of every unit that `score_binary` is a function of.

    A unit may have no clip left after the rule for zeros; it is still drawn, with nothing in it.

    Args:
        label: sentiment [n_clips].
        probability: of the positive class [n_clips].
        unit: number of each clip's unit [n_clips].
        zero: as in `score_binary`.
    """

    keys = BINARY_KEYS

    def __init__(self, label: NDArray, probability: NDArray, unit: NDArray, zero: ZeroRule):
        self.n_units = int(unit.max()) + 1
        truth, predicted, kept = binary_classes(label, probability, zero)
        probability, unit = probability[kept], unit[kept]
        inside = np.clip(probability, np.finfo(np.float64).eps, 1 - np.finfo(np.float64).eps)
        loss = -np.log(np.where(truth == 1, inside, 1 - inside))
        terms = np.stack([*count_outcomes(truth, predicted), loss], axis=-1)
        self.sums = _membership(unit, self.n_units) @ terms  # [n_units, 5]
        self.wins = self._count_wins(truth, probability, unit)

    def _count_wins(self, truth: NDArray, probability: NDArray, unit: NDArray) -> NDArray[np.float64]:
        """Pairs of a positive of unit g above a negative of unit h, ties half. [n_units, n_units]."""
        positive, negative = probability[truth == 1], probability[truth == 0]
        above = np.heaviside(positive[:, None] - negative, 0.5)  # [n_positive, n_negative]
        by_unit = _membership(unit[truth == 1], self.n_units) @ above  # [n_units, n_negative]
        return (_membership(unit[truth == 0], self.n_units) @ by_unit.T).T

    def weigh(self, weights: NDArray) -> NDArray[np.float64]:
        """See `UnitTable.weigh`."""
        *counts, loss = np.moveaxis(weights @ self.sums, -1, 0)  # 5 x [n]
        true_positive, false_positive, false_negative, true_negative = counts
        pairs = (true_positive + false_negative) * (false_positive + true_negative)
        with np.errstate(invalid="ignore", divide="ignore"):
            auc = np.sum((weights @ self.wins) * weights, axis=-1) / pairs
            nll = loss / sum(counts)
        return np.stack([*score_counts(*counts), auc, nll], axis=-1)


class ClassTable:
    """The confusion counts and losses of every unit that `score_classes` is a function of.

    Args:
        label: number of each clip's class [n_clips].
        probability: of each class [n_clips, C].
        unit: number of each clip's unit [n_clips].
        classes: names [C].
    """

    def __init__(self, label: NDArray, probability: NDArray, unit: NDArray, classes: Sequence[str]):
        self.keys, self.size = list_class_keys(classes), len(classes)
        self.n_units = int(unit.max()) + 1
        label, probability = check_classes(label, probability, self.size)
        pairs = np.eye(self.size**2)[label * self.size + probability.argmax(axis=1)]  # [n_clips, C * C]
        terms = np.concatenate([pairs, measure_losses(label, probability)[:, None]], axis=1)
        self.sums = _membership(unit) @ terms  # [n_units, C * C + 1]

    def weigh(self, weights: NDArray) -> NDArray[np.float64]:
        """See `UnitTable.weigh`."""
        sums = weights @ self.sums
        counts = sums[:, :-1].reshape(-1, self.size, self.size)
        rates = rate_counts(counts)
        with np.errstate(invalid="ignore", divide="ignore"):
            nll = sums[:, -1:] / counts.sum(axis=(1, 2))[:, None]
        return np.concatenate([rates[:, :3], nll, rates[:, 3:]], axis=1)


class MeanTable:
    """The mean over several tables of the same units, such as the seeds of one system.

    A metric that is undefined for a whole table, because that seed collapsed to a constant, is averaged
    over the others. Under weights it is undefined where it is so for any of these others.

    Args:
        tables: one per seed.
    """

    def __init__(self, tables: Sequence[UnitTable]):
        self.keys, self.n_units, self.tables = tables[0].keys, tables[0].n_units, tables
        everything = np.ones((1, self.n_units))
        self.is_defined = np.stack([~np.isnan(table.weigh(everything)[0]) for table in tables])  # [seeds, k]

    def weigh(self, weights: NDArray) -> NDArray[np.float64]:
        """See `UnitTable.weigh`."""
        return average_defined([table.weigh(weights) for table in self.tables], self.is_defined)


def average_defined(metrics: Sequence[NDArray], is_defined: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean [n, k] of the `metrics` [n, k] of m tables, each over the tables where it `is_defined` [m, k]."""
    total = np.where(is_defined[:, None], np.stack(metrics), 0.0).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return total / is_defined.sum(axis=0)


def build_table(
    label: NDArray,
    score: NDArray,
    video_id: ArrayLike | None,
    task: Task,
    zero: ZeroRule,
    classes: Sequence[str] = (),
) -> UnitTable:
    """The table of a task, with the videos as units, or the clips where `video_id` is None."""
    unit = number_units(video_id, label.size)
    if task == "regression":
        return RegressionTable(label, score, unit)
    if task == "binary":
        return BinaryTable(label, score, unit, zero)
    if task == "classes":
        return ClassTable(label, score, unit, classes)
    raise ValueError(f"task must be 'regression', 'binary' or 'classes': got {task!r}")


def number_units(video_id: ArrayLike | None, n_clips: int) -> NDArray[np.int64]:
    """Numbers 0, 1, .. of the videos of the clips [n_clips]; every clip its own number for None."""
    if video_id is None:
        return np.arange(n_clips)
    video_id = np.asarray(video_id)
    if video_id.shape != (n_clips,):
        raise ValueError(
            f"video_id must have one entry for each of {n_clips} clips: got shape {video_id.shape}"
        )
    return np.unique(video_id, return_inverse=True)[1]


def count_outcomes(truth: NDArray, predicted: NDArray) -> list[NDArray[np.bool_]]:
    """Masks of true positive, false positive, false negative, true negative; classes are 0 and 1."""
    truth, predicted = truth == 1, predicted == 1
    return [truth & predicted, ~truth & predicted, truth & ~predicted, ~truth & ~predicted]


def score_counts(
    true_positive: NDArray, false_positive: NDArray, false_negative: NDArray, true_negative: NDArray
) -> tuple[NDArray, NDArray, NDArray]:
    """Accuracy, weighted F1 and macro F1 from counts of any shape; NaN where all counts are 0.

    As in scikit-learn with `zero_division=0`, macro F1 is the mean over the classes that occur.
    """
    wrong = false_positive + false_negative
    total = true_positive + true_negative + wrong
    with np.errstate(invalid="ignore", divide="ignore"):
        f1_positive = np.where(true_positive > 0, 2 * true_positive / (2 * true_positive + wrong), 0)
        f1_negative = np.where(true_negative > 0, 2 * true_negative / (2 * true_negative + wrong), 0)
        support = true_positive + false_negative
        weighted = (support * f1_positive + (total - support) * f1_negative) / total
        occurring = (true_positive + wrong > 0).astype(np.float64) + (true_negative + wrong > 0)
        return (true_positive + true_negative) / total, weighted, (f1_positive + f1_negative) / occurring


def draw_resamples(n_units: int, n: int, seed: int, rows_each: int = 1) -> Iterator[NDArray[np.int64]]:
    """How often each unit is drawn in each of `n` bootstrap resamples, in blocks of [rows, n_units].

    Blocks only bound memory: the draws are the same whatever their size. `rows_each` says how many rows
    of weights the caller makes of each resample.
    """
    generator = np.random.default_rng(seed)
    for rows in block_rows(n_units * rows_each, n):
        yield generator.multinomial(n_units, np.full(n_units, 1 / n_units), size=rows)


def _regression_terms(label: NDArray, score: NDArray) -> NDArray[np.float64]:
    """[n_clips, 19]: what is summed, in the order in which `RegressionTable.weigh` takes it apart."""
    error = label - score
    # Moments about the overall means: about 0 they would lose digits where the spread is small.
    y, p = label - label.mean(), score - score.mean()
    terms = [np.ones_like(label), np.abs(error), error, error**2, y, p, y**2, p**2, y * p]
    terms += [np.equal(*split_classes(label, score, kind)) for kind in ("acc7", "acc5")]
    terms += count_outcomes(*split_classes(label, score, "has0"))
    # Spread over all clips again, with nothing for the clips that non0 leaves out.
    non0 = np.zeros((4, label.size))
    non0[:, label != 0] = count_outcomes(*split_classes(label, score, "non0"))
    return np.stack([*terms, *non0], axis=-1)


def _membership(unit: NDArray, n_units: int | None = None) -> csr_array:
    """[n_units, n_clips], 1 where the clip belongs to the unit."""
    shape = (int(unit.max()) + 1 if n_units is None else n_units, unit.size)
    return csr_array((np.ones(unit.size), (unit, np.arange(unit.size))), shape=shape)


def _extremes(values: NDArray, unit: NDArray, n_units: int) -> tuple[NDArray, NDArray]:
    low, high = np.full(n_units, np.inf), np.full(n_units, -np.inf)
    np.minimum.at(low, unit, values)
    np.maximum.at(high, unit, values)
    return low, high


def _find_constant(weights: NDArray, low: NDArray, high: NDArray) -> NDArray[np.bool_]:
    """In which rows of `weights` all values of the units with a weight are the same. [n]."""
    if np.min(high - low) > CONSTANT_SPREAD:
        # Each single unit varies, so every mixture does: usual for videos, and saves half the work.
        return np.zeros(len(weights), dtype=bool)
    drawn = weights > 0
    largest = np.where(drawn, high, -np.inf).max(axis=-1)
    smallest = np.where(drawn, low, np.inf).min(axis=-1)
    return largest - smallest <= CONSTANT_SPREAD


def block_rows(numbers_each: int, n: int) -> Iterator[int]:
    """Sizes of blocks that fit into memory and together have n rows."""
    size = max(1, BLOCK_NUMBERS // numbers_each)
    for start in range(0, n, size):
        yield min(size, n - start)
