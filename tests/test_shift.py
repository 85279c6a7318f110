"""Label shift between splits: videos, not clips, are what was drawn."""

import math

import numpy as np
import pandas as pd
import pytest

from mosi_e2e.explore.shift import clustered_error, compare_splits, share_between_videos

approx = pytest.approx


def make_clips(
    means: dict[str, list[float]], each: int = 12, spread: float = 0.5, seed: int = 0
) -> pd.DataFrame:
    """`each` clips per video around the video's mean."""
    rng = np.random.default_rng(seed)
    rows = [
        (split, f"{split}{number}", np.clip(rng.normal(mean, spread), -3, 3))
        for split, videos in means.items()
        for number, mean in enumerate(videos)
        for _ in range(each)
    ]
    return pd.DataFrame(rows, columns=["split", "video_id", "label"])


def test_a_shift_of_all_videos_is_found():
    shift = compare_splits(make_clips({"train": [0.5] * 12, "test": [-0.5] * 8}))[0]
    assert shift.splits == ("train", "test") and shift.is_shifted
    assert shift.difference == approx(-1, abs=0.15) and shift.error < 0.1
    assert shift.p_difference < 0.01 and shift.p_distance < 0.01 and 0.4 < shift.distance <= 1


def test_videos_that_differ_among_themselves_are_no_shift():
    """A difference of means between videos that lie anywhere: clips alone would make it a shift."""
    rng = np.random.default_rng(4)
    means = {"train": list(rng.normal(0, 1.5, 8)), "test": list(rng.normal(0, 1.5, 6))}
    clips = make_clips(means, each=60, spread=0.2)
    shift = compare_splits(clips)[0]
    sides = [clips.label[clips.split == name] for name in ("train", "test")]
    naive = math.hypot(*(side.std() / math.sqrt(len(side)) for side in sides))
    assert abs(shift.difference) / naive > 3  # what a test of single clips would call certain
    assert not shift.is_shifted and shift.p_difference > 0.1 and shift.error > 3 * naive


def test_a_change_of_shape_alone_is_a_shift():
    clips = make_clips({"train": [0.0] * 10, "test": [0.0] * 10})
    far = clips.split == "test"
    clips.loc[far, "label"] = np.where(np.arange(far.sum()) % 2, 2.0, -2.0)
    shift = compare_splits(clips)[0]
    assert shift.p_difference > 0.2 and shift.p_distance < 0.01 and shift.variation > 0.8


def test_few_videos_are_not_judged():
    shifts = compare_splits(make_clips({"train": [1.0] * 4, "valid": [-2.0], "test": [-2.0]}))
    assert [shift.splits for shift in shifts] == [("train", "valid"), ("train", "test"), ("valid", "test")]
    assert all(shift.p_difference is None and not shift.is_shifted for shift in shifts)
    assert shifts[0].difference == approx(-3, abs=0.5) and math.isnan(shifts[0].error)
    assert compare_splits(make_clips({"train": [1.0]})) == []


def test_unlabelled_clips_do_not_count():
    clips = make_clips({"train": [0.5] * 9, "test": [-0.5] * 9})
    more = pd.concat([clips, clips.assign(label=np.nan)])
    assert compare_splits(clips) == compare_splits(more)


def test_error_of_one_label_per_video_is_that_of_the_videos():
    clips = make_clips({"train": [1.0, 2.0, -1.0, 0.0]}, each=7, spread=0.0)
    assert clustered_error(clips) == approx(np.std([1, 2, -1, 0], ddof=1) / 2)
    alone = clips.assign(video_id=[str(i) for i in range(len(clips))])
    assert clustered_error(alone) == approx(alone.label.std() / math.sqrt(len(alone)))


def test_share_of_variance_between_videos():
    between = make_clips({"train": list(np.linspace(-2, 2, 30))}, spread=0.01)
    none = make_clips({"train": [0.0] * 60}, spread=1.0)
    half = make_clips({"train": list(np.random.default_rng(1).normal(0, 0.7, 150))}, spread=0.7)
    assert share_between_videos(between) > 0.99 and share_between_videos(none) < 0.06
    assert share_between_videos(half) == approx(0.5, abs=0.1)
    assert share_between_videos(make_clips({"train": [0, 1]})) is None


@pytest.mark.parametrize("name", ["mosi_labels.csv"])
def test_the_real_splits_shift(shared, name):
    """Official folds: test lies below train; ten valid videos are too few to tell them from either."""
    clips = pd.read_csv(shared / "data" / "mosi" / name).rename(columns={"mode": "split"})
    found = {shift.splits: shift for shift in compare_splits(clips)}
    assert [pair for pair, shift in found.items() if shift.is_shifted] == [("train", "test")]
    assert found["train", "test"].difference == approx(-0.317 - 0.234, abs=0.002)
    assert 0.2 < share_between_videos(clips) < 0.4
