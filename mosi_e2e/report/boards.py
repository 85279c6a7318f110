"""Runs → systems (seeds of the same settings) → boards (systems scored on the same clips)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mosi_e2e.config import LossConfig
from mosi_e2e.engine.losses import Objective, build_objective
from mosi_e2e.experiments.table import MAIN, correct, score_variant
from mosi_e2e.report.runs import Run
from mosi_e2e.scores.class_metrics import RECALL
from mosi_e2e.scores.metrics import binary_classes
from preprocessing.errors import UserError
from preprocessing.settings import digest
from preprocessing.untrusted.plain_text import read_json

NOT_SETTINGS = ("name", "out", "seed", "trackers")  # runs that differ in these alone are one system
LOWER_IS_BETTER = ("mae", "rmse", "nll")
AGREEMENT = 1e-6  # recomputed against written metrics


@dataclass(frozen=True)
class System:
    """Runs that differ in their seed alone.

    Attributes:
        name: what they have in common.
        runs: one per seed.
        clips: clip_id, video_id, label, `truth` (the label, or the class 0 / 1), `score` (mean over seeds),
            `low` and `high` (over seeds); for a binary task without the clips that its rule leaves out. Of
            classes the score is the probability of the true one, and `truth` is 1.
        pooled: the same columns but low and high, every clip once per seed.
        row: what `mosi_e2e.experiments.table.correct` says.
    """

    name: str
    runs: tuple[Run, ...]
    clips: pd.DataFrame
    pooled: pd.DataFrame
    row: Mapping[str, Any]


@dataclass(frozen=True)
class Board:
    """Systems that may be compared: one task, one split, the same clips.

    Attributes:
        place: folder of the runs.
        is_ablation: whether the runs lie in `<place>/<variant>/seed<k>`.
        split: which was scored; `is_fallback` where another one was asked for.
        objective: task and its rule for zeros.
        systems: the reference of the differences, `reference`, is one of them.
        floors: metrics of predictors that never look at a clip; nothing where train labels are unknown.
        table: label and video of every clip.
        missing: variants of the ablation that have no run to show.
    """

    place: Path
    is_ablation: bool
    split: str
    is_fallback: bool
    objective: Objective
    systems: tuple[System, ...]
    reference: str
    floors: Mapping[str, dict]
    table: pd.DataFrame
    is_synthetic: bool
    missing: tuple[str, ...]

    @property
    def metric(self) -> str:
        """The one whose differences are tested."""
        return MAIN[self.objective.task]

    @property
    def data_set(self) -> str:
        """Names of the data sets, usually one, that its runs were trained on."""
        return " and ".join(dict.fromkeys(run.data_set for system in self.systems for run in system.runs))

    @property
    def keys(self) -> list[str]:
        """Metrics of the table; the recall of each class is in a chart of its own."""
        return [key for key in self.systems[0].row["seeds"] if key != "n" and not key.startswith(RECALL)]

    def best_system(self) -> tuple[float, str] | None:
        """Mean over seeds of the main metric and name of the system where it is best; None without any."""
        found = [(system.row["seeds"][self.metric]["mean"], system.name) for system in self.systems]
        known = [one for one in found if one[0] is not None]
        choose = min if self.metric in LOWER_IS_BETTER else max
        return choose(known, key=lambda one: one[0]) if known else None

    def best_floor(self, key: str) -> float | None:
        """The floor that is hardest to beat."""
        values = [row[key] for row in self.floors.values() if row.get(key) is not None]
        if not values:
            return None
        return min(values) if key in LOWER_IS_BETTER else max(values)

    def is_beyond_floor(self, key: str, interval: Sequence[float] | None) -> bool:
        """Whether a whole interval lies on the better side of every floor."""
        floor = self.best_floor(key)
        if floor is None or interval is None:
            return False
        return interval[1] < floor if key in LOWER_IS_BETTER else interval[0] > floor


def group_runs(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Systems by name: an ablation's variants, other runs by their settings; unscored runs are in, too."""
    groups: dict[tuple, list[Run]] = {}
    for run in runs:
        same = run.variant or digest({k: v for k, v in run.config.items() if k not in NOT_SETTINGS})
        groups.setdefault((run.place, run.task, same), []).append(run)
    named: dict[str, list[Run]] = {}
    for members in groups.values():
        name = name_system(members)
        named[name if name not in named else f"{members[0].place.name}/{name}"] = members
    return named


def name_system(runs: Sequence[Run]) -> str:
    """The variant, the name of the only run, or what the names of several have in common."""
    if runs[0].variant:
        return runs[0].variant
    if len(runs) == 1:
        return runs[0].name
    first, last = min(run.name for run in runs), max(run.name for run in runs)
    shared = "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
    shared = shared.rstrip("0123456789")
    shared = shared.rstrip("_-./ ").removesuffix("seed").rstrip("_-./ ")
    return shared or " + ".join([runs[0].name, runs[1].name if len(runs) == 2 else f"{len(runs) - 1} more"])


