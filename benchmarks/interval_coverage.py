"""Does an interval that claims 95 % cover 95 %? Simulated splits, scored by `mosi_e2e.scores.statistics`.

A simulated split is a sample of videos from an endless population: sentiment and the model's errors both
have a part that all clips of a video share. The true value of a metric is that of a very large split.
Counted is how often the interval of one small split contains it:

- `video`: resampling videos, as `bootstrap_interval` does with video ids;
- `clip`: resampling clips, to show what ignoring the videos costs (first population only: it is slow);
- `difference`: the paired difference of two systems (`compare_paired`), resampling videos;
- `rejected`: how often the permutation test finds p < 5 % for two equally good systems (claim: 5 %).

    python benchmarks/interval_coverage.py --sets 1000
"""

import argparse
import sys
import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mosi_e2e.scores.metrics import REGRESSION_KEYS, score_regression
from mosi_e2e.scores.statistics import bootstrap_interval, compare_paired

# The truth's own error is then about 30 times smaller than the width of an interval.
POPULATION_VIDEOS = 40_000


@dataclass(frozen=True)
class Population:
    """Videos of 10 to 34 clips. MOSI: 31 test videos, 27 % of the label variance between videos."""

    videos: int = 31
    corr: float = 0.4  # between sentiment and score, before rounding
    bias: float = 0.1
    label_share: float = 0.27  # of the label variance that lies between videos
    error_share: float = 0.2  # of the error variance that lies between videos


POPULATIONS = {
    "weak model": Population(),
    "strong model": Population(corr=0.8, bias=0.0),
    "no skill": Population(corr=0.0, bias=-0.3),
    "20 videos": Population(videos=20),
    "errors mostly by video": Population(corr=0.6, error_share=0.5),
}


def draw_split(
    population: Population, generator: np.random.Generator
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Labels, scores of two equally good systems, and video numbers; each [n_clips]."""
    size = generator.integers(10, 35, population.videos)
    video = np.repeat(np.arange(population.videos), size)

    def draw(share: float) -> NDArray:
        """Standard normal [n_clips]; the clips of a video have `share` of the variance in common."""
        common = generator.standard_normal(population.videos)[video]
        return np.sqrt(share) * common + np.sqrt(1 - share) * generator.standard_normal(video.size)

    sentiment = draw(population.label_share)
    label = np.clip(np.round((1.6 * sentiment - 0.3) * 5) / 5, -3, 3)
    spread, noise = max(population.corr, 0.2), np.sqrt(1 - population.corr**2)
    scores = [
        population.bias + 1.6 * spread * (population.corr * sentiment + noise * draw(population.error_share))
        for _ in range(2)
    ]
    return label, *scores, video


def measure_coverage(
    population: Population, sets: int, resamples: int, methods: tuple[str, ...], seed: int = 0
) -> dict[str, dict[str, float]]:
    """Share of simulated splits in which each method keeps its promise, by metric.

    Args:
        population: where the splits come from.
        sets: number of splits.
        resamples: for each interval and each permutation test.
        methods: among `video`, `clip`, `difference`, `rejected`.
        seed: of everything.
    """
    endless = replace(population, videos=POPULATION_VIDEOS)
    label, score, _, _ = draw_split(endless, np.random.default_rng([seed, 0]))
    truth = score_regression(label, score)
    kept = {method: dict.fromkeys(REGRESSION_KEYS, 0) for method in methods}
    for index in range(sets):
        label, score, other, video = draw_split(population, np.random.default_rng([seed, 1, index]))
        options = {"n": resamples, "seed": index}
        promises = {}
        if "video" in methods:
            promises["video"] = _contains(bootstrap_interval(label, score, video, **options), truth)
        if "clip" in methods:
            promises["clip"] = _contains(bootstrap_interval(label, score, **options), truth)
        if "difference" in methods or "rejected" in methods:
            paired = compare_paired(label, score, other, video, n_permutations=resamples, **options)
            intervals = {key: found["interval"] for key, found in paired.items()}
            promises["difference"] = _contains(intervals, dict.fromkeys(truth, 0.0))
            promises["rejected"] = {key: found["p_value"] < 0.05 for key, found in paired.items()}
        for method in methods:
            for key in REGRESSION_KEYS:
                kept[method][key] += promises[method][key]
    return {method: {key: count / sets for key, count in counts.items()} for method, counts in kept.items()}


def _contains(intervals: dict[str, list[float] | None], truth: dict[str, float]) -> dict[str, bool]:
    return {key: bool(low <= truth[key] <= high) for key, (low, high) in intervals.items()}


def main(argv: list[str] | None = None) -> int:
    """Print the coverage of every method, population and metric as a Markdown table, in percent."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", type=int, default=1000, help="simulated splits (default: 1000)")
    parser.add_argument("--resamples", type=int, default=1000, help="for each interval (default: 1000)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    print(f"| population | method | {' | '.join(REGRESSION_KEYS)} |")
    print("|---" * (2 + len(REGRESSION_KEYS)) + "|")
    for position, (name, population) in enumerate(POPULATIONS.items()):
        start = time.perf_counter()
        methods = ("video", "difference", "rejected") + (("clip",) if name == "weak model" else ())
        # A seed for each population: with the same draws their chance deviations would agree.
        seed = arguments.seed + position
        found = measure_coverage(population, arguments.sets, arguments.resamples, methods, seed)
        for method, shares in found.items():
            cells = " | ".join(f"{100 * share:.1f}" for share in shares.values())
            print(f"| {name} | {method} | {cells} |", flush=True)
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
