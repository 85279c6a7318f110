"""Confusion matrices. Pure: a system comes in, drawings go out."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mosi_e2e.pages.plots import GREEN
from mosi_e2e.report.boards import Board, System
from mosi_e2e.report.gallery import Drawing
from mosi_e2e.scores.metrics import ClassView, confusion

VIEWS: dict[int, ClassView] = {2: "non0", 5: "acc5", 7: "acc7"}  # by number of classes
SIDE = 3.3  # inches
SHORT = 3  # letters of a name that needs no slanted place
DARK = 0.55  # share of a class above which a number is written in white


def draw_confusions(system: System, board: Board) -> dict[str, Drawing]:
    """In 2, 5 and 7 classes; a binary task has 2 alone."""
    sizes = [*VIEWS] if board.objective.task == "regression" else [2]
    return {f"confusion_{size}": draw_confusion(system, board, size) for size in sizes}


def draw_confusion(system: System, board: Board, size: int) -> Drawing:
    """Counts of clips over all seeds; the shade is the share of the true class."""
    pooled, is_binary = system.pooled, board.objective.task == "binary"
    # A binary task's rule for zeros was applied to `truth` already.
    label, score = (pooled.truth - 0.5, pooled.score - 0.5) if is_binary else (pooled.label, pooled.score)
    counts, classes = confusion(label, score, VIEWS[size])
    seeds = f", counted over {len(system.runs)} seeds" if len(system.runs) > 1 else ""
    zeros = ", label 0 left out" if size == 2 and (not is_binary or board.objective.drops_zero) else ""
    names = classes if size == 2 else tuple(one.replace("-", "−") for one in classes)
    return draw_counts(counts, names, f"{size} classes{zeros}{seeds}")


def draw_counts(counts: np.ndarray, names: Sequence[str], told: str) -> Drawing:
    """A matrix of counts [C, C], true classes in rows.

    Args:
        counts: of clips.
        names: of the classes.
        told: what it is, in words.
    """
    size = len(names)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(SIDE, SIDE / 7 * size)
    figure = Figure(figsize=(side, side), layout="constrained")
    ax = figure.subplots()
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1, interpolation="none", extent=(0, size, size, 0))
    for row, column in zip(*np.nonzero(counts), strict=True):
        percent = f"\n{100 * share[row, column]:.0f} %" if size == 2 else ""
        color = "white" if share[row, column] > DARK else "#1d2530"
        text, font = f"{counts[row, column]}{percent}", 12 if size == 2 else 9
        ax.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=font, color=color)
    frame_diagonal(ax, size)
    places, is_long = np.arange(size) + 0.5, size > 2 and max(map(len, names)) > SHORT
    ax.set_xticks(
        places, names, fontsize=8.5, rotation=45 if is_long else 0, ha="right" if is_long else "center"
    )
    ax.set_yticks(places, names, fontsize=8.5, rotation=90 if size == 2 else 0, va="center")
    ax.set_xlabel("predicted", fontsize=9)
    ax.set_ylabel("true", fontsize=9)
    ax.tick_params(length=0)
    ax.spines[:].set_color("#c6ccd4")
    correct = np.trace(counts) / max(counts.sum(), 1)
    text = f"{told}: {100 * correct:.0f} % on the diagonal."
    return Drawing(figure, f"Confusion matrix, {text}", text)


def frame_diagonal(ax: Axes, size: int) -> None:
    """Frames around the right answers, so that they are found without colours."""
    for i in range(size):
        corner, side = (i + 0.04, i + 0.04), 0.92
        ax.add_patch(Rectangle(corner, side, side, facecolor="none", edgecolor=GREEN, linewidth=1.6))
