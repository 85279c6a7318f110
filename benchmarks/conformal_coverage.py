"""Does predict's interval cover what it claims? Simulated held-out clips, then clips of new videos.

A simulated split is a sample of videos whose clips have part of their errors in common, as in
`interval_coverage.py`. The interval is made from it by `mosi_e2e.runs.calibration`, and counted is how
often it holds the label of a clip of a new video:

- `by video`: each video counts once, as `predict` does it;
- `by clip`: every clip counts once, as if clips of one video were independent; shown for comparison.

    python benchmarks/conformal_coverage.py --sets 1000
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from interval_coverage import Population, draw_split

from mosi_e2e.runs.calibration import calibrate

NEW_VIDEOS = 200  # whose clips are tried per split, each video with the same weight
SIZES = (4, 9, 20, 31)  # videos of a held-out split; MOSI's test split has 31
LEVELS = (0.8, 0.9)
LONG = 20  # clips of a video that counts as long


@dataclass(frozen=True)
class Held:
    """Where held-out and new clips come from; in long videos errors are `ease` times as large."""

    population: Population = Population()
    ease: float = 1.0


POPULATIONS = {
    "weak model": Held(),
    "strong model": Held(Population(corr=0.8, bias=0.0)),
    "errors mostly by video": Held(Population(corr=0.6, error_share=0.8)),
    "long videos easier": Held(Population(corr=0.6), ease=0.4),
}


def draw_table(held: Held, videos: int, generator: np.random.Generator) -> pd.DataFrame:
    """Columns video_id, label, score."""
    label, score, _, video = draw_split(replace(held.population, videos=videos), generator)
    ease = np.where(np.bincount(video)[video] >= LONG, held.ease, 1.0)
    score = np.clip(label + ease * (score - label), -3, 3)
    return pd.DataFrame({"video_id": video.astype(str), "label": label, "score": score})


def measure_coverage(
    source: Held, videos: int, levels: Sequence[float], sets: int, seed: int = 0
) -> dict[tuple[str, float], tuple[float, float]]:
    """Per method and level: share of new clips covered, mean half-width; nothing where no split allows it.

    Args:
        source: where held-out and new clips come from.
        videos: of a split.
        levels: that are claimed.
        sets: number of splits.
        seed: of everything.
    """
    found: dict[tuple[str, float], list[tuple[float, float]]] = {}
    for index in range(sets):
        by_video = calibrate(
            draw_table(source, videos, np.random.default_rng([seed, 0, index])), "test", "regression"
        )
        by_clip = replace(by_video, errors=[[error] for errors in by_video.errors for error in errors])
        new = draw_table(source, NEW_VIDEOS, np.random.default_rng([seed, 1, index]))
        size, number = (new.label - new.score).abs().to_numpy(), new.video_id.astype(int).to_numpy()
        for method, errors in (("by video", by_video), ("by clip", by_clip)):
            for level in levels:
                width = errors.half_width(level)
                if width is not None:
                    covered = np.bincount(number, size <= width) / np.bincount(number)
                    found.setdefault((method, level), []).append((float(covered.mean()), width))
    means = {key: np.mean(rows, axis=0) for key, rows in found.items()}
    return {key: (float(covered), float(width)) for key, (covered, width) in means.items()}


def _show(row: tuple[float, float] | None) -> str:
    return "none | –" if row is None else f"{100 * row[0]:.1f} | {row[1]:.2f}"


def main(argv: list[str] | None = None) -> int:
    """Print a Markdown table, coverage in percent."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", type=int, default=1000, help="simulated splits (default: 1000)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    print("| population | videos | claimed | by video | half-width | by clip | half-width |")
    print("|---" * 7 + "|")
    for name, source in POPULATIONS.items():
        for videos in SIZES:
            found = measure_coverage(source, videos, LEVELS, arguments.sets, arguments.seed)
            for level in LEVELS:
                cells = " | ".join(_show(found.get((method, level))) for method in ("by video", "by clip"))
                print(f"| {name} | {videos} | {100 * level:.0f} | {cells} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
