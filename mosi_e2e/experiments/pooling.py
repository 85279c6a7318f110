"""The folds of one variant and seed become one table, in which every clip was scored by a run without it."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from mosi_e2e.engine.losses import Objective, build_objective
from mosi_e2e.experiments.ablation import PlannedRun
from mosi_e2e.runs.runlog import score_table
from mosi_e2e.scores.predictions import read_run_table
from preprocessing.cache.store import write_atomic
from preprocessing.errors import UserError, make_folder
from preprocessing.settings import dump_config


def pool_folds(runs: Sequence[PlannedRun], split: str) -> list[str]:
    """Write one table for each variant and seed whose folds are finished, as a folder that `report` reads.

    Returns:
        A line for each variant and seed that lacks folds.
    """
    pools: dict[Path, list[PlannedRun]] = {}
    for run in runs:
        if run.fold is not None:
            pools.setdefault(run.pool, []).append(run)
    lacking = []
    for folder, members in pools.items():
        ready = [run for run in members if (run.folder / f"predictions_{split}.csv").is_file()]
        if len(ready) == len(members):
            write_pool(folder, members, split)
        else:
            lacking.append(f"{folder}: {len(members) - len(ready)} of {len(members)} folds are not finished")
    return lacking


def write_pool(folder: Path, members: Sequence[PlannedRun], split: str) -> None:
    """Table, scores and settings of all folds together, in the files of a run's folder.

    Raises:
        UserError: a clip is in two folds' tables.
    """
    tables = [read_run_table(run.folder / f"predictions_{split}.csv") for run in members]
    pooled = pd.concat(tables, ignore_index=True)
    if pooled.clip_id.duplicated().any():
        twice = pooled.clip_id[pooled.clip_id.duplicated()].iloc[0]
        raise UserError(
            f"{folder}: clip {twice} was scored in two folds; remove the runs that are older than the cache"
        )
    first = members[0]
    objective, synthetic = read_objective(first, pooled)
    scores = score_table(pooled, objective, synthetic) | {"folds": len(members)}
    config = replace(first.config, name=folder.name, out=str(folder.parent))
    make_folder(folder)
    write_atomic(folder / f"predictions_{split}.csv", pooled.to_csv(index=False).encode())
    write_atomic(folder / f"metrics_{split}.json", (json.dumps(scores, indent=1) + "\n").encode())
    write_atomic(folder / "environment.json", (first.folder / "environment.json").read_bytes())
    write_atomic(folder / "config.yaml", dump_config(config).encode())


def read_objective(run: PlannedRun, table: pd.DataFrame) -> tuple[Objective, bool]:
    """How a table is scored, and whether its clips are synthetic.

    Of a run with folds the trivial baselines know the labels of all folds, which favours them a little: each
    fold has a train split of its own.
    """
    config, facts = run.config, json.loads((run.folder / "best" / "facts.json").read_text())
    settings = (config.task, config.zero_label, config.loss)
    classes = facts.get("classes", [])
    objective = build_objective(*settings, np.array(facts["train_label"]), classes)
    if run.fold is not None:
        objective = build_objective(*settings, objective.read(table)[0], classes)
    return objective, facts["synthetic"]
