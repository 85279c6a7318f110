"""Which clips a page shows: named ones, or a spread over splits, labels and videos."""

import difflib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from mosi_e2e.config import FAILED, SPLITS
from preprocessing.cache.facts import CLASS_NAME, INDEX_NUMBERS, INDEX_TEXT
from preprocessing.errors import UserError


def list_stages(index: pd.DataFrame) -> list[str]:
    """The stages of a cache, which are the columns of its index that say how each went."""
    return [name for name in index if name not in (*INDEX_TEXT, CLASS_NAME, *INDEX_NUMBERS)]


def find_usable(index: pd.DataFrame) -> pd.Series:
    """Truth value per clip: no stage of it failed and it was not refused."""
    return ~index[list_stages(index)].isin(FAILED).any(axis=1)


def name_clips(index: pd.DataFrame, wanted: Sequence[str]) -> pd.DataFrame:
    """The rows of the named clips, in the order of the names.

    Raises:
        UserError: a clip is unknown, or has nothing to show.
    """
    rows = index.set_index("clip_id", drop=False)
    for clip_id in wanted:
        if clip_id not in rows.index:
            near = difflib.get_close_matches(clip_id, list(rows.index), n=1, cutoff=0.0)
            raise UserError(f"there is no clip '{clip_id}' in the cache; type for example --clips={near[0]}")
        if rows.loc[clip_id, list_stages(index)].isin(FAILED).any():
            raise UserError(
                f"clip '{clip_id}' failed or was refused, so there is nothing to show; leave it out"
            )
    return rows.loc[list(dict.fromkeys(wanted))].reset_index(drop=True)


def spread_clips(index: pd.DataFrame, count: int) -> pd.DataFrame:
    """`count` clips: the splits in turn, in each of them labels from the lowest to the highest.

    The same index gives the same clips. Of clips with neighbouring labels one of a video that is not shown
    yet is taken.
    """
    usable = index[find_usable(index)]
    names = [name for name in SPLITS if (usable.split == name).any()]
    parts, seen = [], set()
    for number, name in enumerate(names):
        clips = usable[usable.split == name].sort_values(["label", "clip_id"])  # no label: at the end
        share = count // len(names) + (number < count % len(names))
        rows = pick_spread(clips, share, seen)
        parts.append(clips.loc[rows])
    return pd.concat(parts).reset_index(drop=True) if parts else usable.iloc[:0]


def pick_spread(clips: pd.DataFrame, share: int, seen: set[str]) -> list[int]:
    """Index labels of `share` rows, one from each of as many stretches of equal length."""
    rows = []
    for stretch in np.array_split(clips.index.to_numpy(), min(share, len(clips))) if share else ():
        fresh = [row for row in stretch if clips.video_id[row] not in seen]
        row = (fresh or list(stretch))[len(fresh or stretch) // 2]
        seen.add(clips.video_id[row])
        rows.append(row)
    return rows