def make_boards(groups: Mapping[str, Sequence[Run]], split: str, reference: str = "") -> list[Board]:
    """Score everything that has predictions.

    Args:
        groups: runs by system.
        split: wanted one; a run without it is shown on valid.
        reference: system that others are compared with; empty: an ablation's own, else the first baseline
            (`late_fusion`), else the first.

    Raises:
        UserError: the reference is no system.
    """
    if reference and reference not in groups:
        raise UserError(f"--reference is one of {', '.join(groups)}, but got '{reference}'")
    boards: dict[tuple, dict[str, list[Run]]] = {}
    for name, runs in groups.items():
        for run in runs:
            shown = run.choose_split(split)
            if shown:
                clips = run.tables[shown]
                same = digest(clips.clip_id.tolist(), clips.label.tolist(), *run.classes)
                key = (run.place, run.variant is not None, run.task, run.zero_label, shown, same)
                boards.setdefault(key, {}).setdefault(name, []).append(run)
    order = sorted(boards, key=lambda key: (key[1], key[4] != split, key[2] == "binary", str(key[0])))
    return [make_board(key, boards[key], split, reference) for key in order]


def make_board(key: tuple, members: Mapping[str, list[Run]], wanted: str, reference: str) -> Board:
    """The runs of one place that were scored on the same clips, as systems."""
    place, is_ablation, task, zero, split, _ = key
    runs = [run for group in members.values() for run in group]
    known = [run.train_label for run in runs if run.train_label is not None]
    objective = build_objective(task, zero, LossConfig(), known[0] if known else np.zeros(0), runs[0].classes)
    plan = read_plan(place) if is_ablation else {}
    order = [name for name in plan.get("order", ()) if name in members]
    names = [*order, *(name for name in members if name not in order)]
    chosen = choose_reference(names, members, reference or plan.get("reference", ""))
    tables = {name: [run.tables[split] for run in members[name]] for name in names}
    variants = [score_variant(n, tables[n], tables[chosen], n == chosen, objective) for n in names]
    rows = correct(variants, MAIN[task])
    systems = []
    for name, variant, row in zip(names, variants, rows, strict=True):
        pooled = add_truth(variant.table, objective)
        systems.append(System(name, tuple(members[name]), average_seeds(pooled), pooled, row))
    label = runs[0].tables[split]
    return Board(
        place,
        is_ablation,
        split,
        split != wanted,
        objective,
        tuple(systems),
        chosen,
        objective.floors(objective.read(label)[0]) if known else {},
        label[["clip_id", "video_id", "label"]],
        any(run.has_synthetic(split) for run in runs),
        tuple(name for name in plan.get("missing", ()) if name not in members),
    )


def read_plan(place: Path) -> dict:
    """Order, reference and missing variants of an ablation, from its `table.json` if that is written."""
    try:
        table = read_json(place / "table.json")
        order = [row["variant"] for row in table["rows"]]
        return {"order": order, "reference": table["reference"], "missing": table["missing"]}
    except (UserError, KeyError, TypeError):
        return {}


def choose_reference(names: Sequence[str], members: Mapping[str, list[Run]], wanted: str) -> str:
    """The system that the others are compared with: the wanted one, else a `late_fusion`, else the first."""
    if wanted in names:
        return wanted
    return next((name for name in names if members[name][0].model == "late_fusion"), names[0])


def add_truth(table: pd.DataFrame, objective: Objective) -> pd.DataFrame:
    """With the columns `truth` and `score`; a binary task's left-out clips are left out here, too."""
    if objective.task == "regression":
        return table.assign(truth=table.label)
    if objective.classes:
        label, probability = objective.read(table)
        return table.assign(truth=1.0, score=probability[np.arange(len(label)), label])
    label = table.label.to_numpy()
    truth, _, kept = binary_classes(label, table.score.to_numpy(), objective.zero_label)
    return table[kept].assign(truth=truth.astype(float)).reset_index(drop=True)


def average_seeds(pooled: pd.DataFrame) -> pd.DataFrame:
    """One row per clip."""
    return pooled.groupby("clip_id", as_index=False, sort=True).agg(
        video_id=("video_id", "first"),
        label=("label", "first"),
        truth=("truth", "first"),
        low=("score", "min"),
        high=("score", "max"),
        score=("score", "mean"),
    )


def check_written(board: Board) -> tuple[int, list[str]]:
    """How many runs say the same about themselves as was recomputed, and what does not agree, a line each."""
    same, odd = 0, []
    for system in board.systems:
        for run in system.runs:
            written = run.written.get(board.split, {}).get("metrics", {})
            found = board.objective.score(run.tables[board.split])
            wrong = [key for key in written if key in found and not agrees(written[key], found[key])]
            same += bool(written) and not wrong
            odd += [f"{run.name}: {key} is {found[key]}, its file says {written[key]}" for key in wrong]
    return same, odd


def agrees(written: object, found: float | None) -> bool:
    """Whether a file's number is the one that was found; it may hold anything."""
    if not isinstance(written, int | float) or found is None:
        return written is found
    return abs(written - found) <= AGREEMENT * max(1.0, abs(found))
