"""The table of an ablation, recomputed from the predictions that the runs wrote."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mosi_e2e.ablation.config import AblationConfig, Run
from mosi_e2e.engine.losses import Objective
from mosi_e2e.statistics import bootstrap_interval, compare_paired, holm, summarise_seeds
from preprocessing.errors import UserError

MAIN = {"regression": "mae", "binary": "acc"}  # the metric whose differences are tested


@dataclass(frozen=True)
class Variant:
    """One row: the predictions of all its seeds, and what is computed from them.

    Attributes:
        name: of the variant.
        table: label, score, video_id of every clip and seed.
        seeds: metrics over seeds: mean, deviation, n.
        interval: of the metrics, by video.
        against: paired differences to the reference, by metric; empty for the reference itself.
    """

    name: str
    table: pd.DataFrame
    seeds: Mapping[str, dict]
    interval: Mapping[str, list[float] | None]
    against: Mapping[str, dict]


def summarise(runs: Sequence[Run], config: AblationConfig) -> dict:
    """Compute the whole table from `predictions_<split>.csv`.

    Variants of which no run is finished are left out and named.

    Returns:
        task, split, reference, rows (see `Variant`), floors, numbers of clips and videos, variants that are
        missing, and whether the clips are synthetic.
    """
    tables = {run: read_run(run, config.split) for run in runs if predictions(run, config.split).is_file()}
    if not tables:
        raise UserError(f"no run in {config.out} is finished; see its train.log files")
    objective, synthetic = read_objective(next(iter(tables)))
    names = [name for name in config.variants if any(run.variant == name for run in tables)]
    reference = config.reference or next(iter(config.variants))
    found = {name: [table for run, table in tables.items() if run.variant == name] for name in names}
    rows = [
        score_variant(name, found[name], found.get(reference), name == reference, objective) for name in names
    ]
    label = next(iter(tables.values())).label.to_numpy()
    return {
        "task": objective.task,
        "split": config.split,
        "reference": reference,
        "rows": correct(rows, MAIN[objective.task]),
        "floors": objective.floors(label),
        "clips": len(label),
        "videos": int(next(iter(tables.values())).video_id.nunique()),
        "missing": [name for name in config.variants if name not in names],
        "synthetic": synthetic,
    }


def predictions(run: Run, split: str) -> Path:
    return run.folder / f"predictions_{split}.csv"


def read_run(run: Run, split: str) -> pd.DataFrame:
    """Its labelled clips, sorted by clip."""
    table = pd.read_csv(predictions(run, split), dtype={"clip_id": str, "video_id": str})
    return table[table.label.notna()].sort_values("clip_id").reset_index(drop=True)


def read_objective(run: Run) -> tuple[Objective, bool]:
    """How the runs are scored, and whether their clips are synthetic."""
    config, facts = run.config, json.loads((run.folder / "best" / "facts.json").read_text())
    label = np.array(facts["train_label"])
    return Objective(config.task, config.zero_label, config.loss, label), facts["synthetic"]


def score_variant(
    name: str,
    tables: list[pd.DataFrame],
    others: list[pd.DataFrame] | None,
    is_reference: bool,
    objective: Objective,
) -> Variant:
    """Metrics, intervals, and differences to the reference's tables on the same clips and as many seeds."""
    whole = pd.concat(tables, ignore_index=True)
    settings = {"task": objective.task, "zero": objective.zero_label}
    interval = bootstrap_interval(whole.label, whole.score, whole.video_id, **settings)
    against: Mapping[str, dict] = {}
    if others and not is_reference:
        count = min(len(tables), len(others))
        ours, theirs = (pd.concat(part[:count], ignore_index=True) for part in (tables, others))
        if ours.clip_id.tolist() != theirs.clip_id.tolist():
            raise UserError(
                f"variant '{name}' scored other clips than the reference; compare them on one split"
            )
        against = compare_paired(ours.label, ours.score, theirs.score, ours.video_id, **settings)
    return Variant(name, whole, summarise_seeds([objective.score(t) for t in tables]), interval, against)


def correct(rows: list[Variant], metric: str) -> list[dict]:
    """Rows as plain values, with the p-values of the main metric corrected for their number."""
    tested = [row for row in rows if row.against and row.against[metric]["p_value"] is not None]
    adjusted = dict(
        zip(
            [row.name for row in tested],
            holm([row.against[metric]["p_value"] for row in tested]) if tested else [],
            strict=True,
        )
    )
    return [
        {
            "variant": row.name,
            "seeds": row.seeds,
            "interval": row.interval,
            "against": row.against,
            "p_holm": adjusted.get(row.name),
        }
        for row in rows
    ]
