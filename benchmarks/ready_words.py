"""The words of the ready model on MOSI's test sentences: scores, and how many labels its intervals hold.

    python benchmarks/ready_words.py --labels mosi_labels.csv --heard heard.csv --out ready_words.json

The tables are the user's own (`docs/words.md` says which columns). `given` is what was said, the others what
recognisers heard. There is no face and no voice in a table, so these are the scores of the words alone.
`--run` names the run that the weights came from; the largest difference between the scores is then reported.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mosi_e2e.data.batch import collate
from mosi_e2e.data.dataset import read_stream
from mosi_e2e.data.streams import find_stream
from mosi_e2e.predict.scoring import Scorer
from mosi_e2e.ready.bases import check_bases
from mosi_e2e.ready.combining import StreamFacts
from mosi_e2e.ready.folder import find_ready, read_ready
from mosi_e2e.ready.predictor import open_part
from mosi_e2e.scores.intervals import ANGLE, estimate_intervals
from mosi_e2e.scores.metrics import score_regression
from preprocessing.cache.store import ClipStore, write_atomic
from preprocessing.errors import UserError, command
from preprocessing.import_words import TextColumn, import_words

KEYS = ("mae", "corr", "acc2_non0", "f1_non0", "acc7")
LEVELS = (0.5, 0.8, 0.9)
AT_ONCE = 32
RESAMPLES = 2000


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Score, print and write."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/ready_words.py", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--labels", type=Path, required=True, help="ids, label, split and the column text")
    parser.add_argument("--heard", type=Path, help="ids, and a column heard_NAME by recogniser")
    parser.add_argument("--ready", type=Path, help="folder of the ready model; default: that of the program")
    parser.add_argument("--run", type=Path, help="its scores/NAME/predictions_test.csv are compared")
    parser.add_argument("--out", type=Path, required=True, help="JSON file")
    args = parser.parse_args(argv)
    ready = read_ready(args.ready or find_ready())
    check_bases(ready)
    if "words" not in ready.streams:
        raise UserError(f"{ready.folder} has no words; build one with --words RUN")
    facts = ready.streams["words"]
    scorer = open_part(ready, "words", facts)
    rows = []
    for name, source in list_sources(args.heard).items():
        table = score_sentences(scorer, args.labels, source)
        rows.append(describe(name, table, facts) | compare(table, args.run, name))
        print(json.dumps(rows[-1]), flush=True)
    write_atomic(args.out, (json.dumps({"tried_on": facts.tried_on, "rows": rows}, indent=1) + "\n").encode())
    print(f"written: {args.out}")
    return 0


def list_sources(heard: Path | None) -> dict[str, TextColumn]:
    """Where words come from, by name."""
    names = [] if heard is None else [n for n in pd.read_csv(heard, nrows=0) if n.startswith("heard_")]
    return {"given": TextColumn("text")} | {
        name.removeprefix("heard_"): TextColumn(name, heard) for name in names
    }


@torch.inference_mode()
def score_sentences(scorer: Scorer, labels: Path, source: TextColumn) -> pd.DataFrame:
    """Columns clip_id, video_id, label and score of the test clips; a clip without words is neutral."""
    with tempfile.TemporaryDirectory() as folder:
        import_words(labels, source, [], Path(folder) / "cache")
        store = ClipStore(Path(folder) / "cache")
        clips = store.index[(store.index.split == "test") & store.index.label.notna()]
        rows = [read_stream(store, clip_id, find_stream("words")) for clip_id in clips.clip_id]
    known = [scorer.readers["words"](one) for one in rows]
    order = sorted(
        (n for n, one in enumerate(known) if len(one["values"])), key=lambda n: len(known[n]["values"])
    )
    score = np.zeros(len(known))
    for first in range(0, len(order), AT_ONCE):
        places = order[first : first + AT_ONCE]
        blank = {"index": 0, "clip_id": "", "label": np.nan, "weight": 1.0}
        batch = collate([blank | {"streams": {"words": known[place]}} for place in places])
        score[places] = scorer.to_score(scorer.model(batch).score)
    return clips[["clip_id", "video_id", "label"]].assign(score=score)


def describe(name: str, table: pd.DataFrame, facts: StreamFacts) -> dict:
    """Metrics, and the share of labels within the interval of each level, 95 % by video."""
    found = score_regression(table.label, table.score)
    error = (table.label - table.score).abs().to_numpy()
    widths = {f"{100 * level:g}": facts.find_half_width(level) for level in LEVELS}
    coverage = {
        level: {"half_width": width, **rate_inside(error <= width, table.video_id)}
        for level, width in widths.items()
    }
    return {
        "words": name,
        "clips": len(table),
        "videos": int(table.video_id.nunique()),
        "metrics": {key: round(found[key], 4) for key in KEYS},
        "coverage": coverage,
    }


def rate_inside(inside: np.ndarray, videos: pd.Series) -> dict:
    """The share [n] and its interval by video."""
    groups = pd.Series(inside.astype(float)).groupby(videos.to_numpy())
    hits, sizes = groups.sum().to_numpy(), groups.size().to_numpy()

    def weigh(counts: np.ndarray) -> np.ndarray:
        return ((counts @ hits) / (counts @ sizes))[:, None]

    (limits,) = estimate_intervals(weigh, [ANGLE], len(sizes), RESAMPLES, 0, 0.95)
    return {"share": round(float(inside.mean()), 4), "interval": limits and [round(one, 4) for one in limits]}


def compare(table: pd.DataFrame, run: Path | None, name: str) -> dict:
    """The largest difference from a run's own scores of the same clips."""
    path = run and run / "scores" / name / "predictions_test.csv"
    if not path or not path.is_file():
        return {}
    own = pd.read_csv(path, dtype={"clip_id": str}).set_index("clip_id").score.clip(-3, 3)
    difference = (table.set_index("clip_id").score - own).abs()
    return {"largest_difference": round(float(difference.max()), 5)}


if __name__ == "__main__":
    sys.exit(main())
