"""The table of results: systems with intervals, their streams alone, and the floors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mosi_e2e.engine.losses import Objective
from mosi_e2e.experiments.table import FEW_VIDEOS, explain_p
from mosi_e2e.pages.page import Notice, Table
from mosi_e2e.report.boards import LOWER_IS_BETTER, Board, System
from mosi_e2e.report.comparisons import TITLES
from mosi_e2e.report.runs import NEEDED
from mosi_e2e.scores.class_predictions import PREDICTED
from mosi_e2e.scores.metrics import is_constant, predicts_one_class
from mosi_e2e.scores.statistics import summarise_seeds

NOTES = (
    "Recomputed from the predictions. Mean ± standard deviation over seeds; below it the 95 % interval of "
    "this mean, by bootstrap over videos.",
    "✓: the whole interval lies beyond every floor. –: undefined, as the correlation of a constant is.",
)


@dataclass(frozen=True)
class Cell:
    """One metric of one row: texts, and whether its interval lies beyond every floor."""

    value: str
    spread: str = ""
    interval: str = ""
    is_beyond: bool = False

    @property
    def text(self) -> str:
        """All of it in one line."""
        words = (
            f"{self.value}{self.spread}",
            self.interval and f"[{self.interval}]",
            "✓" if self.is_beyond else "",
        )
        return " ".join(word for word in words if word)


@dataclass(frozen=True)
class ScoreRow:
    """A row of the table; `kind` is system, part (one stream alone) or floor."""

    kind: str
    name: str
    seeds: str
    cells: Sequence[Cell]


@dataclass(frozen=True)
class ScoreTable:
    """Metrics by system.

    Attributes:
        caption: what was scored.
        columns: metrics, with the direction that is good.
        rows: systems, their parts, floors.
        notes: how to read it.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[ScoreRow]
    notes: Sequence[str]

    def flatten(self) -> Table:
        """For Markdown, where each row must say what it belongs to."""
        rows, system = [], ""
        for row in self.rows:
            system = row.name if row.kind == "system" else system
            name = {"system": system, "part": f"{system}: {row.name}", "floor": f"floor: {row.name}"}[
                row.kind
            ]
            rows.append([name, row.seeds, *(cell.text for cell in row.cells)])
        return Table(self.caption, ["system", "seeds", *self.columns], rows)


def tabulate_scores(board: Board) -> ScoreTable:
    """The board as a table."""
    rows = [row for system in board.systems for row in list_rows(system, board)]
    for name, values in board.floors.items():
        cells = [Cell(show(values.get(key))) for key in board.keys]
        rows.append(ScoreRow("floor", name.replace("_", " "), "", cells))
    columns = [f"{TITLES[key]}\u00a0{'↓' if key in LOWER_IS_BETTER else '↑'}" for key in board.keys]
    return ScoreTable(describe_board(board), columns, rows, NOTES)


def describe_board(board: Board) -> str:
    """Clips, videos and conventions in one sentence."""
    clips, videos = len(board.table), board.table.video_id.nunique()
    synthetic = "synthetic " if board.is_synthetic else ""
    zeros = ""
    if board.objective.task == "binary":
        zero = int((board.table.label == 0).sum())
        rule = "left out" if board.objective.drops_zero else "counted as positive"
        zeros = f" ({zero} with label 0 {rule})"
    return f"{board.split} split, {board.objective.task}: {clips} {synthetic}clips{zeros} of {videos} videos"


def list_rows(system: System, board: Board) -> Iterator[ScoreRow]:
    """The system, then each of its streams alone."""
    cells = []
    for key in board.keys:
        seeds, interval = system.row["seeds"][key], system.row["interval"][key]
        spread = "" if seeds["deviation"] is None else f" ± {seeds['deviation']:.3f}"
        limits = "" if interval is None else f"{show_limit(interval[0])}..{show_limit(interval[1])}"
        cells.append(Cell(show(seeds["mean"]), spread, limits, board.is_beyond_floor(key, interval)))
    yield ScoreRow("system", system.name, f"{len(system.runs)}", cells)
    for stream in () if board.is_ablation else find_streams(system, board):
        scored = [
            board.objective.score_stream(table, stream)
            for table in (run.tables[board.split] for run in system.runs)
        ]
        found = summarise_seeds(scored)
        yield ScoreRow("part", f"{stream} alone", "", [Cell(show(found[key]["mean"])) for key in board.keys])


def find_streams(system: System, board: Board) -> list[str]:
    """Columns of single streams that all seeds have."""
    tables = [run.tables[board.split] for run in system.runs]
    names = [
        name
        for name in tables[0]
        if name not in (*NEEDED, PREDICTED) and all(name in table for table in tables)
    ]
    if board.objective.classes:
        known = set(board.objective.classes)
        return [name for name in names if all(set(table[name]) <= known for table in tables)]
    return [
        name
        for name in names
        if all(table[name].dtype.kind == "f" and np.isfinite(table[name]).all() for table in tables)
    ]


def judge(board: Board) -> Notice:
    """What the main metric says about systems and floors."""
    key = board.metric
    beyond = [s.name for s in board.systems if board.is_beyond_floor(key, s.row["interval"][key])]
    floor = board.best_floor(key)
    if floor is None:
        return Notice("warning", "No floors, because no run here keeps the labels of its train split.")
    count = len(board.systems)
    told = f"The best floor has {TITLES[key]} {floor:.3f}; the 95 % interval of "
    if not beyond:
        which = "the system" if count == 1 else f"none of the {count} systems"
        verb = "does not lie" if count == 1 else "lies"
        notice = Notice(
            "warning", f"{told}{which} {verb} wholly beyond it: nothing is shown to have been learned."
        )
    else:
        which = "the system" if count == 1 else f"{len(beyond)} of {count} systems"
        names = f" ({', '.join(beyond)})" if count > 1 else ""
        notice = Notice("good", f"{told}{which}{names} lies wholly beyond it.")
    details = [*list_collapsed(board)]
    videos = board.table.video_id.nunique()
    if videos < FEW_VIDEOS:
        told = "One video was" if videos == 1 else f"Only {videos} videos were"
        details.append(f"{told} scored: intervals by video are rough or not defined then.")
    if why := explain_p([system.row for system in board.systems], videos):
        details.append(why)
    return Notice(notice.kind, notice.text, details)


def list_collapsed(board: Board) -> Iterator[str]:
    """Systems that say the same whatever they see."""
    for run in (run for system in board.systems for run in system.runs):
        if reason := explain_collapse(run.tables[board.split], board.objective):
            yield f"{run.name} {reason}"


def explain_collapse(table: pd.DataFrame, objective: Objective) -> str:
    """How predictions do not depend on the clips; empty where they do."""
    if objective.classes:
        is_single = table[PREDICTED].nunique() == 1
    else:
        score = table.score.to_numpy()
        if is_constant(score):
            return "predicts the same number for every clip."
        is_single = predicts_one_class(score - 0.5 if objective.task == "binary" else score, "non0")
    return "gives every clip the same class: its accuracy is that of a constant." if is_single else ""


def show(value: float | None) -> str:
    """A score with three decimals."""
    return "–" if value is None else f"{round(value, 3) + 0.0:.3f}"


def show_limit(value: float) -> str:
    """A bound with two decimals."""
    return f"{round(value, 2) + 0.0:.2f}"
