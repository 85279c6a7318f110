"""`mosi_e2e.scores.resampling` against scoring the resampled clips."""

import numpy as np
import pytest

from mosi_e2e.scores.metrics import BINARY_KEYS, REGRESSION_KEYS, score_binary, score_regression
from mosi_e2e.scores.permutation import draw_swaps
from mosi_e2e.scores.resampling import build_table, draw_resamples, score_counts


def draw_table(n_videos: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels with zeros and halves, scores that are similar within a video, and video names."""
    generator = np.random.default_rng(seed)
    video = np.repeat(np.arange(n_videos), generator.integers(3, 12, n_videos))
    label = np.clip(np.round(generator.normal(0, 1.6, video.size) * 2) / 2, -3, 3)
    score = 0.5 * label + generator.normal(0, 1, n_videos)[video] + generator.normal(0, 1, video.size)
    names = np.array([f"_v-{number}" for number in video])
    order = generator.permutation(video.size)  # the clips of a video need not be neighbours
    return label[order], score[order], names[order]


def repeat_videos(video: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Positions of the clips of one resample, each as often as its video was drawn."""
    return np.concatenate(
        [np.flatnonzero(video == name) for name, count in zip(np.unique(video), counts, strict=True)
         for _ in range(count)]
    )  # fmt: skip


def to_row(scores: dict[str, float | None], keys: tuple[str, ...]) -> list[float]:
    return [np.nan if scores[key] is None else scores[key] for key in keys]


@pytest.mark.parametrize("by", ["video", "clip"])
@pytest.mark.parametrize("task", ["regression", "binary"])
def test_weighing_units_equals_scoring_the_resampled_clips(task, by):
    label, score, video = draw_table()
    if task == "binary":
        score = np.round(1 / (1 + np.exp(-score)), 1)  # rounded: ties in the AUC
    score_table = score_regression if task == "regression" else score_binary
    units = video if by == "video" else np.arange(label.size)
    table = build_table(label, score, video if by == "video" else None, task, "drop")
    counts = np.concatenate(list(draw_resamples(table.n_units, 60, seed=3)))
    assert counts.shape == (60, len(np.unique(units))) and (counts.sum(axis=1) == table.n_units).all()
    naive = []
    for row in counts:
        clips = repeat_videos(units, row)
        naive.append(to_row(score_table(label[clips], score[clips]), table.keys))
    np.testing.assert_allclose(table.weigh(counts), naive, rtol=0, atol=1e-12)


def test_undefined_metrics_of_a_resample_are_those_of_its_clips():
    # Video a has one score, video b one label 0, so resamples of either alone are degenerate.
    label = np.array([1.0, -1.0, 0.0, 0.0, 2.0, -2.0])
    score = np.array([0.3, 0.3, 0.3, 0.3, 1.0, 0.5])
    video = np.array(list("aabbcc"))
    counts = np.array([[3, 0, 0], [0, 3, 0], [0, 0, 3], [1, 2, 0], [1, 1, 1]])
    found = build_table(label, score, video, "regression", "drop").weigh(counts)
    clips = [repeat_videos(video, row) for row in counts]
    naive = [to_row(score_regression(label[c], score[c]), REGRESSION_KEYS) for c in clips]
    np.testing.assert_allclose(found, naive, rtol=0, atol=1e-12)
    probability = score / 2
    found = build_table(label, probability, video, "binary", "drop").weigh(counts)
    naive = [to_row(score_binary(label[c], probability[c]), BINARY_KEYS) for c in clips]
    np.testing.assert_allclose(found, naive, rtol=0, atol=1e-12)


def test_a_resample_with_float_noise_for_scores_has_no_correlation():
    label, _, video = draw_table(n_videos=30)
    number = np.unique(video, return_inverse=True)[1]
    noise = 1e-8 * np.random.default_rng(0).normal(size=label.size)
    table = build_table(label, np.sin(number) + noise, video, "regression", "drop")
    alone = table.weigh(30 * np.eye(30))  # each resample is one video, with one score
    corr, ccc = (alone[:, REGRESSION_KEYS.index(key)] for key in ("corr", "ccc"))
    assert np.isnan(corr).all() and (ccc == 0).all()


def test_swaps_are_listed_or_drawn():
    blocks, exact = draw_swaps(4, 16, seed=0)
    patterns = np.concatenate(list(blocks))
    assert exact and len(np.unique(patterns, axis=0)) == 16 and not patterns[0].any()
    blocks, exact = draw_swaps(4, 15, seed=0)
    drawn = np.concatenate(list(blocks))
    assert not exact and drawn.shape == (15, 4) and 10 < drawn.sum() < 50
    assert not draw_swaps(100, 10, seed=0)[1]


def test_a_class_that_neither_occurs_nor_is_predicted_takes_nothing_from_f1():
    for counts in ((0, 0, 0, 5), (5, 0, 0, 0)):
        assert [float(one) for one in score_counts(*map(np.array, counts))] == [1, 1, 1]
    assert [float(one) for one in score_counts(*map(np.array, (0, 5, 0, 0)))] == [0, 0, 0]
    assert all(np.isnan(score_counts(*map(np.array, (0, 0, 0, 0)))))
