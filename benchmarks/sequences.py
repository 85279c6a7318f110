"""Both models on imported feature sequences, several seeds each, beside a ridge and the floors.

    python -m preprocessing.import_features mmmo_seq.npz --out cache/mmmo --neutral 3 --sentinel 255
    python benchmarks/sequences.py cache/mmmo --out runs/mmmo

Epochs, and the ridge's penalty, are chosen on valid; test is scored once, with the best epoch. A run that has
its test scores already is not repeated. Rows of models are means over seeds, and so are their intervals: the
resampled quantity is the mean of the seeds' metrics. `docs/results.md` holds what came out.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mosi_e2e.config import SPLITS, RunConfig
from mosi_e2e.data.dataset import read_stream
from mosi_e2e.data.streams import find_stream
from mosi_e2e.runs.evaluation import score_run
from mosi_e2e.runs.training import train
from mosi_e2e.scores.intervals import Interval
from mosi_e2e.scores.metrics import score_regression
from mosi_e2e.scores.statistics import bootstrap_interval, compare_paired
from preprocessing.cache.store import ClipStore, write_atomic
from preprocessing.errors import UserError, command
from preprocessing.settings import load_config

RECIPES = ("configs/sequences_late_fusion.yaml", "configs/sequences_crossmodal.yaml")
ALPHAS = 10.0 ** np.arange(-2, 6.5, 0.5)
KEYS = ("mae", "corr", "ccc", "acc2_non0", "f1_non0")


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Train what is missing, print and write the table."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/sequences.py",
        description="Train recipes on a cache of imported features and compare them with a ridge.",
        epilog="example: python benchmarks/sequences.py cache/mmmo --out runs/mmmo --seeds 5",
    )
    parser.add_argument("cache", help="folder that preprocessing.import_features wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder for runs and table")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each recipe; default: 5")
    parser.add_argument(
        "--recipes", nargs="*", default=RECIPES, help="default: both configs/sequences_*.yaml"
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings for all runs")
    args = parser.parse_intermixed_args(argv)
    if args.seeds < 1:
        raise UserError(f"--seeds must be at least 1, but is {args.seeds}")
    store = ClipStore(args.cache)
    systems = {name: [table] for name, table in predict_ridges(store).items()}
    for recipe in args.recipes:
        runs = [run_seed(recipe, args.cache, args.out, seed, args.overrides) for seed in range(args.seeds)]
        systems[Path(recipe).stem.removeprefix("sequences_")] = [read_run(run) for run in runs]
    text = format_results(store, systems)
    write_atomic(args.out / "results.md", text.encode())
    print(f"\n{text}written: {args.out / 'results.md'}")
    return 0


def run_seed(recipe: str, cache: str, out: Path, seed: int, overrides: Sequence[str]) -> Path:
    """Train one seed and score test with it, or find that done."""
    name = f"{Path(recipe).stem}_{seed}"
    run = out / name
    if not (run / "metrics_test.json").is_file():
        settings = [f"data.cache={cache}", f"out={out}", f"name={name}", f"seed={seed}", *overrides]
        train(load_config(RunConfig, recipe, settings), resume=(run / "config.yaml").is_file())
        score_run(run, "test")
    return run


def read_run(run: Path) -> pd.DataFrame:
    """The test predictions of a run."""
    return pd.read_csv(run / "predictions_test.csv", dtype={"clip_id": str, "video_id": str})


def pool_split(store: ClipStore, split: str, stream: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean over each clip's valid rows [N, D] (NaN where it lacks the stream), and their number [N, 1]."""
    clips = store.index[store.index.split == split].clip_id
    width = len(store.columns(stream, stream))
    rows = [read_stream(store, clip, find_stream(stream))["values"] for clip in clips]
    means = [values.mean(axis=0) if len(values) else np.full(width, np.nan) for values in rows]
    return np.array(means), np.array([[len(values)] for values in rows])


