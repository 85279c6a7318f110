r"""What words tell of the sentiment: a text encoder on MOSEI's sentences, then on MOSI's, given and heard.

    python benchmarks/words.py --labels mosi_labels.csv --heard heard.csv --mosei mosei.csv \
        --out runs/words_minilm model.late_fusion.words.model=FOLDER

The tables are the user's own (`docs/words.md` says which columns). There are three kinds of run, each with
several seeds: `mosei` learns from MOSEI alone; `both`, which begins with its weights, from what was said in
MOSI's train clips and from what each recogniser heard there; `given`, in the same way, from what was said.
Epochs are chosen on valid, and each run scores its test sets once. What is there is not repeated, and a
killed run goes on. Beside them stands `tf-idf`: a ridge on words and pairs of words.

`--task binary` and `--context 3` make tables of their own, `results_binary.json` and
`results_context3.json`: the runs on MOSI then learn negative against positive, or read each sentence behind
those before it. They begin with the same runs on MOSEI. `docs/results.md` holds what came out.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge

from mosi_e2e.config import SPLITS, RunConfig
from mosi_e2e.data.dataset import read_stream
from mosi_e2e.data.streams import find_stream
from mosi_e2e.runs.evaluation import score_run
from mosi_e2e.runs.training import train
from mosi_e2e.scores.metrics import score_binary, score_regression
from mosi_e2e.scores.statistics import bootstrap_interval
from preprocessing.cache.store import ClipStore, write_atomic
from preprocessing.cache.words import unpack_words
from preprocessing.errors import UserError, command
from preprocessing.import_words import TextColumn, import_words
from preprocessing.settings import load_config

RECIPE = "configs/words.yaml"
KINDS = ("both", "given")
PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0)
TITLES = {
    "regression": {
        "mae": "MAE",
        "corr": "Corr",
        "acc2_non0": "Acc-2 non0",
        "f1_non0": "F1 non0",
        "acc7": "Acc-7",
    },
    "binary": {"acc": "Acc-2 non0", "f1": "F1 non0", "auc": "AUC", "nll": "NLL"},
}


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Train what is missing, print and write the table."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/words.py",
        description="Train text encoders on MOSEI and on MOSI, and score given and heard words.",
    )
    parser.add_argument(
        "--labels", type=Path, required=True, help="MOSI: ids, label, split and the column text"
    )
    parser.add_argument(
        "--heard", type=Path, required=True, help="MOSI: ids, and a column heard_NAME by recogniser"
    )
    parser.add_argument("--mosei", type=Path, help="MOSEI: ids, label, split and the column text")
    parser.add_argument("--out", type=Path, required=True, help="folder for caches, runs and the table")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each kind; default: 5")
    parser.add_argument(
        "--pretrainings",
        type=int,
        help="runs on MOSEI; later seeds begin with these in turns; default: --seeds",
    )
    parser.add_argument(
        "--kinds", nargs="*", choices=KINDS, default=KINDS, help="of runs on MOSI; default: both"
    )
    parser.add_argument(
        "--more",
        action="append",
        default=[],
        metavar="NAME=CACHE",
        help="a further test set: a cache with words, such as that of benchmarks/spoken.py; may be repeated",
    )
    parser.add_argument("--task", choices=tuple(TITLES), default="regression", help="of runs on MOSI")
    parser.add_argument(
        "--context", type=int, default=0, help="sentences before each one in MOSI; default: none"
    )
    parser.add_argument("--mosei-epochs", type=int, default=2, help="default: 2")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings for all runs")
    args = parser.parse_intermixed_args(argv)
    if args.seeds < 1 or (args.pretrainings is not None and args.pretrainings < 1):
        raise UserError("--seeds and --pretrainings must be at least 1")
    caches = make_caches(args.labels, args.heard, args.mosei, args.out / "cache", args.context)
    rows = collect_rows(caches, parse_more(args.more), args)
    target = args.out / f"results{name_variant(args)}.json"
    write_atomic(target, (json.dumps(rows, indent=1) + "\n").encode())
    print(f"\n{format_rows(rows)}written: {target}")
    return 0


def name_variant(args: argparse.Namespace) -> str:
    """What stands behind the names of runs and tables that are not the usual ones."""
    return f"_context{args.context}" * (args.context > 0) + f"_{args.task}" * (args.task != "regression")


def make_caches(
    labels: Path, heard: Path, mosei: Path | None, folder: Path, context: int = 0
) -> dict[str, Path]:
    """A cache of each set of words: `given`, each recogniser's, `both` (heard for train alone), `mosei`.

    Those of MOSI have `context` sentences before each one, of the same words.
    """
    names = [name for name in pd.read_csv(heard, nrows=0).columns if name.startswith("heard_")]
    if not names:
        raise UserError(f"{heard} has no column heard_NAME; name a recogniser's column like that")
    given, heards = (
        TextColumn("text"),
        {name.removeprefix("heard_"): TextColumn(name, heard) for name in names},
    )
    wanted = {"given": (labels, given, []), "both": (labels, given, list(heards.values()))}
    wanted |= {name: (labels, source, []) for name, source in heards.items()}
    wanted |= {"mosei": (mosei, given, [])} if mosei else {}
    behind = f"_context{context}" if context else ""
    caches = {name: folder / (name if name == "mosei" else f"{name}{behind}") for name in wanted}
    for name, (table, text, also) in wanted.items():
        if not (caches[name] / "index.csv").is_file():
            import_words(table, text, also, caches[name], 0 if name == "mosei" else context)
    return caches


def parse_more(pairs: Sequence[str]) -> dict[str, Path]:
    """The test sets of `--more`, by name."""
    more = {name: Path(cache) for name, _, cache in (pair.partition("=") for pair in pairs)}
    for name, cache in more.items():
        if not (cache / "index.csv").is_file():
            raise UserError(f"--more is NAME=CACHE, but there is no cache '{cache}' for {name}")
    return more


def collect_rows(caches: dict[str, Path], more: dict[str, Path], args: argparse.Namespace) -> list[dict]:
    """Every kind of run on every test set that it is meant for; those of `more` have no train split."""
    heard = [name for name in caches if name not in ("given", "both", "mosei")]
    before = [""] * args.seeds
    usual = not name_variant(args)
    rows = [
        describe_scores("tf-idf", name, [predict_ridge(caches[name])])
        for name in caches
        if usual and name != "both"
    ]
    if "mosei" in caches:
        count = min(args.pretrainings or args.seeds, args.seeds)
        settings = [f"optim.epochs={args.mosei_epochs}"]
        runs = [train_run("mosei", seed, caches["mosei"], args, settings) for seed in range(count)]
        before = [f"start={runs[seed % count]}" for seed in range(args.seeds)]
        if usual:
            rows += [score_runs(runs, name, caches[name]) for name in ("mosei", "given", *heard)]
    tested = {name: caches[name] for name in ("given", *heard)} | more
    for kind in args.kinds:
        runs = [
            train_run(
                f"{kind}{name_variant(args)}",
                seed,
                caches[kind],
                args,
                [f"task={args.task}", *([begin] if begin else [])],
            )
            for seed, begin in enumerate(before)
        ]
        rows += [score_runs(runs, name, cache, args.task) for name, cache in tested.items()]
    return rows


def train_run(kind: str, seed: int, cache: Path, args: argparse.Namespace, more: list[str]) -> Path:
    """Train one seed of a kind of run, or find that done."""
    run = args.out / f"{kind}_{seed}"
    if not (run / "metrics_valid.json").is_file():
        settings = [f"data.cache={cache}", f"out={args.out}", f"name={run.name}", f"seed={seed}"]
        config = load_config(RunConfig, RECIPE, [*settings, *args.overrides, *more])
        train(config, resume=(run / "config.yaml").is_file())
    return run


def predict_ridge(cache: Path) -> pd.DataFrame:
    """Test predictions of a ridge on TF-IDF of a cache's own words; the penalty is the best on valid."""
    store = ClipStore(cache)
    clips = {split: store.index[store.index.split == split] for split in SPLITS}
    texts = {split: [read_text(store, clip_id) for clip_id in clips[split].clip_id] for split in SPLITS}
    counter = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True).fit(texts["train"])
    inputs = {split: counter.transform(texts[split]) for split in SPLITS}
    models = [Ridge(penalty).fit(inputs["train"], clips["train"].label) for penalty in PENALTIES]
    errors = [np.abs(model.predict(inputs["valid"]) - clips["valid"].label).mean() for model in models]
    table = clips["test"][["clip_id", "video_id", "label"]].reset_index(drop=True)
    return table.assign(score=models[int(np.argmin(errors))].predict(inputs["test"]))


