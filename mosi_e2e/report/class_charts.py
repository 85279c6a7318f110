"""One classifier in pictures. Pure: a system comes in, drawings go out."""

import numpy as np
from matplotlib.figure import Figure

from mosi_e2e.pages.plots import BLUE, GREY
from mosi_e2e.report.boards import Board, System
from mosi_e2e.report.charts import DPI, WIDTH, draw_videos, finish, shorten
from mosi_e2e.report.confusions import draw_counts
from mosi_e2e.report.gallery import Drawing
from mosi_e2e.scores.class_metrics import RECALL, count_classes
from mosi_e2e.scores.class_predictions import read_class_table

BINS = 10
FEWEST_IN_BIN = 5  # a share of fewer clips is not drawn


def draw_classes(system: System, board: Board) -> dict[str, Drawing]:
    """How predictions and truth go together, by name."""
    return {
        "recalls": draw_recalls(system, board),
        "calibration": draw_reliability(system, board),
        "videos": draw_videos(system, board),
    }


def draw_recalls(system: System, board: Board) -> Drawing:
    """The share of each class that is found, with its interval, above what chance finds."""
    classes = board.objective.classes
    figure = Figure(figsize=(WIDTH, 1.4 + 0.32 * len(classes)), layout="constrained", dpi=DPI)
    ax = figure.subplots()
    told = []
    for place, name in enumerate(classes):
        seeds = system.row["seeds"][f"{RECALL}{name}"]
        interval = system.row["interval"][f"{RECALL}{name}"]
        told.append(f"{name} {'undefined' if seeds['mean'] is None else format(seeds['mean'], '.2f')}")
        if seeds["mean"] is None:
            continue
        ax.barh(place, seeds["mean"], 0.62, color="#d3e4f1", edgecolor=BLUE, lw=1)
        if interval:
            ax.plot(interval, [place] * 2, color="black", lw=1.6, marker="|", ms=9)
    ax.axvline(1 / len(classes), color=GREY, ls="--", lw=1)
    counts = system.clips.label.value_counts()
    ax.set_yticks(range(len(classes)), [f"{shorten(c)} ({counts.get(c, 0)})" for c in classes], fontsize=8)
    ax.set(xlim=(0, 1.02), xlabel="recall")
    ax.set_ylim(len(classes) - 0.4, -0.6)
    finish(ax, "x", ticks=False)
    text = f"Recall of each class: {', '.join(told)}."
    caption = (
        "Recall by class (number of clips). Lines: 95 % intervals by video. Dashed: chance, 1 / classes."
    )
    return Drawing(figure, text, caption)


def draw_reliability(system: System, board: Board) -> Drawing:
    """How often the predicted class is right, in bins of its probability."""
    label, probability = read_class_table(system.pooled, board.objective.classes)
    sure, right = probability.max(axis=1), probability.argmax(axis=1) == label
    place = np.clip((sure * BINS).astype(int), 0, BINS - 1)
    figure = Figure(figsize=(WIDTH, 4.1), layout="constrained", dpi=DPI)
    ax = figure.subplots()
    ax.plot([0, 1], [0, 1], color=GREY, lw=1, ls="--")
    gap = 0.0
    for one in np.unique(place):
        part = place == one
        gap += part.mean() * abs(sure[part].mean() - right[part].mean())
        if part.sum() >= FEWEST_IN_BIN:
            ax.scatter(sure[part].mean(), right[part].mean(), 25 + 90 * part.mean(), color=BLUE, zorder=3)
    share = np.bincount(place, minlength=BINS) / len(place)
    ax.bar((np.arange(BINS) + 0.5) / BINS, 0.16 * share / share.max(), 0.09, color="#c6ccd4")
    ax.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="probability of the predicted class", ylabel="share right")
    finish(ax, "both")
    text = f"Reliability: share of right predictions by their probability; expected gap {gap:.3f}."
    return Drawing(
        figure,
        text,
        f"{text} On the dashed line a probability can be taken at its word. Grey: how often each.",
    )


def draw_class_confusion(system: System, board: Board) -> Drawing:
    """Counts of clips over all seeds; the shade is the share of the true class."""
    counts = count_classes(*read_class_table(system.pooled, board.objective.classes))
    seeds = f", counted over {len(system.runs)} seeds" if len(system.runs) > 1 else ""
    return draw_counts(counts, board.objective.classes, f"{len(counts)} classes{seeds}")
