r"""Tables for a small text encoder that learns from a large one (Hinton et al., arXiv 1503.02531).

    python benchmarks/distil.py --teacher runs/words_mpnet --labels mosi_labels.csv --mosei mosei.csv \
        --out runs/taught

The teacher is a folder of `benchmarks/words.py`. Labels of the train clips become a mean of the label and of
the teacher's score from the words that were said: its `mosei` run scores MOSEI's sentences, the mean of its
`given` runs MOSI's. Labels of valid and test stay as they are. `benchmarks/words.py` then learns from the
tables in `--out`; what it learns from words that were heard is scored by what was said.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mosi_e2e.runs.evaluation import score_run
from preprocessing.errors import UserError, command

IDS = ["video_id", "clip_id"]


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Write both tables."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/distil.py", description="Mix train labels with a teacher's scores."
    )
    parser.add_argument("--teacher", type=Path, required=True, help="folder of benchmarks/words.py")
    parser.add_argument("--labels", type=Path, required=True, help="MOSI: ids, label, split or mode, text")
    parser.add_argument("--mosei", type=Path, required=True, help="MOSEI: the same columns")
    parser.add_argument("--share", type=float, default=0.7, help="of the teacher's score; default: 0.7")
    parser.add_argument("--out", type=Path, required=True, help="folder of the tables")
    args = parser.parse_args(argv)
    if not 0 <= args.share <= 1:
        raise UserError(f"--share is a number from 0 to 1; found {args.share}")
    args.out.mkdir(parents=True, exist_ok=True)
    for kind, table in (("given", args.labels), ("mosei", args.mosei)):
        scores = read_teacher(args.teacher, kind)
        taught = mix_labels(pd.read_csv(table, dtype={"clip_id": str}), scores, args.share)
        taught.to_csv(args.out / table.name, index=False)
        print(f"written: {args.out / table.name}")
    return 0


def read_teacher(folder: Path, kind: str) -> pd.Series:
    """Mean score of the runs of a kind for each train clip, by the cache's id; each run scores once."""
    runs = sorted(run for run in folder.glob(f"{kind}_[0-9]") if (run / "metrics_valid.json").is_file())
    if not runs:
        raise UserError(f"'{folder}' has no run {kind}_0: run benchmarks/words.py with the larger encoder")
    tables = []
    for run in runs:
        place = run / "scores" / "train"
        if not (place / "predictions_train.csv").is_file():
            score_run(run, "train", str(folder / "cache" / kind), place)
        tables.append(pd.read_csv(place / "predictions_train.csv", dtype={"clip_id": str}))
    return pd.concat(tables).groupby("clip_id").score.mean()


def mix_labels(table: pd.DataFrame, scores: pd.Series, share: float) -> pd.DataFrame:
    """The table with `share` of the teacher's score in the labels of its train clips."""
    split = table["split" if "split" in table else "mode"]
    scored = (table.video_id + "_" + table.clip_id).map(scores)
    train = split == "train"
    if scored[train].isna().any():
        raise UserError(f"the teacher has no score of {int(scored[train].isna().sum())} train clips")
    mixed = (1 - share) * table.label + share * scored.clip(-3, 3)
    return table.assign(label=np.where(train, mixed.round(4), table.label))


if __name__ == "__main__":
    sys.exit(main())
