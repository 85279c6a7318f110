"""Mean and standard deviation per feature column, over the train split alone."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np

from preprocessing.cache.store import Arrays


class ClipReader(Protocol):
    """Where the arrays of a stage's clips are."""

    def read(self, clip_id: str) -> Arrays:
        """The arrays of one clip."""


def compute_stats(
    files: Mapping[str, ClipReader],
    train_clips: Iterable[str],
    features: Mapping[str, Sequence[str]],
) -> dict[str, dict[str, list[float]]]:
    """`{key: {"mean": [D], "std": [D], "rows": n}}` over the valid rows of the given clips.

    Two passes' accuracy in one: sums are kept about the first clip's mean, in double precision. A key
    without a single row is left out.
    """
    clips = list(train_clips)
    stats = {}
    for stage, keys in features.items():
        for key in keys:
            rows = (_valid_rows(files[stage], clip, key) for clip in clips)
            found = _accumulate(row for row in rows if len(row))
            if found is not None:
                stats[key] = found
    return stats


def find_moments(blocks: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray] | None:
    """Mean and deviation [D] of the rows of all blocks [T, D]; None without a row."""
    found = _accumulate(block.astype(np.float64) for block in blocks if len(block))
    return None if found is None else (np.array(found["mean"]), np.array(found["std"]))


def _valid_rows(files: ClipReader, clip_id: str, key: str) -> np.ndarray:
    arrays = files.read(clip_id)
    valid = arrays.get(f"{key}_valid")
    values = arrays[key].astype(np.float64)  # [T, D]
    return values if valid is None else values[valid]


def _accumulate(blocks: Iterable[np.ndarray]) -> dict | None:
    shift, count, total, square = None, 0, 0.0, 0.0
    for block in blocks:
        shift = block.mean(axis=0) if shift is None else shift
        centred = block - shift
        count += len(block)
        total = total + centred.sum(axis=0)
        square = square + (centred**2).sum(axis=0)
    if not count:
        return None
    mean = total / count
    std = np.sqrt(np.maximum(square / count - mean**2, 0.0))
    return {"mean": (mean + shift).tolist(), "std": std.tolist(), "rows": count}