def predict_ridges(store: ClipStore) -> dict[str, pd.DataFrame]:
    """Test predictions of ridges on each stream, on all, and on all with the streams' lengths."""
    found = {s: {split: pool_split(store, split, s) for split in SPLITS} for s in store.meta["stages"]}
    inputs: dict[str, dict[str, np.ndarray]] = {}
    for stream, splits in found.items():
        mean = np.nanmean(splits["train"][0], axis=0)
        means = {split: np.where(np.isnan(pooled), mean, pooled) for split, (pooled, _) in splits.items()}
        inputs[f"ridge, {stream}"] = means
    inputs["ridge"] = join_inputs([inputs[f"ridge, {stream}"] for stream in found])
    lengths = [{split: length for split, (_, length) in splits.items()} for splits in found.values()]
    inputs["ridge with lengths"] = join_inputs([inputs["ridge"], *lengths])
    return {name: predict_ridge(store, splits) for name, splits in inputs.items()}


def join_inputs(parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Columns of several inputs side by side, by split."""
    return {split: np.concatenate([part[split] for part in parts], axis=1) for split in SPLITS}


def predict_ridge(store: ClipStore, pooled: dict[str, np.ndarray]) -> pd.DataFrame:
    """Fit on train with the penalty that has the lowest MAE on valid; predict test."""
    clips = {split: store.index[store.index.split == split] for split in pooled}
    fitted = [
        make_pipeline(StandardScaler(), Ridge(alpha)).fit(pooled["train"], clips["train"].label)
        for alpha in ALPHAS
    ]
    errors = [np.abs(model.predict(pooled["valid"]) - clips["valid"].label).mean() for model in fitted]
    table = clips["test"][["clip_id", "video_id", "label"]].copy()
    table["score"] = fitted[int(np.argmin(errors))].predict(pooled["test"])
    table.attrs["alpha"] = ALPHAS[int(np.argmin(errors))]
    return table


def format_results(store: ClipStore, systems: dict[str, list[pd.DataFrame]]) -> str:
    """Markdown: one row per system, with its interval, spread over seeds and distance from the ridge."""
    train_label = store.index[store.index.split == "train"].label
    label = systems["ridge"][0].label
    lines = [
        "| system | MAE | MAE - ridge | Corr | CCC | Acc-2 non0 | F1 non0 |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, tables in systems.items():
        scores = pd.DataFrame([score_regression(table.label, table.score) for table in tables]).astype(float)
        found, gap_interval = estimate_table(tables, systems["ridge"])
        cells = {key: format_cell(scores[key], found[key]) for key in KEYS}
        gap = scores["mae"] - score_regression(label, systems["ridge"][0].score)["mae"]
        cells["gap"] = "-" if name == "ridge" else format_cell(gap, gap_interval)
        shown = [cells[key] for key in ("mae", "gap", *KEYS[1:])]
        lines.append(f"| {name} | {' | '.join(shown)} |")
    constants = {"train mean": train_label.mean(), "train median": train_label.median()}
    for name, value in constants.items():
        scores = score_regression(label, np.full(len(label), value))
        shown = ["-" if scores[key] is None else f"{scores[key]:.3f}" for key in KEYS]
        lines.append(f"| floor: {name} | {' | '.join([shown[0], '-', *shown[1:]])} |")
    videos = systems["ridge"][0].video_id.nunique()
    seeds = max(len(tables) for tables in systems.values())
    alphas = [f"{name} {t[0].attrs['alpha']:.3g}" for name, t in systems.items() if "alpha" in t[0].attrs]
    lines.append(
        f"\n{store.meta['imported']['name']}: {len(label)} test clips of {videos} videos; {seeds} seeds, "
        f"mean ± deviation; [95 % by video]; penalties chosen on valid: {', '.join(alphas)}\n"
    )
    return "\n".join(lines)


def estimate_table(
    tables: Sequence[pd.DataFrame], reference: Sequence[pd.DataFrame]
) -> tuple[dict[str, Interval], Interval]:
    """Intervals, by video, of the seeds' mean metrics and of their mean MAE minus the reference's."""
    first = tables[0]
    scores, others = (np.stack([table.score for table in part]) for part in (tables, reference))
    own = bootstrap_interval(first.label, scores, first.video_id)
    return own, compare_paired(first.label, scores, others, first.video_id)["mae"]["interval"]


def format_cell(values: pd.Series, interval: Interval) -> str:
    """Mean ± deviation over seeds [interval]; a dash where any seed's is undefined."""
    if values.isna().any():
        return "-"
    spread = f" ± {values.std():.3f}" if len(values) > 1 else ""
    limits = f" [{interval[0]:.2f}, {interval[1]:.2f}]" if interval else ""
    return f"{values.mean():.3f}{spread}{limits}"


if __name__ == "__main__":
    sys.exit(main())
