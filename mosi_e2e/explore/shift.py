"""Whether the labels of two splits come from one distribution.

Clips of one video resemble each other (in CMU-MOSI a quarter to a third of the label variance lies between
videos), so a test that takes them for independent sees shifts that do not exist. Here whole videos are
dealt anew to the two splits: what is rare among those deals is a shift.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd

from mosi_e2e.scores.statistics import holm

DEALS = 10_000  # random deals of videos to splits
BLOCK = 500  # deals at once: bounds memory
LEVEL = 0.05
MIN_WAYS = 60  # with fewer ways to deal the videos no p value can fall well below `LEVEL`
MIN_VIDEOS = 6  # below, a share of variance says nothing
CLASSES = np.arange(-3, 4)


@dataclass(frozen=True)
class Shift:
    """How far two splits' labels lie apart.

    Attributes:
        splits: the two names.
        difference: mean of the second minus mean of the first.
        error: its standard error, clips clustered by video.
        variation: total variation distance between the shares of the seven classes, in [0, 1].
        distance: Kolmogorov-Smirnov distance, the largest gap between the cumulative shares, in [0, 1].
        p_difference, p_distance: of a permutation test over videos, by Holm's method for the pairs that were
            tested together; None where there are too few videos to tell.
    """

    splits: tuple[str, str]
    difference: float
    error: float
    variation: float
    distance: float
    p_difference: float | None
    p_distance: float | None

    @property
    def is_shifted(self) -> bool:
        """Whether one of the tests rejects equal labels."""
        return any(p is not None and p < LEVEL for p in (self.p_difference, self.p_distance))


def compare_splits(clips: pd.DataFrame, seed: int = 0) -> list[Shift]:
    """Compare the labels of every two splits.

    Args:
        clips: columns split, video_id, label; rows without a label do not count.
        seed: of the deals.
    """
    known = clips[clips.label.notna()]
    names = [name for name in ("train", "valid", "test") if (known.split == name).any()]
    found = [compare_pair(known, pair, seed) for pair in combinations(names, 2)]
    for field in ("p_difference", "p_distance"):
        tested = [i for i, one in enumerate(found) if getattr(one, field) is not None]
        for i, value in zip(tested, holm([getattr(found[i], field) for i in tested]), strict=True):
            found[i] = replace(found[i], **{field: value})
    return found


def compare_pair(known: pd.DataFrame, pair: tuple[str, str], seed: int) -> Shift:
    """Two splits, p values as they come."""
    part = known[known.split.isin(pair)]
    videos, unit = np.unique(part.split + "/" + part.video_id, return_inverse=True)
    values, level = np.unique(part.label, return_inverse=True)
    counts = np.zeros((len(videos), len(values)))  # clips per video and label
    np.add.at(counts, (unit, level), 1)
    second = np.array([name.startswith(f"{pair[1]}/") for name in videos])
    difference, distance = measure_deals(second[None], counts, values)
    ways = math.comb(len(videos), int(second.sum()))
    p_values: list[float | None] = [None, None]
    if ways >= MIN_WAYS:
        drawn = [measure_deals(deal, counts, values) for deal in deal_videos(second, seed)]
        for number, own in enumerate((difference, distance)):
            others = np.abs(np.concatenate([one[number] for one in drawn]))
            p_values[number] = (1 + (others >= abs(own[0]) - 1e-12).sum()) / (1 + len(others))
    sides = [part[part.split == name] for name in pair]
    shares = [class_shares(side.label.to_numpy()) for side in sides]
    return Shift(
        pair,
        float(difference[0]),
        math.hypot(*(clustered_error(side) for side in sides)),
        float(np.abs(shares[0] - shares[1]).sum() / 2),
        float(distance[0]),
        *p_values,
    )


def deal_videos(second: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """Blocks [n, videos] of truth values: which videos are in the second split, equally many each time."""
    rng = np.random.default_rng(seed)
    for first in range(0, DEALS, BLOCK):
        yield rng.permuted(np.tile(second, (min(BLOCK, DEALS - first), 1)), axis=1)


def measure_deals(deals: np.ndarray, counts: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per deal [n, videos]: difference of the means [n] and largest gap of the cumulative shares [n]."""
    theirs = deals @ counts  # [n, values]
    shares = [one / one.sum(axis=1, keepdims=True) for one in (counts.sum(axis=0) - theirs, theirs)]
    gap = shares[1] - shares[0]
    return gap @ values, np.abs(gap.cumsum(axis=1)).max(axis=1)


def clustered_error(clips: pd.DataFrame) -> float:
    """Standard error of the mean label when videos, not clips, are independent; NaN for a single video."""
    residual = (clips.label - clips.label.mean()).groupby(clips.video_id).sum().to_numpy()
    videos = len(residual)
    if videos < 2:
        return math.nan
    return float(np.sqrt(videos / (videos - 1) * (residual**2).sum()) / len(clips))


def class_shares(label: np.ndarray) -> np.ndarray:
    """[7] shares of the classes -3..3, rounded as for Acc-7."""
    rounded = np.round(np.clip(label, -3, 3))
    return (rounded[:, None] == CLASSES).mean(axis=0)


def share_between_videos(clips: pd.DataFrame) -> float | None:
    """Share of the label variance that lies between videos (one-way random effects, ICC(1)).

    None where no video has two labelled clips, or for fewer than `MIN_VIDEOS` videos.
    """
    known = clips[clips.label.notna()]
    groups = known.groupby("video_id").label
    sizes = groups.size().to_numpy()
    count, videos = len(known), len(sizes)
    if videos < MIN_VIDEOS or count == videos:
        return None
    within = ((known.label - groups.transform("mean")) ** 2).sum() / (count - videos)
    between = (sizes * (groups.mean() - known.label.mean()) ** 2).sum() / (videos - 1)
    typical = (count - (sizes**2).sum() / count) / (videos - 1)
    spread = max((between - within) / typical, 0.0)
    return float(spread / (spread + within)) if spread + within else None
