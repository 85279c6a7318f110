"""What recognition errors cost: scores by word-error rate, and where a word of sentiment was lost.

    python benchmarks/word_errors.py runs/words_minilm --labels mosi_labels.csv --heard heard.csv

Reads what `benchmarks/words.py` left in the folder. Every test clip of every recogniser is one case: its
word-error rate, the error of the score from the words heard, and that from the words said. Scores are means
over the seeds. Words of sentiment are those that weigh most in a ridge on the words of MOSI's train clips.
Beside the tables lies a picture: the score over the word-error rate, with 95 % intervals by video.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import Ridge

from mosi_e2e.pages.plots import BLUE, GREY
from mosi_e2e.scores.statistics import bootstrap_interval
from preprocessing.cache.store import write_atomic
from preprocessing.errors import command
from preprocessing.hearing.error_rate import count_errors, normalise_text

EDGES = (-0.001, 0.0, 0.1, 0.25, 0.5, np.inf)
BINS = ("0", "up to 0.1", "up to 0.25", "up to 0.5", "above 0.5")
IDS = ["video_id", "clip_id"]
PARTS = ("no such word", "all heard", "one or more lost")
N_WORDS, PENALTY = 200, 10.0
TITLES = {"mae": "MAE (lower is better)", "acc2_non0": "Acc-2 non0 (higher is better)"}


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Print and write both tables, and draw the first."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/word_errors.py", description="The cost of errors."
    )
    parser.add_argument("runs", type=Path, help="folder of benchmarks/words.py")
    parser.add_argument(
        "--labels", type=Path, required=True, help="MOSI: ids, label, split and the column text"
    )
    parser.add_argument(
        "--heard", type=Path, required=True, help="MOSI: ids, and a column heard_NAME by recogniser"
    )
    parser.add_argument("--kind", default="both", help="which runs of the folder; default: both")
    args = parser.parse_args(argv)
    heard = pd.read_csv(args.heard, dtype=str)
    heard = heard[[*IDS, *(name for name in heard if name.startswith("heard_"))]]
    texts = pd.read_csv(args.labels, dtype=str).merge(heard, on=IDS).fillna("")
    split = texts["split" if "split" in texts else "mode"]
    words = weigh_words(texts[split == "train"])
    cases = collect_cases(args.runs, args.kind, texts[split == "test"], words)
    rates = cases.groupby("recogniser").apply(pool_rate, include_groups=False).round(3).to_dict()
    by_rate = add_spread(cases, pd.cut(cases.rate, EDGES, labels=BINS))
    found = {
        "word-error rate": rates,
        "by rate": by_rate,
        "by words of sentiment": summarise(cases, cases.words),
    }
    target = args.runs / f"word_errors_{args.kind}.json"
    write_atomic(target, (json.dumps(found, indent=1) + "\n").encode())
    picture = BytesIO()
    draw_curve(by_rate).savefig(picture, format="png", dpi=160)
    write_atomic(target.with_suffix(".png"), picture.getvalue())
    print(f"{json.dumps(found, indent=1)}\nwritten: {target} and .png")
    return 0


def weigh_words(train: pd.DataFrame) -> set[str]:
    """The `N_WORDS` words with the largest weights, either way, in a ridge on who says them."""
    counter = CountVectorizer(preprocessor=normalise_text, token_pattern=r"\S+", min_df=5, binary=True)
    said = counter.fit_transform(train.text)
    weights = np.abs(Ridge(PENALTY).fit(said, train.label.astype(float)).coef_)
    return set(counter.get_feature_names_out()[np.argsort(-weights)[:N_WORDS]])


def collect_cases(runs: Path, kind: str, test: pd.DataFrame, words: set[str]) -> pd.DataFrame:
    """One row per clip and recogniser."""
    given = mean_scores(runs, kind, "given")
    parts = []
    for column in [name for name in test if name.startswith("heard_")]:
        name = column.removeprefix("heard_")
        scores = mean_scores(runs, kind, name)
        ids = test.video_id + "_" + test.clip_id
        part = pd.DataFrame({"clip_id": ids, "video_id": test.video_id, "recogniser": name})
        pairs = [(normalise_text(a), normalise_text(b)) for a, b in zip(test.text, test[column], strict=True)]
        counts = [count_errors({"": said}, {"": [heard]}) for said, heard in pairs]
        part["errors"], part["length"] = [one.errors for one in counts], [one.words for one in counts]
        part["rate"] = part.errors / part.length.clip(lower=1)
        part["words"] = [find_lost(*pair, words) for pair in pairs]
        part = part.merge(scores, on="clip_id").merge(
            given[["clip_id", "score"]], on="clip_id", suffixes=("", "_given")
        )
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def mean_scores(runs: Path, kind: str, words: str) -> pd.DataFrame:
    """Label and mean score over the seeds of each test clip."""
    files = sorted(runs.glob(f"{kind}_[0-9]*/scores/{words}/predictions_test.csv"))
    tables = [pd.read_csv(file, dtype={"clip_id": str}) for file in files]
    table = tables[0][["clip_id", "label"]].copy()
    table["score"] = np.mean([one.score for one in tables], axis=0)
    return table


def find_lost(said: str, heard: str, words: set[str]) -> str:
    """Whether a word of sentiment that was said was heard, too."""
    telling = set(said.split()) & words
    if not telling:
        return PARTS[0]
    return PARTS[1] if telling <= set(heard.split()) else PARTS[2]


def pool_rate(cases: pd.DataFrame) -> float:
    """Word-error rate over all clips."""
    return cases.errors.sum() / cases.length.sum()


def summarise(cases: pd.DataFrame, by: pd.Series) -> list[dict]:
    """Scores of the cases of each part: from the words heard, and from the words said in the same clips."""
    rows = []
    for name, part in cases.groupby(by, observed=True):
        row = {"part": name, "cases": len(part)}
        for column, title in (("score", "heard"), ("score_given", "given")):
            decided = part[part.label != 0]
            row[f"{title}: mae"] = round(float((part[column] - part.label).abs().mean()), 3)
            row[f"{title}: acc2_non0"] = round(
                float(((decided[column] > 0) == (decided.label > 0)).mean()), 3
            )
        rows.append(row)
    return rows


def add_spread(cases: pd.DataFrame, by: pd.Series) -> list[dict]:
    """`summarise`, with each part's word-error rate and the 95 % intervals by video of its scores."""
    rows = summarise(cases, by)
    for row, (_, part) in zip(rows, cases.groupby(by, observed=True), strict=True):
        row["rate"] = round(float(pool_rate(part)), 3)
        for column, title in (("score", "heard"), ("score_given", "given")):
            limits = bootstrap_interval(part.label, part[column], part.video_id)
            for key in TITLES:
                row[f"{title}: {key} interval"] = limits[key] and [round(one, 3) for one in limits[key]]
    return rows


def draw_curve(rows: Sequence[dict]) -> Figure:
    """Scores over the clips' word-error rate, from the words heard and from those said in the same clips."""
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    for ax, (key, title) in zip(figure.subplots(1, 2), TITLES.items(), strict=True):
        looks = {"heard": (BLUE, "o-", 0.004), "given": (GREY, "s--", -0.004)}
        for name, (color, line, shift) in looks.items():
            x = [row["rate"] + shift for row in rows]
            label = f"words {'said' if name == 'given' else name}"
            ax.plot(x, [row[f"{name}: {key}"] for row in rows], line, color=color, ms=5, label=label)
            for place, row in zip(x, rows, strict=True):
                limits = row[f"{name}: {key} interval"]
                if limits:
                    ax.plot([place] * 2, limits, color=color, lw=1.2, marker="_", ms=5)
        ax.set(title=title, xlabel="word-error rate of the clips")
        ax.title.set_fontsize(10)
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.25)
    figure.axes[0].legend(frameon=False, fontsize=8.5, loc="upper left")
    return figure


if __name__ == "__main__":
    sys.exit(main())