def read_text(store: ClipStore, clip_id: str) -> str:
    """What is said in a clip."""
    return " ".join(unpack_words(read_stream(store, clip_id, find_stream("words"))["values"]))


def score_runs(runs: Sequence[Path], words: str, cache: Path, task: str = "regression") -> dict:
    """Scores of several seeds on one test set."""
    tables = [read_scores(run, words, cache) for run in runs]
    return describe_scores(runs[0].name.rpartition("_")[0], words, tables, task)


def describe_scores(
    system: str, words: str, tables: Sequence[pd.DataFrame], task: str = "regression"
) -> dict:
    """A row: mean and deviation over the tables, and 95 % by video of their mean."""
    first, keys = tables[0], TITLES[task]
    measure = score_binary if task == "binary" else score_regression
    scores = pd.DataFrame([measure(table.label, table.score) for table in tables]).astype(float)
    every = np.stack([table.score for table in tables])
    limits = bootstrap_interval(first.label, every, first.video_id, task=task)
    return {
        "trained on": system,
        "words": words,
        "seeds": len(tables),
        "clips": len(first),
        "videos": int(first.video_id.nunique()),
        "mean": {key: round(scores[key].mean(), 4) for key in keys},
        "deviation": {key: round(scores[key].std(), 4) if len(tables) > 1 else None for key in keys},
        "interval": {key: limits[key] and [round(limit, 4) for limit in limits[key]] for key in keys},
    }


def read_scores(run: Path, words: str, cache: Path) -> pd.DataFrame:
    """The test predictions of a run from one set of words, made once."""
    place = run / "scores" / words
    if not (place / "predictions_test.csv").is_file():
        score_run(run, "test", str(cache), place)
    return pd.read_csv(place / "predictions_test.csv", dtype={"clip_id": str, "video_id": str})


def format_rows(rows: Sequence[dict]) -> str:
    """The table in Markdown."""
    titles = next(one for one in TITLES.values() if one.keys() == rows[0]["mean"].keys())
    lines = [f"| trained on | words | {' | '.join(titles.values())} |", "|---" * (2 + len(titles)) + "|"]
    for row in rows:
        cells = [format_cell(row, key) for key in titles]
        lines.append(f"| {row['trained on']} | {row['words']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def format_cell(row: dict, key: str) -> str:
    """Mean ± deviation [interval]."""
    spread = "" if row["deviation"][key] is None else f" ± {row['deviation'][key]:.3f}"
    limits = row["interval"][key]
    return f"{row['mean'][key]:.3f}{spread}" + (f" [{limits[0]:.2f}, {limits[1]:.2f}]" if limits else "")


if __name__ == "__main__":
    sys.exit(main())
