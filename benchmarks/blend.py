r"""What two models of classes know together: a mean of their probabilities.

    python benchmarks/blend.py runs/faces_fer2013 runs/faces_behaviour

Both runs have predicted the same clips (`--score test`). The share of the second run is the one with the
lowest log loss on valid. With it and without it the test clips are scored, once.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from face_robustness import score_valence

from mosi_e2e.scores.class_metrics import score_classes
from mosi_e2e.scores.class_predictions import find_classes, name_probabilities, read_class_table
from preprocessing.cache.store import write_atomic
from preprocessing.errors import UserError, command

SHARES = np.linspace(0, 1, 11)
KEYS = ("acc", "uar", "nll", "valence_auc")


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Print both tables, and write them."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/blend.py", description="Blend two runs of classes."
    )
    parser.add_argument("runs", nargs=2, type=Path, help="run folders with predictions of valid and test")
    parser.add_argument("--out", type=Path, help="JSON file for the rows")
    args = parser.parse_args(argv)
    valid = [measure(args.runs, "valid", float(share)) for share in SHARES]
    best = min(valid, key=lambda row: row["nll"])["share"]
    rows = valid + [measure(args.runs, "test", share) for share in sorted({0.0, best, 1.0})]
    for row in rows:
        print(row["split"], f"{row['share']:.1f}", *(f"{key} {row[key]:.3f}" for key in KEYS))
    if args.out:
        write_atomic(args.out, (json.dumps(rows, indent=1) + "\n").encode())
    return 0


def measure(runs: Sequence[Path], split: str, share: float) -> dict:
    """Scores of a split with a share of the second run in the probabilities."""
    table = blend(*(read_table(run, split) for run in runs), share)
    classes = find_classes(list(table))
    scores = score_classes(*read_class_table(table, classes), classes)
    return {"split": split, "share": round(share, 2), **scores, "valence_auc": score_valence(table)}


def read_table(run: Path, split: str) -> pd.DataFrame:
    """A run's labelled clips with the probabilities of their classes, by clip."""
    path = run / f"predictions_{split}.csv"
    if not path.is_file():
        raise UserError(f"{path} is missing: python -m mosi_e2e.evaluate {run} --split {split}")
    table = pd.read_csv(path, dtype={"clip_id": str}, keep_default_na=False, na_values=[""])
    return table[table.label.notna()].set_index("clip_id")


def blend(first: pd.DataFrame, second: pd.DataFrame, share: float) -> pd.DataFrame:
    """The first table with `share` of the second one's probabilities."""
    columns = name_probabilities(find_classes(list(first)))
    if set(first.index) != set(second.index) or not set(columns) <= set(second):
        raise UserError("both runs must have predicted the same clips and the same classes")
    mixed = (1 - share) * first[columns] + share * second.loc[first.index, columns]
    return first.assign(**mixed)


if __name__ == "__main__":
    sys.exit(main())
