"""What recognition errors cost: scores by word-error rate, and where a word of sentiment was lost.

    python benchmarks/word_errors.py runs/words_minilm --labels mosi_labels.csv --heard heard.csv

Reads what `benchmarks/words.py` left in the folder. Every test clip of every recogniser is one case: its
word-error rate, the error of the score from the words heard, and that from the words said. Scores are means
over the seeds. Words of sentiment are those that weigh most in a ridge on the words of MOSI's train clips.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import Ridge

from preprocessing.cache.store import write_atomic
from preprocessing.errors import command
from preprocessing.hearing.error_rate import count_errors, normalise_text

EDGES = (-0.001, 0.0, 0.1, 0.25, 0.5, np.inf)
BINS = ("0", "up to 0.1", "up to 0.25", "up to 0.5", "above 0.5")
IDS = ["video_id", "clip_id"]
PARTS = ("no such word", "all heard", "one or more lost")
N_WORDS, PENALTY = 200, 10.0


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Print and write both tables."""
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
    by_rate = summarise(cases, pd.cut(cases.rate, EDGES, labels=BINS))
    found = {
        "word-error rate": rates,
        "by rate": by_rate,
        "by words of sentiment": summarise(cases, cases.words),
    }
    write_atomic(args.runs / f"word_errors_{args.kind}.json", (json.dumps(found, indent=1) + "\n").encode())
    print(json.dumps(found, indent=1))
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
        part = pd.DataFrame({"clip_id": test.video_id + "_" + test.clip_id, "recogniser": name})
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
    files = sorted(runs.glob(f"{kind}_*/scores/{words}/predictions_test.csv"))
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


if __name__ == "__main__":
    sys.exit(main())
