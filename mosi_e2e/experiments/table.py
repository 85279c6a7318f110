"""The table of an ablation, recomputed from the predictions that the runs wrote."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mosi_e2e.engine.losses import Objective
from mosi_e2e.experiments.ablation import AblationConfig, PlannedRun
from mosi_e2e.experiments.pooling import read_objective
from mosi_e2e.scores.predictions import read_run_table
from mosi_e2e.scores.statistics import bootstrap_interval, compare_paired, holm, summarise_seeds
from preprocessing.errors import UserError

MAIN = {"regression": "mae", "binary": "acc", "classes": "uar"}  # the metric whose differences are tested
FEW_VIDEOS = 10  # with fewer, intervals by video are rough
P_USEFUL = 0.05  # a test that cannot reach it is not shown


@dataclass(frozen=True)
class Variant:
    """One row: the predictions of all its seeds, and what is computed from them.

    Attributes:
        name: of the variant.
        table: label, score, video_id of every clip and seed.
        seeds: metrics over seeds: mean, deviation, n.
        interval: of the means over seeds, by video.
        against: paired differences of these means to the reference's; empty for the reference itself.
    """

    name: str
    table: pd.DataFrame
    seeds: Mapping[str, dict]
    interval: Mapping[str, list[float] | None]
    against: Mapping[str, dict]


def summarise(runs: Sequence[PlannedRun], config: AblationConfig) -> dict:
    """Compute the whole table from `predictions_<split>.csv`.

    Variants of which no run is finished are left out and named.

    Returns:
        task, split, reference, rows (see `Variant`), floors, numbers of clips and videos, variants that are
        missing, and whether the clips are synthetic.
    """
    pools = {run.pool: run for run in reversed(runs)}  # the first run of each
    tables = {
        run: read_run(run, config.split)
        for run in reversed(pools.values())
        if predictions(run, config.split).is_file()
    }
    if not tables:
        raise UserError(f"no run in {config.out} is finished; see its train.log files")
    objective, synthetic = read_objective(*next(iter(tables.items())))
    names = [name for name in config.variants if any(run.variant == name for run in tables)]
    reference = config.reference or next(iter(config.variants))
    found = {name: [table for run, table in tables.items() if run.variant == name] for name in names}
    rows = [
        score_variant(name, found[name], found.get(reference), name == reference, objective) for name in names
    ]
    first = next(iter(tables.values()))
    label, _ = objective.read(first)
    return {
        "task": objective.task,
        "split": config.split,
        "reference": reference,
        "rows": correct(rows, MAIN[objective.task]),
        "floors": objective.floors(label),
        "clips": len(label),
        "videos": int(first.video_id.nunique()),
        "folds": 1 + max((run.fold for run in runs if run.fold is not None), default=-1),
        "missing": [name for name in config.variants if name not in names],
        "synthetic": synthetic,
    }


def predictions(run: PlannedRun, split: str) -> Path:
    """The table of a run, or of all folds of its variant and seed."""
    return run.pool / f"predictions_{split}.csv"


def read_run(run: PlannedRun, split: str) -> pd.DataFrame:
    """Its labelled clips, sorted by clip."""
    table = read_run_table(predictions(run, split))
    return table[table.label.notna()].sort_values("clip_id").reset_index(drop=True)


def score_variant(
    name: str,
    tables: list[pd.DataFrame],
    others: list[pd.DataFrame] | None,
    is_reference: bool,
    objective: Objective,
) -> Variant:
    """Means over seeds, their intervals, and their differences to the reference's on the same clips."""
    first, settings = tables[0], {"task": objective.task, "zero": objective.zero_label}
    settings["classes"] = objective.classes
    label, _ = objective.read(first)
    scores = stack_scores(name, tables, first, objective)
    interval = bootstrap_interval(label, scores, first.video_id, **settings)
    against: Mapping[str, dict] = {}
    if others and not is_reference:
        theirs = stack_scores(name, others, first, objective)
        against = compare_paired(label, scores, theirs, first.video_id, **settings)
    seeds = summarise_seeds([objective.score(table) for table in tables])
    return Variant(name, pd.concat(tables, ignore_index=True), seeds, interval, against)


def stack_scores(
    name: str, tables: Sequence[pd.DataFrame], like: pd.DataFrame, objective: Objective
) -> np.ndarray:
    """Scores of seeds [n_seeds, n_clips (, C)], all of the same clips.

    Raises:
        UserError: they are not.
    """
    compared = ["clip_id", "label"]
    if not all(table[compared].equals(like[compared]) for table in tables):
        raise UserError(
            f"the runs of variant '{name}' and of the reference scored different clips or labels; score them "
            "on one split of one cache, or remove the runs that are older than the cache"
        )
    return np.stack([objective.read(table)[1] for table in tables])


def correct(rows: list[Variant], metric: str) -> list[dict]:
    """Rows as plain values, with the p-values of the main metric corrected for their number (`p_holm`).

    `p_smallest` is the smallest p-value that the number of videos allows in a row after that correction.
    Where even this one could not be below `P_USEFUL`, the test says nothing, and `p_holm` is None.
    """
    tested = [row for row in rows if row.against and row.against[metric]["p_value"] is not None]
    found = [row.against[metric] for row in tested]
    adjusted = holm([one["p_value"] for one in found])
    smallest = holm([one["smallest_p"] for one in found])
    corrected = {
        row.name: {"p_holm": p if least <= P_USEFUL else None, "p_smallest": least}
        for row, p, least in zip(tested, adjusted, smallest, strict=True)
    }
    return [
        {"variant": row.name, "seeds": row.seeds, "interval": row.interval, "against": row.against}
        | corrected.get(row.name, {"p_holm": None, "p_smallest": None})
        for row in rows
    ]


def explain_p(rows: Sequence[Mapping], videos: int) -> str:
    """Why p-values are withheld; empty where they are not."""
    withheld = [row["p_smallest"] for row in rows if row["p_smallest"] is not None and row["p_holm"] is None]
    if not withheld:
        return ""
    tests = sum(row["p_smallest"] is not None for row in rows)
    comparisons = "1 comparison allows" if tests == 1 else f"{tests} comparisons allow"
    return (
        f"No p-values: with {videos} videos, {comparisons} none below {min(withheld):.2g}. "
        "The test could not show any difference."
    )
