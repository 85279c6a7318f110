"""What is done about odd values of feature files: each rule has a name and is counted.

A row is *empty* where each of its values is zero or missing: fixed-length files pad with such rows, at
either end, and trackers leave them where they found nothing.
"""

import numpy as np

RULES = {
    "infinite": "values that are infinite; they count as missing",
    "nan": "values that are not a number; they count as missing",
    "sentinel": "values of the magnitude given by --sentinel, in columns that stay far below it; missing",
    "leading_padding": "empty rows before the first other row; cut off",
    "trailing_padding": "empty rows after the last other row; cut off",
    "inner_empty": "empty rows between others; kept in place and marked invalid",
    "imputed": "missing values in the remaining rows; set to the column's mean over train",
    "empty_clip": "clips without a row in this stream; the clip lacks the stream",
}
FAR_BELOW = 0.5  # a sentinel stands for itself where its column comes nearer than this share of it


class StreamRules:
    """The rules as they apply to one stream: what train says about its columns, and the counts.

    Args:
        width: columns.
        sentinel: magnitude that may stand for "no value", or None.

    Attributes:
        counts: how often each rule took effect, over all clips.
    """

    def __init__(self, width: int, sentinel: float | None):
        self.sentinel = sentinel
        self.counts = dict.fromkeys(RULES, 0)
        self._highest, self._total, self._count = np.zeros(width), np.zeros(width), np.zeros(width)

    def look_for_sentinel(self, values: np.ndarray) -> None:
        """Note how large the other values [T, width] of a train clip are; call for all before `learn`."""
        magnitude = np.abs(np.where(np.isfinite(values), values, 0.0))
        magnitude[magnitude == self.sentinel] = 0.0
        self._highest = np.maximum(self._highest, magnitude.max(axis=0, initial=0.0))

    def learn(self, values: np.ndarray) -> None:
        """Add a train clip's rows [T, width] to the columns' means; call for all before `apply`."""
        missing = self._find_missing(values)
        kept = ~missing & ~find_empty(values, missing)[:, None]
        self._total += np.where(kept, values, 0.0).sum(axis=0, dtype=np.float64)
        self._count += kept.sum(axis=0)

    @property
    def fill(self) -> np.ndarray:
        """Mean of each column [width] over the rows of train that are not empty; 0 where there is none."""
        return (self._total / np.maximum(self._count, 1)).astype(np.float32)

    def apply(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
        """Clean one clip's rows and count what was done.

        Args:
            values: [T, width] as in the file.

        Returns:
            The kept rows [K, width], finite; which of them are valid [K]; first kept row and the one after
            the last.
        """
        missing = self._find_missing(values)
        empty = find_empty(values, missing)
        self.counts["infinite"] += int(np.isinf(values).sum())
        self.counts["nan"] += int(np.isnan(values).sum())
        self.counts["sentinel"] += int(self._find_sentinel(values).sum())
        there = np.flatnonzero(~empty)
        if not len(there):
            self.counts["empty_clip"] += 1
            return values[:0], empty[:0], (0, 0)
        first, last = int(there[0]), int(there[-1]) + 1
        valid, missing = ~empty[first:last], missing[first:last]
        self.counts["leading_padding"] += first
        self.counts["trailing_padding"] += len(values) - last
        self.counts["inner_empty"] += int((~valid).sum())
        self.counts["imputed"] += int(missing[valid].sum())
        return np.where(missing, self.fill, values[first:last]), valid, (first, last)

    def _find_sentinel(self, values: np.ndarray) -> np.ndarray:
        if self.sentinel is None:
            return np.zeros(values.shape, dtype=bool)
        return (np.abs(values) == self.sentinel) & (self._highest < FAR_BELOW * self.sentinel)

    def _find_missing(self, values: np.ndarray) -> np.ndarray:
        return ~np.isfinite(values) | self._find_sentinel(values)


def find_empty(values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Which rows [T] hold nothing but zeros and missing values."""
    return ((values == 0) | missing).all(axis=1)
