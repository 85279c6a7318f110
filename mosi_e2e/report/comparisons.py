"""Several systems, and the course of their trainings, in pictures. Pure: systems come in, drawings go out."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mosi_e2e.pages.plots import BLUE, GREEN, GREY, ORANGE
from mosi_e2e.report.boards import LOWER_IS_BETTER, Board
from mosi_e2e.report.charts import WIDTH, finish, shorten
from mosi_e2e.report.gallery import Drawing
from mosi_e2e.report.runs import Run
from mosi_e2e.scores.metrics import score_regression

TITLES = {
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R²",
    "corr": "Corr",
    "ccc": "CCC",
    "acc7": "Acc-7",
    "acc5": "Acc-5",
    "acc2_has0": "Acc-2 has0",
    "f1_has0": "F1 has0",
    "acc2_non0": "Acc-2 non0",
    "f1_non0": "F1 non0",
    "acc": "Accuracy",
    "f1": "F1",
    "macro_f1": "Macro F1",
    "auc": "AUC",
    "nll": "NLL",
    "uar": "UAR",
}
PLATE = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85}  # behind texts on lines
SEEN_AS_LINE = 5  # epochs; fewer get dots, since one alone has no line
FLOOR_LINES = ("--", ":", "-.", (0, (6, 2, 1, 2, 1, 2)), (0, (1, 3)))


def draw_bars(board: Board) -> Drawing:
    """The main metric of every system: mean over seeds, interval by video, each seed, and the floors."""
    key, systems = board.metric, board.systems
    figure, ax = open_rows(len(systems))
    for place, system in enumerate(systems):
        seeds, interval = system.row["seeds"][key], system.row["interval"][key]
        if seeds["mean"] is None:
            continue
        is_reference = system.name == board.reference and len(systems) > 1
        hatch = "///" if is_reference else None
        ax.barh(place, seeds["mean"], 0.62, color="#d3e4f1", edgecolor=BLUE, lw=1, hatch=hatch)
        if interval:
            ax.plot(interval, [place] * 2, color="black", lw=1.6, marker="|", ms=9)
        each = [board.objective.score(run.tables[board.split])[key] for run in system.runs]
        ax.plot(each, [place] * len(each), "o", color=ORANGE, ms=4.5, mec="white", mew=0.6, zorder=4)
    for (name, values), line in zip(board.floors.items(), FLOOR_LINES, strict=False):
        if values.get(key) is not None:
            ax.axvline(
                values[key], color=GREY, ls=line, lw=1.3, label=f"{name.replace('_', ' ')} {values[key]:.2f}"
            )
    better = "lower is better" if key in LOWER_IS_BETTER else "higher is better"
    ax.set(xlabel=f"{TITLES[key]} ({better})")
    ax.set_xlim(left=0)
    name_rows(ax, [system.name for system in systems])
    if board.floors:
        small = {"fontsize": 7.5, "title_fontsize": 7.5, "frameon": False}
        figure.legend(loc="outside upper left", ncols=2, alignment="left", title="floors", **small)
    finish(ax, "x", ticks=False)
    told = "; ".join(f"{s.name} {tell(s.row['seeds'][key]['mean'])}" for s in systems)
    hatched = f" Hatched: the reference, {board.reference}." if len(systems) > 1 else ""
    caption = f"{TITLES[key]}. Bars: means over seeds; lines: 95 % intervals by video; dots: seeds.{hatched}"
    return Drawing(figure, f"{TITLES[key]} of each system: {told}.", caption)


def draw_differences(board: Board) -> Drawing | None:
    """Paired differences to the reference with intervals; None where nothing can be compared."""
    key = board.metric
    others = [
        s for s in board.systems if s.row["against"] and s.row["against"][key]["difference"] is not None
    ]
    if not others:
        return None
    figure, ax = open_rows(len(others))
    ax.axvline(0, color="black", lw=1)
    told = []
    for place, system in enumerate(others):
        found = system.row["against"][key]
        interval = found["interval"] or [found["difference"]] * 2
        is_clear = interval[0] > 0 or interval[1] < 0
        ax.plot(interval, [place] * 2, color=BLUE, lw=2, marker="|", ms=9)
        fill = BLUE if is_clear else "white"
        ax.plot(found["difference"], place, "D", ms=7, color=BLUE, mfc=fill, mew=1.6, zorder=3)
        p = system.row["p_holm"]
        text = "no p" if p is None else f"p {'< 0.001' if p < 0.001 else f'= {p:.3f}'}"
        above = {"xytext": (0, 9), "textcoords": "offset points", "ha": "center"}
        ax.annotate(text, (found["difference"], place), fontsize=7.5, bbox=PLATE, **above)
        told.append(f"{system.name} {found['difference']:+.3f}, {text}")
    reach = max(abs(limit) for limit in ax.get_xlim())
    ax.set_xlim(-reach, reach)
    sides = ("better ←", "→ worse") if key in LOWER_IS_BETTER else ("worse ←", "→ better")
    ax.set_xlabel(
        f"{sides[0]}   {sides[1]}\n{TITLES[key]} minus that of {shorten(board.reference, 24)}", fontsize=8.5
    )
    name_rows(ax, [system.name for system in others], room=0.9)
    finish(ax, "x", ticks=False)
    caption = (
        f"Differences to {board.reference} on the same clips, 95 % interval by video; filled where it leaves "
        "out 0. p: permutation of videos, Holm-corrected."
    )
    return Drawing(
        figure, f"Paired differences of {TITLES[key]} to {board.reference}: {'; '.join(told)}.", caption
    )


def open_rows(count: int) -> tuple[Figure, Axes]:
    """A figure whose height goes with its rows."""
    figure = Figure(figsize=(WIDTH, 1.5 + 0.36 * max(count, 3)), layout="constrained")
    return figure, figure.subplots()


def name_rows(ax: Axes, names: Sequence[str], room: float = 0.6) -> None:
    """Names beside the rows of a chart."""
    ax.set_yticks(range(len(names)), [shorten(name, 22) for name in names], fontsize=8)
    ax.set_ylim(len(names) - 1 + room, -room)
    ax.tick_params(axis="y", length=0)


def draw_curves(name: str, runs: Sequence[Run]) -> Drawing | None:
    """Loss of train and valid, and the monitored metric, of all seeds of a system; None without an epoch."""
    shown = [run for run in runs if run.epochs]
    if not shown:
        return None
    metric = runs[0].monitor
    figure = Figure(figsize=(WIDTH, 3.7), layout="constrained")
    loss, score = figure.subplots(2, 1, sharex=True)
    told = [trace_run(run, metric, loss, score, is_named=number == 0) for number, run in enumerate(shown)]
    floor = find_valid_floor(shown, metric)
    if floor is not None:
        score.axhline(floor, color=GREEN, ls=":", lw=1.8, label=f"train mean: {floor:.2f}")
    loss.set_ylabel("loss", fontsize=8.5)
    score.set_ylabel(f"valid {TITLES[metric]}", fontsize=8.5)
    score.set_xlabel("epoch", fontsize=8.5)
    score.xaxis.get_major_locator().set_params(integer=True)
    for ax in (loss, score):
        finish(ax, "both")
        if ax.get_legend_handles_labels()[0]:
            ax.legend(frameon=False, fontsize=7.5, loc="upper right")
    seeds = f" ({len(shown)} seeds)" if len(shown) > 1 else ""
    best = "; ".join(filter(None, told)) or "undefined"
    text = f"{name}{seeds}: best valid {TITLES[metric]} {best}."
    return Drawing(figure, f"Training curves of {text}", text)


def trace_run(run: Run, metric: str, loss: Axes, score: Axes, is_named: bool) -> str | None:
    """One run's lines, in the legend if `is_named`; the text about its best epoch, None without one."""
    history = run.history.apply(pd.to_numeric, errors="coerce")
    line = {"marker": "." if len(history) < SEEN_AS_LINE else None, "ms": 4, "lw": 1.2, "alpha": 0.85}
    train, valid, kept = ("train (augmented)", "valid", "best epoch, kept") if is_named else [None] * 3
    loss.plot(history.epoch, history.train_loss, color=BLUE, label=train, **line)
    loss.plot(history.epoch, history.valid_loss, color=ORANGE, ls="--", label=valid, **line)
    column = history.get(f"valid_{metric}", pd.Series(np.nan, history.index))
    score.plot(history.epoch, column, color=ORANGE, ls="--", **line)
    if not column.notna().any():
        return None
    best = int(column.idxmin() if metric in LOWER_IS_BETTER else column.idxmax())
    star = {"color": "black", "ms": 10, "mec": "white", "mew": 0.5, "zorder": 4}
    score.plot(history.epoch[best], column[best], "*", label=kept, **star)
    return f"{run.name} {column[best]:.3f} in epoch {int(history.epoch[best])}"


def find_valid_floor(runs: Sequence[Run], metric: str) -> float | None:
    """MAE of the train mean on valid; only a regression has it without the rule for zeros."""
    known = [run for run in runs if "valid" in run.tables and run.train_label is not None]
    if metric != "mae" or not known:
        return None
    label = known[0].tables["valid"].label.to_numpy()
    return score_regression(label, np.full_like(label, known[0].train_label.mean()))["mae"]


def tell(value: float | None) -> str:
    """A score with three decimals."""
    return "undefined" if value is None else f"{value:.3f}"
