"""Does the second that a prediction marks as deciding decide? Each second of a clip is really taken away.

    python benchmarks/deciding.py runs/sample_crossmodal --labels data/sample --splits valid test

A prediction measures its seconds at the encoders' output. Here the clip itself is changed before anything is
encoded: its sound is muted in that second, its crops and behaviour rows are left out, and it is scored again.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mosi_e2e.predict.predictor import PredictOptions, Predictor
from preprocessing.errors import UserError, command
from preprocessing.sets.labels import read_labels


@dataclass(frozen=True)
class Clip:
    """One clip's seconds.

    Attributes:
        claimed: [K] by how much the score falls without each second, as the prediction has it.
        real: [K] the same where the clip is changed.
    """

    claimed: np.ndarray
    real: np.ndarray

    @property
    def marked(self) -> int:
        return int(np.abs(self.claimed).argmax())

    @property
    def others(self) -> np.ndarray:
        """[K - 1] how much the other seconds really change the score, either way."""
        return np.delete(np.abs(self.real), self.marked)


def measure_clip(predictor: Predictor, path: Path, options: PredictOptions) -> Clip | None:
    """Score a clip whole and without each of its seconds; None where it has but one, or no score."""
    recording = predictor.read(path)
    stretches = predictor.cut(recording)  # kept: silence would move the cuts
    whole = predictor.score(recording, stretches, options=options)
    length = sum(one.end_s - one.start_s for one in whole.timeline)
    claimed, real = [], []
    for window in whole.timeline:
        share = (window.end_s - window.start_s) / length  # of the whole score
        for second in window.seconds:
            changed = recording.without(second["start_s"], second["end_s"])
            left = predictor.score(changed, stretches, options=PredictOptions(draws=0)).score
            claimed.append(share * second["effect"])
            real.append(whole.score - (whole.score_absent if left is None else left))
    return Clip(np.array(claimed), np.array(real)) if len(real) > 1 else None


def find_clips(labels: Path, splits: list[str]) -> list[Path]:
    found = [entry.path for entry in read_labels(labels) if entry.split in splits]
    if not found:
        raise UserError(f"{labels} has no clip in {', '.join(splits)}; type --splits train, valid or test")
    return found


def tabulate(clips: list[Clip], seed: int) -> dict[str, np.ndarray]:
    """Per line of the table the change [clips] of the score, either way."""
    rng = np.random.default_rng(seed)
    pick = {
        "the marked second": lambda one: abs(one.real[one.marked]),
        "the other seconds, their mean": lambda one: one.others.mean(),
        "a second drawn at random": lambda one: rng.choice(np.abs(one.real)),
        "all seconds, what drawing comes to": lambda one: np.abs(one.real).mean(),
        "the best choice there is": lambda one: np.abs(one.real).max(),
    }
    return {name: np.array([change(one) for one in clips]) for name, change in pick.items()}


def show(clips: list[Clip], seed: int) -> None:
    """The table, and how often the mark is right."""
    table = tabulate(clips, seed)
    marked, drawing = table["the marked second"], table["all seconds, what drawing comes to"]
    wins = np.array([np.mean(change > one.others) for change, one in zip(marked, clips, strict=True)])
    claimed, real = (np.concatenate([getattr(one, kind) for one in clips]) for kind in ("claimed", "real"))
    print(f"{len(clips)} clips of {len(real) / len(clips):.1f} seconds on average\n")
    print(f"{'left out':38}changes the score by, on average")
    for name, change in table.items():
        print(f"{name:38}{change.mean():.3f}")
    print("\nthe marked second changes the score")
    print(f"  more than drawing comes to:      in {100 * np.mean(marked > drawing):3.0f} % of the clips")
    print(f"  more than each other second:     in {100 * np.mean(wins == 1):3.0f} % of the clips")
    print(f"  more than another second:        in {100 * wins.mean():3.0f} % of such pairs")
    correlation = np.corrcoef(claimed, real)[0, 1]
    print(f"correlation of the claimed and the real effect, {len(real)} seconds: {correlation:.2f}")


@command
def main(argv: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/deciding.py",
        description="Measure whether the second that a prediction marks decides.",
        epilog="example: python benchmarks/deciding.py runs/sample_crossmodal --labels data/sample "
        "--splits valid test",
    )
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--labels", type=Path, required=True, help="label file, or the folder that holds it")
    parser.add_argument(
        "--splits", nargs="+", default=["valid", "test"], choices=["train", "valid", "test"],
        help="whose clips are scored; default: valid test",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the second drawn at random; default: 0")
    parser.add_argument(
        "--exact-seconds", action="store_true", help="let the prediction mute the sound, too, as predict does"
    )
    args = parser.parse_args(argv)
    options = PredictOptions(draws=0, exact_seconds=args.exact_seconds)
    paths = find_clips(args.labels, args.splits)
    predictor = Predictor.open(args.run)
    measured = [measure_clip(predictor, path, options) for path in tqdm(paths, unit="clip")]
    clips = [one for one in measured if one is not None]
    if not clips:
        raise UserError(f"no clip in {args.labels} lasts longer than a second and has a score")
    show(clips, args.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
