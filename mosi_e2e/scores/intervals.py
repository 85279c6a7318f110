"""Bootstrap intervals that cover what they claim although a test split has few videos.

For 31 videos whose clips resemble each other, plain percentiles of the resampled metric are too narrow:
resampling has the variance with divisor n, not n - 1, and normal, not Student tails, and the estimated
error is smallest where the metric came out too good. So the *studentised* bootstrap is used (Hall, The
Annals of Statistics 16, 1988): each resample is measured in units of its own standard error, which comes
from leaving out its videos one at a time, and the interval is `metric +- q * error` with the quantile q of
the absolute studentised differences. It is computed on a scale on which the error depends little on the
metric (the logarithm of an error, Fisher's z of a correlation, the angle of a share), which also keeps the
limits inside the metric's range.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import t as student

from mosi_e2e.scores.resampling import draw_resamples

# Above this many units percentiles need no help, and leaving out each unit of each resample takes long.
MANY_UNITS = 100
# A metric undefined in a larger share of resamples has no interval: the rest are a biased selection.
MOST_UNDEFINED = 0.05
# Where one video outweighs all others, resamples without it have next to no error and the studentised
# interval explodes; one this many times wider than the percentiles says nothing but that.
WIDEST = 2

Weigh = Callable[[NDArray], NDArray[np.float64]]
Interval = list[float] | None


class Scale(NamedTuple):
    """A monotone transformation and its inverse, for arrays."""

    forward: Callable[[NDArray], NDArray]
    inverse: Callable[[NDArray], NDArray]


PLAIN = Scale(np.asarray, np.asarray)
LOGARITHM = Scale(np.log, np.exp)
UNEXPLAINED = Scale(lambda r2: -np.log1p(-r2), lambda x: -np.expm1(-x))
FISHER = Scale(np.arctanh, np.tanh)
ANGLE = Scale(lambda share: np.arcsin(np.sqrt(share)), lambda x: np.sin(np.clip(x, 0, np.pi / 2)) ** 2)
SCALES = {
    "mae": LOGARITHM,
    "rmse": LOGARITHM,
    "nll": LOGARITHM,
    "r2": UNEXPLAINED,
    "corr": FISHER,
    "ccc": FISHER,
} | dict.fromkeys(("acc7", "acc5", "acc2_has0", "f1_has0", "acc2_non0", "f1_non0"), ANGLE)
SCALES |= dict.fromkeys(("acc", "f1", "macro_f1", "auc", "uar"), ANGLE)


def estimate_intervals(
    weigh: Weigh, scales: Sequence[Scale], n_units: int, n: int, seed: int, level: float
) -> list[Interval]:
    """Intervals of several metrics from `n` resamples of the same units.

    Studentised where there are few units; `expand_percentiles` where there are more than `MANY_UNITS`,
    for a metric whose error is 0 or undefined in too many resamples (3 videos, a perfect score), and where
    one video outweighs all others (`WIDEST`).

    Args:
        weigh: metrics [rows, k] for weights of the units [rows, n_units], NaN where undefined.
        scales: on which each of the k metrics is studentised.
        n_units: number of units.
        n: number of resamples.
        seed: of the resamples.
        level: coverage that is claimed.

    Returns:
        For each metric [low, high], or None where there is one unit only, or the metric is undefined in
        too many resamples (in all of them, where it is undefined on the whole table).
    """
    if n_units < 2:
        return [None] * len(scales)
    whole = weigh(np.ones((1, n_units)))
    studentise = n_units <= MANY_UNITS
    replicates, errors = [], []
    for counts in draw_resamples(n_units, n, seed, n_units if studentise else 1):
        replicates.append(weigh(counts))
        if studentise:
            errors.append(_leave_one_out(weigh, scales, counts, replicates[-1]))
    replicates = np.concatenate(replicates)
    percentiles = expand_percentiles(replicates, n_units, level)
    intervals = [_include(*pair) for pair in zip(whole[0].tolist(), percentiles, strict=True)]
    if studentise:
        error = _leave_one_out(weigh, scales, np.ones((1, n_units), dtype=np.int64), whole)[0]
        studentised = _studentise(whole[0], error, replicates, np.concatenate(errors), scales, level)
        intervals = [_prefer(*pair) for pair in zip(studentised, intervals, strict=True)]
    return intervals


def expand_percentiles(replicates: NDArray, n_units: int, level: float) -> list[Interval]:
    """Percentile intervals, one for each column of `replicates` [n, k], widened for few units.

    The expanded percentile interval (Hesterberg, The American Statistician 69, 2015) takes, with n
    units, the percentile `Phi(sqrt(n / (n - 1)) * t[alpha / 2, n - 1])` instead of `alpha / 2`: for 31
    videos 1.9 % instead of 2.5 %.
    """
    tail = ndtr(np.sqrt(n_units / (n_units - 1)) * student.ppf((1 - level) / 2, n_units - 1))
    intervals = []
    for column in replicates.T:
        defined = column[~np.isnan(column)]
        enough = defined.size >= (1 - MOST_UNDEFINED) * column.size
        intervals.append(np.quantile(defined, [tail, 1 - tail]).tolist() if enough else None)
    return intervals


def _studentise(
    whole: NDArray,
    error: NDArray,
    replicates: NDArray,
    errors: NDArray,
    scales: Sequence[Scale],
    level: float,
) -> list[Interval]:
    """Symmetric studentised intervals; None where too many of the studentised differences do not exist.

    `whole` and its standard `error` are [k], `replicates` and their standard `errors` [n, k]; errors are
    on the metrics' scales, the rest is not.
    """
    intervals = []
    for column, scale in enumerate(scales):
        with np.errstate(invalid="ignore", divide="ignore"):
            centre = scale.forward(whole[column])
            distance = np.abs((scale.forward(replicates[:, column]) - centre) / errors[:, column])
        defined = distance[np.isfinite(distance)]
        usable = np.isfinite(centre) and np.isfinite(error[column])
        if not usable or defined.size < (1 - MOST_UNDEFINED) * distance.size:
            intervals.append(None)
            continue
        reach = np.quantile(defined, level) * error[column]
        with np.errstate(over="ignore"):
            limits = scale.inverse(centre + reach * np.array([-1, 1]))
        intervals.append(limits.tolist())
    return intervals


def _include(metric: float, interval: Interval) -> Interval:
    """The interval, widened to hold the metric itself: percentiles of a biased metric may leave it out."""
    return interval and [min(interval[0], metric), max(interval[1], metric)]


def _prefer(studentised: Interval, percentile: Interval) -> Interval:
    if studentised is None or percentile is None:
        return percentile
    bound = WIDEST * (percentile[1] - percentile[0])
    return studentised if studentised[1] - studentised[0] <= bound else percentile


def _leave_one_out(
    weigh: Weigh, scales: Sequence[Scale], counts: NDArray, metrics: NDArray
) -> NDArray[np.float64]:
    """Jackknife standard error [n, k] of the `metrics` [n, k] of each resample `counts` [n, n_units].

    A unit that was drawn c times stands for c equal ones: it is left out once and counts c times.
    """
    row, unit = np.nonzero(counts)  # [p], sorted by row
    fewer = counts[row]
    fewer[np.arange(row.size), unit] -= 1
    shortened = weigh(fewer)  # [p, k]
    squares = np.empty_like(shortened)
    with np.errstate(invalid="ignore", divide="ignore"):
        for column, scale in enumerate(scales):
            change = scale.forward(shortened[:, column]) - scale.forward(metrics[:, column])[row]
            squares[:, column] = counts[row, unit] * change**2
    first = np.searchsorted(row, np.arange(len(counts)))
    n_units = counts.shape[1]
    return np.sqrt((n_units - 1) / n_units * np.add.reduceat(squares, first))
