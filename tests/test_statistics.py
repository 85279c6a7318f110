"""`mosi_e2e.scores.statistics` against exact enumeration, hand-made cases and the real labels."""

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mosi_e2e.scores import resampling
from mosi_e2e.scores.metrics import REGRESSION_KEYS, score_binary, score_regression
from mosi_e2e.scores.statistics import (
    bootstrap_interval,
    compare_paired,
    holm,
    summarise_seeds,
)


def draw_table(n_videos: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels with zeros and halves, scores that are similar within a video, and video names."""
    generator = np.random.default_rng(seed)
    video = np.repeat(np.arange(n_videos), generator.integers(3, 12, n_videos))
    label = np.clip(np.round(generator.normal(0, 1.6, video.size) * 2) / 2, -3, 3)
    score = 0.5 * label + generator.normal(0, 1, n_videos)[video] + generator.normal(0, 1, video.size)
    names = np.array([f"_v-{number}" for number in video])
    order = generator.permutation(video.size)  # the clips of a video need not be neighbours
    return label[order], score[order], names[order]


def to_row(scores: dict[str, float | None], keys: tuple[str, ...]) -> list[float]:
    return [np.nan if scores[key] is None else scores[key] for key in keys]


def test_interval_is_deterministic_and_does_not_depend_on_order_or_blocks(monkeypatch):
    label, score, video = draw_table(n_videos=31)
    found = bootstrap_interval(label, score, video, n=300, seed=5)
    assert found == bootstrap_interval(label, score, video, n=300, seed=5)
    assert found != bootstrap_interval(label, score, video, n=300, seed=6)
    monkeypatch.setattr(resampling, "BLOCK_NUMBERS", 31 * 7)
    order = np.argsort(score)
    blocked = bootstrap_interval(label[order], score[order], video[order], n=300, seed=5)
    for key, interval in found.items():
        assert blocked[key] == pytest.approx(interval, abs=1e-12)
        assert interval[0] < score_regression(label, score)[key] < interval[1]
    assert json.loads(json.dumps(found)) == found


def test_interval_is_wider_by_video_and_at_a_higher_level():
    label, score, video = draw_table(n_videos=31)
    by_video, by_clip = bootstrap_interval(label, score, video), bootstrap_interval(label, score)
    certain = bootstrap_interval(label, score, video, level=0.99)
    for key in ("mae", "rmse"):
        assert np.ptp(by_video[key]) > 1.1 * np.ptp(by_clip[key])
        assert np.ptp(certain[key]) > 1.2 * np.ptp(by_video[key])


def test_interval_by_clip_of_real_labels_has_the_known_width(shared):
    label = read_labels(shared).query("mode == 'test'")["label"].to_numpy()
    interval = bootstrap_interval(label, np.where(np.arange(686) % 10 < 7, label, -label) + 1e-3)
    assert np.ptp(interval["acc2_non0"]) / 2 == pytest.approx(0.036, abs=0.002)


def test_interval_is_none_where_the_metric_is_undefined():
    label, _, video = draw_table(n_videos=12)
    found = bootstrap_interval(label, np.full(label.size, 0.2), video, n=200)
    assert found["corr"] is None and found["mae"] is not None
    # Only one video's scores differ: in more than 5 % of the resamples the correlation does not exist.
    score = np.where(video == "_v-0", label, 0.2)
    assert bootstrap_interval(label, score, video, n=200)["corr"] is None
    assert set(bootstrap_interval(label, label, np.zeros(label.size)).values()) == {None}
    nothing = bootstrap_interval([0.0, 0.0], [0.5, 0.6], ["a", "b"], task="binary", n=10)
    assert set(nothing.values()) == {None}


def test_interval_stays_inside_the_range_of_its_metric():
    label, _, video = draw_table(n_videos=6)
    # One video is far off: on a plain scale the lower limit of the errors would be below 0.
    score = np.where(video == "_v-0", label + 8, label + 0.05 * np.sin(np.arange(label.size)))
    found = bootstrap_interval(label, score, video)
    for key in ("mae", "rmse"):
        assert 0 < found[key][0] < score_regression(label, score)[key] < found[key][1] <= 8
    assert found["r2"][1] < 1
    assert all(-1 < limit < 1 for key in ("corr", "ccc") for limit in found[key])
    assert all(0 <= limit <= 1 for key in REGRESSION_KEYS[5:] for limit in found[key])


def test_interval_refuses_what_it_cannot_use():
    with pytest.raises(ValueError, match=r"1 of 2 values .*positions 1"):
        bootstrap_interval([0.0, 1.0], [0.0, np.nan], ["a", "b"])
    with pytest.raises(ValueError, match="each of 2 clips: got shape"):
        bootstrap_interval([0.0, 1.0], [0.0, 1.0], ["a"])
    with pytest.raises(ValueError, match="'regression', 'binary' or 'classes': got 'ordinal'"):
        bootstrap_interval([0.0, 1.0], [0.0, 1.0], ["a", "b"], task="ordinal")


def test_paired_difference_is_that_of_the_metrics_with_its_own_interval():
    label, score, video = draw_table(n_videos=31)
    other = 0.8 * score + np.random.default_rng(1).normal(0, 0.3, score.size)
    found = compare_paired(label, score, other, video, n=500, n_permutations=500)
    first, second = score_regression(label, score), score_regression(label, other)
    for key, result in found.items():
        assert result["difference"] == pytest.approx(first[key] - second[key], abs=1e-12)
        assert result["interval"][0] <= result["difference"] <= result["interval"][1]
    # Paired: systems that err together differ by far less than either is uncertain.
    alone = bootstrap_interval(label, score, video, n=500)
    assert np.ptp(found["mae"]["interval"]) < 0.6 * np.ptp(alone["mae"])
    reverse = compare_paired(label, other, score, video, n=500, n_permutations=500)
    assert reverse["mae"]["difference"] == pytest.approx(-found["mae"]["difference"], abs=1e-12)
    assert reverse["mae"]["p_value"] == found["mae"]["p_value"]
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_permutation_test_is_exact_for_few_videos(task):
    label, score, video = draw_table(n_videos=6)
    other = -0.1 * score + np.random.default_rng(1).normal(0, 1, score.size)
    if task == "binary":
        score, other = np.round(1 / (1 + np.exp(-score)), 2), np.round(1 / (1 + np.exp(-other)), 2)
    score_table = score_regression if task == "regression" else score_binary
    found = compare_paired(label, score, other, video, task=task, n=50)
    names, keys = np.unique(video), list(found)
    differences = []
    for swap in itertools.product([False, True], repeat=6):  # the first one swaps nothing
        swapped = np.isin(video, names[list(swap)])
        sides = np.where(swapped, other, score), np.where(swapped, score, other)
        rows = [to_row(score_table(label, side), keys) for side in sides]
        differences.append(np.subtract(*rows))
    extreme = np.abs(differences) >= np.abs(differences[0]) - 1e-12
    assert [found[key]["p_value"] for key in keys] == pytest.approx(extreme.mean(axis=0), abs=1e-12)
    assert min(result["p_value"] for result in found.values()) >= 2 / 64


def test_several_seeds_are_compared_by_their_means():
    """Difference and p-value are those of the mean over seeds of the metric, not of pooled clips."""
    label, score, video = draw_table(n_videos=6)
    generator = np.random.default_rng(3)
    ours = [score + generator.normal(0, 0.4, score.size) for _ in range(2)]
    theirs = [0.2 * score + generator.normal(0, 1.5, score.size) for _ in range(2)]
    found = compare_paired(label, ours, theirs, video, n=200)
    means = [
        np.mean([to_row(score_regression(label, one), REGRESSION_KEYS) for one in side], axis=0)
        for side in (ours, theirs)
    ]
    assert [found[key]["difference"] for key in REGRESSION_KEYS] == pytest.approx(np.subtract(*means))
    names, differences = np.unique(video), []
    for swap in itertools.product([False, True], repeat=6):
        swapped = np.isin(video, names[list(swap)])
        sides = [
            [np.where(swapped, b, a) for a, b in zip(ours, theirs, strict=True)],
            [np.where(swapped, a, b) for a, b in zip(ours, theirs, strict=True)],
        ]
        rows = [
            np.mean([to_row(score_regression(label, one), REGRESSION_KEYS) for one in side], axis=0)
            for side in sides
        ]
        differences.append(np.subtract(*rows))
    extreme = np.abs(differences) >= np.abs(differences[0]) - 1e-12
    expected = extreme.mean(axis=0)
    assert [found[key]["p_value"] for key in REGRESSION_KEYS] == pytest.approx(expected, abs=1e-12)
    # Errors are sums over clips: no matter how seeds are paired, and whether their numbers are equal.
    more = compare_paired(label, ours, [*theirs, theirs[0]], video, n=200)["mae"]
    mean = np.mean([score_regression(label, one)["mae"] for one in (*theirs, theirs[0])])
    assert more["difference"] == pytest.approx(means[0][0] - mean)
    again = compare_paired(label, ours, theirs[::-1], video, n=200)["mae"]
    assert again["p_value"] == found["mae"]["p_value"]
    assert again["interval"] == pytest.approx(found["mae"]["interval"])


def test_the_interval_of_several_seeds_is_that_of_their_mean():
    label, score, video = draw_table(n_videos=8)
    unlike = [score, -score]  # pooled, their CCC and F1 are far from the mean of both
    found = bootstrap_interval(label, unlike, video, n=300)
    for key in REGRESSION_KEYS:
        mean = np.mean([score_regression(label, one)[key] for one in unlike])
        assert found[key][0] <= mean <= found[key][1], key
    twice, once = (bootstrap_interval(label, s, video, n=300) for s in ([score, score], score))
    assert all(twice[key] == pytest.approx(once[key]) for key in REGRESSION_KEYS)
    # A seed that collapsed has no correlation: the mean is that of the others, and so is its interval.
    flat = np.zeros(label.size)
    one, both = (bootstrap_interval(label, s, video, n=300) for s in ([score], [score, flat]))
    assert both["corr"] == pytest.approx(one["corr"]) and both["mae"] != one["mae"]
    assert bootstrap_interval(label, [flat, flat], video, n=300)["corr"] is None
    with pytest.raises(ValueError, match="equal length"):
        bootstrap_interval(label, score[:, None], video)


def test_a_collapsed_seed_is_left_out_of_a_comparison_where_it_is_undefined():
    label, score, video = draw_table(n_videos=6)
    flat, other = np.zeros(label.size), np.sin(np.arange(label.size))
    found = compare_paired(label, [score, flat], other, video, n=100)
    alone = compare_paired(label, score, other, video, n=100)
    for key in ("difference", "interval", "p_value"):
        assert found["corr"][key] == pytest.approx(alone["corr"][key])
    assert found["mae"]["difference"] != alone["mae"]["difference"]


@pytest.mark.parametrize(("n_videos", "smallest"), [(1, 1), (2, 0.5), (3, 0.25), (6, 2 / 64), (15, 1 / 101)])
def test_the_smallest_p_value_that_few_videos_allow(n_videos, smallest):
    label, _, video = draw_table(n_videos)
    best = compare_paired(label, label, -label, video, n=20, n_permutations=100)["mae"]
    assert best["smallest_p"] == pytest.approx(smallest) == best["p_value"]


def test_drawn_permutations_agree_with_the_exact_test():
    label, score, video = draw_table(n_videos=12)
    other = 0.5 * score
    exact = compare_paired(label, score, other, video, n=50, n_permutations=4096)
    drawn = compare_paired(label, score, other, video, n=50, n_permutations=4000)
    for key, result in exact.items():
        assert drawn[key]["p_value"] == pytest.approx(result["p_value"], abs=0.03)


def test_paired_extremes():
    label, score, video = draw_table(n_videos=31)
    same = compare_paired(label, score, score, video, n=50, n_permutations=200)
    assert same["mae"]["difference"] == pytest.approx(0, abs=1e-14)
    assert same["mae"]["interval"] == pytest.approx([0, 0], abs=1e-14) and same["mae"]["p_value"] == 1
    better = compare_paired(label, label, -label, video, n=50, n_permutations=200)
    assert better["mae"]["p_value"] == 1 / 201
    constant = compare_paired(label, np.zeros(label.size), score, video, n=50, n_permutations=200)
    assert constant["corr"] == dict.fromkeys(("difference", "interval", "p_value")) | {"smallest_p": 1 / 201}
    by_clip = compare_paired(label, score, 0.9 * score, n=50, n_permutations=200)
    assert by_clip["mae"]["difference"] == pytest.approx(
        score_regression(label, score)["mae"] - score_regression(label, 0.9 * score)["mae"], abs=1e-12
    )


def read_labels(shared: Path) -> pd.DataFrame:
    return pd.read_csv(shared / "data/mosi/mosi_labels.csv")


def test_seeds_are_summarised_without_the_undefined():
    runs = [{"mae": 1.0, "corr": 0.5}, {"mae": 2.0, "corr": None}, {"mae": 6.0, "corr": None}]
    found = summarise_seeds(runs)
    assert found["mae"] == {"mean": 3.0, "deviation": pytest.approx(np.sqrt(7)), "n": 3}
    assert found["corr"] == {"mean": 0.5, "deviation": None, "n": 1}
    assert summarise_seeds([{"mae": 1.0}, {"mae": 3.0}])["mae"]["deviation"] == pytest.approx(np.sqrt(2))
    assert summarise_seeds([{"corr": None}])["corr"] == {"mean": None, "deviation": None, "n": 0}
    with pytest.raises(ValueError, match="same keys"):
        summarise_seeds([{"mae": 1.0}, {"acc": 1.0}])
    with pytest.raises(ValueError, match="got none"):
        summarise_seeds([])


def test_holm_by_hand():
    # Sorted: .005 * 4, .01 * 3, .03 * 2, .04 * 1 -> .02 .03 .06 .04, the last raised to .06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.4, 0.9]) == pytest.approx([0.8, 0.9])
    assert holm([0.7, 0.8]) == [1, 1]
    assert holm([0.02]) == [0.02] and holm([]) == []
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        holm([0.5, float("nan")])
    for outside in (1.5, -0.5):
        with pytest.raises(ValueError, match=r"\[0, 1\]"):
            holm([0.5, outside])
    assert holm([0, 1]) == [0, 1]
