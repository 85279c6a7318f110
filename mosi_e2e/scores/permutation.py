"""The permutation test behind a paired comparison: whole units of two systems change sides."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mosi_e2e.scores.metrics import ZeroRule
from mosi_e2e.scores.resampling import Task, average_defined, block_rows, build_table

TIE_TOLERANCE = 1e-12


class SeedPairs:
    """Two systems whose seeds are partners: one table per pair, both systems' units in it.

    Of unequal numbers of seeds each has the same number of partners: the first and second of two, with
    three, make six pairs.

    Args:
        label: [n_clips].
        scores_a: of the seeds of side a [n_seeds, n_clips].
        scores_b: of the seeds of side b; their number may be another.
        unit: number of each clip's unit [n_clips].
        task: which metrics.
        zero: the rule for zero labels of the binary task.
        classes: names of the task `classes`; its scores have one more axis, of probabilities.
    """

    def __init__(
        self,
        label: NDArray,
        scores_a: NDArray,
        scores_b: NDArray,
        unit: NDArray,
        task: Task,
        zero: ZeroRule,
        classes: Sequence[str] = (),
    ):
        self.n_units = int(unit.max()) + 1
        # Both systems as separate units of one table: which one counts is then a matter of weights.
        both_units = np.concatenate([unit, unit + self.n_units])
        rows_a, rows_b = (
            np.arange(math.lcm(len(scores_a), len(scores_b))) % len(s) for s in (scores_a, scores_b)
        )
        both_labels = np.tile(label, 2)
        self.tables = [
            build_table(
                both_labels, np.concatenate([scores_a[a], scores_b[b]]), both_units, task, zero, classes
            )
            for a, b in zip(rows_a, rows_b, strict=True)
        ]
        unswapped = [self._differ(table, np.zeros((1, self.n_units))) for table in self.tables]
        self.is_defined = ~np.isnan(np.concatenate(unswapped))  # [pairs, k]

    def differ(self, swap: NDArray) -> NDArray[np.float64]:
        """Side a minus side b, mean over pairs [n, k], where units changed sides as `swap` [n, n_units] says.

        A metric that is undefined for a whole pair is averaged over the others.
        """
        return average_defined([self._differ(table, swap) for table in self.tables], self.is_defined)

    def _differ(self, table, swap: NDArray) -> NDArray[np.float64]:
        side_a, side_b = np.concatenate([1 - swap, swap], axis=1), np.concatenate([swap, 1 - swap], axis=1)
        return table.weigh(side_a) - table.weigh(side_b)


def find_p_values(pairs: SeedPairs, n_permutations: int, seed: int) -> tuple[NDArray[np.float64], float]:
    """Two-sided p-value of each metric [k], and the smallest one that so few units allow."""
    swaps, is_exact = draw_swaps(pairs.n_units, n_permutations, seed)
    observed = np.abs(pairs.differ(np.zeros((1, pairs.n_units))))
    permuted = np.abs(np.concatenate([pairs.differ(swap) for swap in swaps]))
    # Written as "not less", so that a permutation in which the metric is undefined counts as extreme.
    extreme = np.sum(~(permuted < observed - TIE_TOLERANCE), axis=0)
    if is_exact:  # swapping nothing and swapping everything always give what was observed
        return extreme / len(permuted), 2 / len(permuted)
    return (1 + extreme) / (1 + len(permuted)), 1 / (1 + len(permuted))


def draw_swaps(n_units: int, n: int, seed: int) -> tuple[Iterator[NDArray[np.bool_]], bool]:
    """Which units change sides in each permutation, in blocks of [rows, n_units]; whether these are all.

    Where all 2 ** n_units patterns are at most `n`, they are listed once each; otherwise `n` are drawn.
    """
    if 2**n_units <= n:
        patterns = np.arange(2**n_units)[:, None] >> np.arange(n_units) & 1  # [2 ** n_units, n_units]
        return iter([patterns.astype(bool)]), True
    generator = np.random.default_rng(seed)
    return (generator.random((rows, n_units)) < 0.5 for rows in block_rows(n_units, n)), False
