"""How sure a result is: floors, bootstrap intervals, seeds, paired and several comparisons.

Clips of one video share speaker, camera and opinion, so they are not independent: intervals and tests
draw whole *videos* wherever video ids are given. Without them every clip counts as its own unit, which
claims too much.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mosi_e2e.scores.class_metrics import check_classes
from mosi_e2e.scores.intervals import ANGLE, PLAIN, SCALES, estimate_intervals
from mosi_e2e.scores.metrics import (
    BINARY_KEYS,
    REGRESSION_KEYS,
    ZeroRule,
    binary_classes,
    check_pair,
    check_values,
    score_binary,
    score_regression,
)
from mosi_e2e.scores.permutation import SeedPairs, find_p_values
from mosi_e2e.scores.resampling import (
    MeanTable,
    RegressionTable,
    Task,
    build_table,
    count_outcomes,
    number_units,
    score_counts,
)

Scores = dict[str, float | None]

RANDOM_DRAWS = 1000
# Draws scored at once: bounds memory to some tens of MB on the largest test splits.
DRAWS_AT_ONCE = 50
# What a predictor of a sign alone can be scored by: its magnitude would be made up.
SIGN_KEYS = ("acc2_has0", "f1_has0", "acc2_non0", "f1_non0")


def floors(train_label: ArrayLike, label: ArrayLike, seed: int = 0) -> dict[str, Scores]:
    """Metrics of predictors that never look at a clip, under the keys of `score_regression`.

    - `train_mean`: the mean label of train.
    - `zero`: 0 everywhere; its side is an artefact of the convention (>= 0 in has0, not > 0 in non0).
    - `majority`: the more frequent sign of the train labels. A sign has no magnitude, so only the Acc-2
      and F1 keys have values, here and in the next row.
    - `always_negative`: on MOSI, whose test split is shifted against train, it beats `majority`, and a
      collapsed model may do so too.
    - `random`: labels drawn from train with replacement, the mean of each metric over 1,000 draws.

    Args:
        train_label: labels of the train split [m].
        label: labels of the split that is scored [n].
        seed: of the random predictor's draws.
    """
    train_label, label = check_values(train_label, "train_label"), check_values(label, "label")
    sign = 1 if np.sum(train_label > 0) >= np.sum(train_label < 0) else -1
    return {
        "train_mean": score_regression(label, np.full_like(label, train_label.mean())),
        "zero": score_regression(label, np.zeros_like(label)),
        "majority": _score_sign(label, sign),
        "always_negative": _score_sign(label, -1),
        "random": _score_random(train_label, label, seed),
    }


def floors_binary(
    train_label: ArrayLike, label: ArrayLike, zero: ZeroRule = "drop", seed: int = 0
) -> dict[str, dict[str, float | int | None]]:
    """As `floors`, for the binary task, under the keys of `score_binary`.

    - `train_rate`: the share of positives in train as a constant probability.
    - `majority`, `always_negative`: a constant class; it states no probability, so no `auc` and `nll`.
    - `random`: positive with the train share, mean over 1,000 draws; its expected AUC is 0.5.

    Raises:
        ValueError: also where the rule for zeros leaves no train clip.
    """
    train_label, label = check_values(train_label, "train_label"), check_values(label, "label")
    train_truth, _, _ = binary_classes(train_label, np.zeros_like(train_label), zero)
    if not train_truth.size:
        raise ValueError("train_label must hold a value other than 0 where zero='drop': got only 0")
    rate = train_truth.mean()
    unstated = {"auc": None, "nll": None}
    always_negative = score_binary(label, np.zeros_like(label), zero) | unstated
    always_positive = score_binary(label, np.ones_like(label), zero) | unstated
    truth, _, _ = binary_classes(label, np.zeros_like(label), zero)
    random = {"n": int(truth.size), **dict.fromkeys(BINARY_KEYS)}
    if truth.size:
        drawn = np.random.default_rng(seed).random((RANDOM_DRAWS, truth.size)) < rate
        counts = [outcome.sum(axis=-1) for outcome in count_outcomes(np.sort(truth), drawn)]  # 4 x [draws]
        means = [float(values.mean()) for values in score_counts(*counts)]
        random |= dict(zip(("acc", "f1", "macro_f1"), means, strict=True))
        random["auc"] = 0.5 if 0 < truth.sum() < truth.size else None
    return {
        "train_rate": score_binary(label, np.full_like(label, rate), zero),
        "majority": always_positive if rate >= 0.5 else always_negative,
        "always_negative": always_negative,
        "random": random,
    }


def bootstrap_interval(
    label: ArrayLike,
    score: ArrayLike,
    video_id: ArrayLike | None = None,
    *,
    task: Task = "regression",
    zero: ZeroRule = "drop",
    classes: Sequence[str] = (),
    n: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, list[float] | None]:
    """An interval [low, high] for every metric, by resampling videos.

    The interval is the symmetric studentised one, see `mosi_e2e.scores.intervals` for why, and
    `benchmarks/interval_coverage.py` for how often it covers the truth where it claims 95 %. It speaks
    about new *videos* for these trained models; the spread between training runs is `summarise_seeds`.

    Args:
        label: sentiment [n_clips].
        score: predicted sentiment, or for `binary` the probability of the positive class, [n_clips]; of
            several seeds [n_seeds, n_clips]: the interval is then that of the mean over seeds of the metric.
        video_id: of each clip [n_clips], text or numbers; None draws single clips, which is too narrow
            where clips of one video are similar.
        task: which metrics.
        zero: the rule for zero labels of the binary task.
        classes: names for the task `classes`: labels are their numbers, scores probabilities
            [(n_seeds,) n_clips, C].
        n: number of resamples.
        seed: of the resamples; it gives the same resamples for any predictions of the same videos.
        level: coverage that is claimed.

    Returns:
        None for a metric that is undefined, on the table itself or in more than 5 % of the resamples,
        and for all of them where there is one video only.
    """
    label, scores = _check_seeds(label, score, classes)
    table = MeanTable([build_table(label, one, video_id, task, zero, classes) for one in scores])
    scales = [SCALES.get(key, ANGLE) for key in table.keys]  # ANGLE: of a class's recall
    intervals = estimate_intervals(table.weigh, scales, table.n_units, n, seed, level)
    return dict(zip(table.keys, intervals, strict=True))


def compare_paired(
    label: ArrayLike,
    score_a: ArrayLike,
    score_b: ArrayLike,
    video_id: ArrayLike | None = None,
    *,
    task: Task = "regression",
    zero: ZeroRule = "drop",
    classes: Sequence[str] = (),
    n: int = 2000,
    n_permutations: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, dict]:
    """Compare two systems on the same clips, metric by metric.

    Difference, interval and p-value speak about one quantity: the mean over seeds of a's metric minus that
    of b's. All three take a video as the unit. The interval draws videos with replacement, the same ones
    for both systems. The p-value is that of a permutation test: if there were no difference, the
    predictions of a whole video could change sides, each seed of a with its partner of b. Where all
    patterns of swaps are at most `n_permutations` (13 videos) they are all taken and the p-value is exact;
    otherwise it is (1 + as extreme) / (1 + drawn), which is never 0. Two-sided.

    Args:
        label: sentiment [n_clips].
        score_a: predictions of the first system [n_clips], or of its seeds [n_seeds, n_clips].
        score_b: predictions of the reference, in the same way; the number of seeds may differ.
        video_id: of each clip; None resamples and swaps single clips.
        task, zero, classes, n: as in `bootstrap_interval`.
        n_permutations: number of permutations.
        seed: of resamples and permutations.
        level: coverage that the interval claims.

    Returns:
        For every metric `difference` (a - b; a is better below 0 for mae, rmse and nll, above 0 for the
        others), its `interval`, `p_value`, and `smallest_p` that so few videos allow (3: 0.25). None where
        undefined.
    """
    label, scores_a = _check_seeds(label, score_a, classes, "score_a")
    scores_b = _check_seeds(label, score_b, classes, "score_b")[1]
    unit = number_units(video_id, label.size)
    n_units = int(unit.max()) + 1
    side_a, side_b = (
        MeanTable([build_table(label, one, unit, task, zero, classes) for one in part])
        for part in (scores_a, scores_b)
    )

    def weigh_pair(weights: NDArray) -> NDArray[np.float64]:
        return side_a.weigh(weights) - side_b.weigh(weights)

    intervals = estimate_intervals(weigh_pair, [PLAIN] * len(side_a.keys), n_units, n, seed, level)
    difference = weigh_pair(np.ones((1, n_units)))[0]
    pairs = SeedPairs(label, scores_a, scores_b, unit, task, zero, classes)
    p_values, smallest = find_p_values(pairs, n_permutations, seed)
    compared = {}
    for key, *found in zip(side_a.keys, difference.tolist(), intervals, p_values.tolist(), strict=True):
        values = [None] * 3 if np.isnan(found[0]) else found
        compared[key] = dict(zip(("difference", "interval", "p_value"), values, strict=True))
        compared[key]["smallest_p"] = smallest
    return compared


def summarise_seeds(
    results: Sequence[Mapping[str, float | None]],
) -> dict[str, dict[str, float | int | None]]:
    """Mean, standard deviation (divisor n - 1) and number of runs, for every metric of several seeds.

    Args:
        results: one dict of metrics for each seed, all with the same keys.

    Returns:
        `{"mean": .., "deviation": .., "n": ..}` for each key. `n` counts the runs in which the metric is
        defined: it is below the number of runs where a run collapsed to a constant. `deviation` is None
        for fewer than two.
    """
    if not results:
        raise ValueError("results must hold the metrics of at least one run: got none")
    if any(set(result) != set(results[0]) for result in results):
        raise ValueError("results must all have the same keys: were they scored for the same task?")
    summary = {}
    for key in results[0]:
        values = [result[key] for result in results if result[key] is not None]
        summary[key] = {
            "mean": float(np.mean(values)) if values else None,
            "deviation": float(np.std(values, ddof=1)) if len(values) > 1 else None,
            "n": len(values),
        }
    return summary


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for several comparisons by Holm's step-down rule (1979), in the order given.

    Controls the chance of even one false difference, whatever the dependence between the tests.
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    if not np.all((p_values >= 0) & (p_values <= 1)):
        raise ValueError(f"p_values must lie in [0, 1]: got {p_values.tolist()}")
    order = np.argsort(p_values, kind="stable")
    stepped = np.maximum.accumulate(p_values[order] * np.arange(p_values.size, 0, -1))
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted.tolist()


def _check_seeds(
    label: ArrayLike, score: ArrayLike, classes: Sequence[str], name: str = "score"
) -> tuple[NDArray, NDArray[np.float64]]:
    """Labels [n_clips] and the scores of all seeds [n_seeds, n_clips]; see `check_pair`, `check_classes`."""
    if classes:
        seeds = score if np.ndim(score) == 3 else [score]
        found = [check_classes(label, one, len(classes)) for one in seeds]
        return found[0][0], np.stack([one for _, one in found])
    rows = score if np.ndim(score) == 2 and len(score) else [score]
    checked = [check_pair(label, row, name) for row in rows]
    return checked[0][0], np.stack([row for _, row in checked])


def _score_sign(label: NDArray, sign: int) -> Scores:
    scores = score_regression(label, np.full_like(label, sign))
    return {key: scores[key] if key in SIGN_KEYS else None for key in REGRESSION_KEYS}


def _score_random(train_label: NDArray, label: NDArray, seed: int) -> Scores:
    train_label, label = np.sort(train_label), np.sort(label)  # whatever order the clips come in
    generator = np.random.default_rng(seed)
    draw = np.repeat(np.arange(DRAWS_AT_ONCE), label.size)
    tiled = np.tile(label, DRAWS_AT_ONCE)
    blocks = []
    for _ in range(RANDOM_DRAWS // DRAWS_AT_ONCE):
        # One unit is one draw, so weights of a single unit give the metrics of that draw.
        table = RegressionTable(tiled, generator.choice(train_label, size=draw.size), draw)
        blocks.append(table.weigh(np.eye(DRAWS_AT_ONCE)))
    means = np.concatenate(blocks).mean(axis=0)  # [k], NaN where the metric is undefined in any draw
    values = [None if np.isnan(mean) else float(mean) for mean in means]
    return dict(zip(REGRESSION_KEYS, values, strict=True))
