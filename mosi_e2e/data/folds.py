"""Splits from a rule: whole videos (speakers) are dealt to folds; one is test, the next is valid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mosi_e2e.config import FAILED, FoldConfig
from mosi_e2e.data.streams import find_stream
from preprocessing.cache.stats import compute_stats
from preprocessing.cache.store import Arrays, ClipStore
from preprocessing.errors import UserError

FEWEST = 3  # train, valid and test


def deal_videos(videos: Sequence[str], folds: FoldConfig) -> dict[str, int]:
    """The fold of each video: shuffled by the rule's own seed, then dealt one by one.

    Args:
        videos: ids, in any order, each as often as it likes.
        folds: the rule; `n: 0` gives every video a fold of its own.

    Raises:
        UserError: there are fewer videos than folds, or than three.

    >>> deal_videos(["a", "b", "c", "a"], FoldConfig("video_id", 3))
    {'c': 0, 'a': 1, 'b': 2}
    """
    names = sorted(set(videos))
    count = folds.n or len(names)
    if len(names) < max(count, FEWEST):
        raise UserError(
            f"data.folds needs at least {max(count, FEWEST)} videos (or speakers), one for each fold; "
            f"found {len(names)}"
        )
    order = np.random.default_rng(folds.seed).permutation(len(names))
    return {names[number]: place % count for place, number in enumerate(order)}


def apply_folds(store: ClipStore, folds: FoldConfig) -> None:
    """Give the clips of a cache the splits of a rule; without one they keep their own.

    Args:
        store: its index is changed.
        folds: the rule, and which fold is test; the next one is valid, the others are train.
    """
    if not folds.by:
        return
    fold = deal_videos(store.index.video_id, folds)
    count = max(fold.values()) + 1
    if folds.test >= count:
        raise UserError(f"data.folds.test is one of 0 to {count - 1}; found {folds.test}")
    role = {folds.test: "test", (folds.test + 1) % count: "valid"}
    store.index = store.index.assign(split=[role.get(fold[video], "train") for video in store.index.video_id])


@dataclass(frozen=True)
class StageReader:
    """One stage of a cache, whatever form the cache has."""

    store: ClipStore
    stage: str

    def read(self, clip_id: str) -> Arrays:
        """The arrays of a clip."""
        return self.store.read(clip_id, self.stage)


def find_statistics(store: ClipStore, streams: Sequence[str], folds: FoldConfig) -> Mapping[str, dict]:
    """Mean and deviation of every token stream's columns over the clips of train.

    Those of the cache are of its own train split; of a fold they are computed anew, so that nothing of the
    test fold is in them.
    """
    if not folds.by:
        return store.stats
    tokens = [stream for stream in map(find_stream, streams) if stream.kind == "tokens"]
    features = {one.stage: [other.key for other in tokens if other.stage == one.stage] for one in tokens}
    train = store.index[store.index.split == "train"]
    if features:
        train = train[~train[list(features)].isin(FAILED).any(axis=1)]
    return compute_stats({stage: StageReader(store, stage) for stage in features}, train.clip_id, features)
