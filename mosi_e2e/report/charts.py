"""One system in pictures. Pure: a system comes in, drawings go out."""

from typing import Any

import numpy as np
import pandas as pd
from contourpy import contour_generator
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import gaussian_kde
from scipy.stats import t as student

from mosi_e2e.explore.shift import clustered_error
from mosi_e2e.pages.plots import BLUE, GREY, ORANGE
from mosi_e2e.report.boards import Board, System
from mosi_e2e.report.gallery import Drawing
from mosi_e2e.scores.metrics import ClassView, is_constant, split_classes

WIDTH = 4.4  # inches: the width of a phone, or of a card beside another
DPI = 160  # of what is drawn as pixels
MANY_POINTS = 300  # more are drawn as pixels: as shapes they would fill the page's bytes
DENSE_ENOUGH = 12  # clips below which a density is made up
MOST_VIDEOS = 40
ERRORS = {
    "regression": "|score − label|",
    "binary": "|score − class|",
    "classes": "1 − probability of the true class",
}
SHADES = ("#e8f1f8", "#d3e4f1", "#b9d5ea", "#9dc4e0")  # from the sparsest to the densest


def draw_system(system: System, board: Board) -> dict[str, Drawing]:
    """How scores and truth go together, by name."""
    return {
        "scatter": draw_scatter(system, board),
        "calibration": draw_calibration(system, board),
        "residuals": draw_residuals(system, board),
        "videos": draw_videos(system, board),
    }


def draw_scatter(system: System, board: Board) -> Drawing:
    """Prediction against label, a point per clip, with lines of equal density."""
    clips, is_binary = system.clips, board.objective.task == "binary"
    label, score = clips.label.to_numpy(), clips.score.to_numpy()
    low, high = (-0.04, 1.04) if is_binary else (min(-3.2, score.min() - 0.2), max(3.2, score.max() + 0.2))
    figure = Figure(figsize=(WIDTH, 4.1), layout="constrained", dpi=DPI)
    ax = figure.subplots()
    ax.set(xlim=(-3.2, 3.2), ylim=(low, high), xlabel="label", ylabel=name_score(board))
    if is_binary:
        ax.axhline(0.5, color=GREY, lw=1, ls="--")
        ax.axvline(0, color=GREY, lw=1, ls="--")
    else:
        ax.plot([-3, 3], [-3, 3], color=GREY, lw=1, ls="--")
        ax.axhline(0, color="#c6ccd4", lw=0.8)
        ax.axvline(0, color="#c6ccd4", lw=0.8)
    has_density = draw_density(ax, label, score)
    ax.plot(
        label,
        score,
        "o",
        color=BLUE,
        ms=5 if len(clips) < 100 else 3.5,
        mew=0.5,
        mec="white",
        alpha=0.75,
        rasterized=len(clips) > MANY_POINTS,
    )
    finish(ax, "both")
    corr = system.row["seeds"]["auc" if is_binary else "corr"]["mean"]
    measure = "AUC" if is_binary else "correlation"
    told = f"{len(clips)} clips of {clips.video_id.nunique()} videos, {measure} {show(corr)}"
    seeds = f" A clip's score is its mean over {len(system.runs)} seeds." if len(system.runs) > 1 else ""
    lines = (
        " Shaded: 25, 50, 75 and 90 % of the clips lie inside by estimated density." if has_density else ""
    )
    guide = "Dashed: the decision." if is_binary else "Dashed: a perfect prediction."
    points = [
        (clip.label, clip.score, clip.clip_id, tell_clip(clip, board, len(system.runs)))
        for clip in clips.itertuples()
    ]
    text = f"Prediction against label: {told}."
    return Drawing(figure, text, f"{text} {guide}{lines}{seeds}", ax, points)


def draw_density(ax: Axes, label: np.ndarray, score: np.ndarray) -> bool:
    """Areas that hold a share of the clips; nothing where there are too few, or all are equal."""
    if len(label) < DENSE_ENOUGH or is_constant(label) or is_constant(score):
        return False
    if abs(np.corrcoef(label, score)[0, 1]) > 0.9999:
        return False
    estimate = gaussian_kde(np.stack([label, score]))
    levels = np.unique(np.quantile(estimate(np.stack([label, score])), [0.1, 0.25, 0.5, 0.75]))
    # Beyond the axes on all sides, so that every area is closed there.
    across, up = (np.linspace(low - reach, high + reach, 90) for low, high, reach in stretch(ax))
    grid = np.meshgrid(across, up)
    height = estimate(np.stack([axis.ravel() for axis in grid])).reshape(grid[0].shape)
    areas = contour_generator(across, up, height)
    for level, shade in zip(levels, SHADES[-len(levels) :], strict=True):
        for outline in areas.lines(level):
            ax.fill(*outline.T, facecolor=shade, edgecolor="#7fa9c9", linewidth=0.6)
    return True


def stretch(ax: Axes) -> list[tuple[float, float, float]]:
    """Per axis: its limits, and how far around them."""
    return [(low, high, 0.35 * (high - low)) for low, high in (ax.get_xlim(), ax.get_ylim())]


def draw_calibration(system: System, board: Board) -> Drawing:
    """Mean truth in bins of the score; on the diagonal a score can be taken at its word."""
    pooled, is_binary = system.pooled, board.objective.task == "binary"
    bins = bin_scores(pooled, len(system.runs))
    figure = Figure(figsize=(WIDTH, 4.1), layout="constrained", dpi=DPI)
    ax = figure.subplots()
    limits = (-0.03, 1.03) if is_binary else (-3.2, 3.2)
    ax.plot(limits, limits, color=GREY, lw=1, ls="--")
    ax.errorbar(bins.score, bins.truth, bins.reach, fmt="none", ecolor=BLUE, elinewidth=1.4, capsize=2.5)
    size = 25 + 90 * bins["count"] / bins["count"].max()
    ax.scatter(bins.score, bins.truth, size, color=BLUE, edgecolor="white", linewidth=0.6, zorder=3)
    ax.hist(
        pooled.score,
        np.linspace(*limits, 41),
        bottom=limits[0],
        color="#c6ccd4",
        weights=np.full(len(pooled), 0.16 * (limits[1] - limits[0]) / max(peak(pooled.score, limits), 1)),
    )
    truth = "share of positive clips" if is_binary else "mean label"
    ax.set(xlim=limits, ylim=limits, xlabel=name_score(board), ylabel=truth)
    finish(ax, "both")
    kind = "Reliability" if is_binary else "Calibration"
    far = float(np.average((bins.score - bins.truth).abs(), weights=bins["count"]))
    text = f"{kind}: {truth} in {len(bins)} bins of the score, on average {far:.2f} from the diagonal."
    caption = f"{text} Bars: 95 % interval with clips clustered by video. Grey: how often each score occurs."
    return Drawing(figure, text, caption)


def bin_scores(pooled: pd.DataFrame, seeds: int) -> pd.DataFrame:
    """Bins of about equally many clips: mean score, mean truth, half its 95 % interval, count of clips."""
    number = int(np.clip(len(pooled) / seeds // 6, 2, 10))
    place = pd.qcut(pooled.score, number, labels=False, duplicates="drop").fillna(0)
    rows = []
    for _, part in pooled.groupby(place):
        videos = part.video_id.nunique()
        error = clustered_error(part.assign(label=part.truth))
        reach = error * student.ppf(0.975, videos - 1) if videos > 1 else 0.0
        rows.append((part.score.mean(), part.truth.mean(), reach, len(part)))
    return pd.DataFrame(rows, columns=["score", "truth", "reach", "count"])


def peak(score: pd.Series, limits: tuple[float, float]) -> int:
    """Number of clips in the highest of 40 bars."""
    return int(np.histogram(score, np.linspace(*limits, 41))[0].max())


def draw_residuals(system: System, board: Board) -> Drawing:
    """Score minus truth by class of the label; the slope of a predictor that shrinks to the mean is seen."""
    pooled, is_binary = system.pooled, board.objective.task == "binary"
    residual = (pooled.score - pooled.truth).to_numpy()
    place = np.round(np.clip(pooled.label.to_numpy(), -3, 3)).astype(int)
    present = sorted(set(place))
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained", dpi=DPI)
    ax = figure.subplots()
    ax.axhline(0, color=GREY, lw=1)
    ax.boxplot(
        [residual[place == one] for one in present],
        positions=present,
        widths=0.55,
        patch_artist=True,
        boxprops={"facecolor": "#d3e4f1", "edgecolor": BLUE},
        medianprops={"color": ORANGE, "linewidth": 2},
        whiskerprops={"color": BLUE},
        capprops={"color": BLUE},
        flierprops={
            "marker": "o",
            "markersize": 2.5,
            "markerfacecolor": BLUE,
            "markeredgecolor": "none",
            "alpha": 0.5,
        },
        manage_ticks=False,
    )
    centre = mean_of_train(board)
    if centre is not None:
        truth = pooled.truth.groupby(place).mean()
        ax.plot(truth.index, centre - truth, color="black", lw=1.1, ls=":", marker="_", ms=7)
    counts = [int((place == one).sum() / len(system.runs)) for one in present]
    ax.set_xticks(present, [f"{name_class(one)}\nn={n}" for one, n in zip(present, counts, strict=True)])
    right = "class (0 or 1)" if is_binary else "label"
    ax.set(xlim=(-3.6, 3.6), xlabel="label, rounded", ylabel=f"score − {right}")
    finish(ax, "y")
    means = ", ".join(f"{one:+d}: {np.median(residual[place == one]):+.2f}" for one in present)
    line = " Dotted: a predictor that always says the train mean." if centre is not None else ""
    return Drawing(
        figure,
        f"Residuals by rounded label; medians {means}.",
        f"Residuals by label. Boxes: quartiles and median; whiskers: 1.5 times the box.{line}",
    )


def mean_of_train(board: Board) -> float | None:
    """What the floor `train_mean` (or `train_rate`) predicts."""
    label = board.objective.train_label
    if not label.size:
        return None
    if board.objective.task == "regression":
        return float(label.mean())
    kind: ClassView = "non0" if board.objective.zero_label == "drop" else "has0"
    truth, _ = split_classes(label, label, kind)
    return float(truth.mean()) if truth.size else None


def draw_videos(system: System, board: Board) -> Drawing:
    """Absolute error of each clip and its mean, video by video, from the best to the worst."""
    clips = system.clips.assign(error=(system.clips.score - system.clips.truth).abs())
    means = clips.groupby("video_id").error.mean().sort_values()
    count = len(means)
    if count > MOST_VIDEOS:
        means = pd.concat([means.iloc[: MOST_VIDEOS // 2], means.iloc[-MOST_VIDEOS // 2 :]])
    place = pd.Series(np.arange(len(means)), means.index)
    figure = Figure(figsize=(WIDTH, 1.3 + 0.21 * max(len(means), 10)), layout="constrained", dpi=DPI)
    ax = figure.subplots()
    shown = clips[clips.video_id.isin(place.index)]
    ax.hlines(place, 0, means, color="#d3e4f1", lw=5)
    ax.plot(
        shown.error,
        place[shown.video_id],
        "o",
        color=BLUE,
        ms=3.5,
        alpha=0.45,
        mew=0,
        label="a clip",
        rasterized=len(shown) > MANY_POINTS,
    )
    ax.plot(means, place, "D", color=ORANGE, ms=5, mec="white", mew=0.5, label="mean of the video")
    ax.axvline(clips.error.mean(), color=GREY, ls="--", lw=1, label="mean of all clips")
    sizes = clips.groupby("video_id").size()
    ax.set_yticks(place, [f"{shorten(name)} ({sizes[name]})" for name in place.index], fontsize=7)
    ax.set(xlabel=ERRORS[board.objective.task])
    ax.set_xlim(left=0)
    ax.set_ylim(-0.7, len(means) - 0.3)
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=7.5, handletextpad=0.2)
    finish(ax, "x", ticks=False)
    part = f" The {MOST_VIDEOS // 2} best and worst of {count} videos." if len(means) < count else ""
    told = f"from {means.iloc[0]:.2f} ({means.index[0]}) to {means.iloc[-1]:.2f} ({means.index[-1]})"
    return Drawing(
        figure,
        f"Mean absolute error per video, {told}.",
        f"Errors per video (number of clips), {told}.{part}",
    )


def tell_clip(clip: Any, board: Board, seeds: int) -> str:
    """One line about a clip."""
    if board.objective.task == "binary":
        text = f"label {clip.label:+.2f}, probability {clip.score:.2f}"
    else:
        text = f"label {clip.label:+.2f}, score {clip.score:+.2f}, off by {clip.score - clip.label:+.2f}"
    return f"{text} (seeds {clip.low:+.2f} to {clip.high:+.2f})" if seeds > 1 else text


def name_score(board: Board) -> str:
    """What the axis of scores is called."""
    return (
        "predicted probability of “positive”" if board.objective.task == "binary" else "predicted sentiment"
    )


def name_class(number: int) -> str:
    """A class with its sign."""
    return f"{number:+d}".replace("-", "−") if number else "0"


def shorten(name: str, most: int = 14) -> str:
    """A name of at most so many letters."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def show(value: float | None) -> str:
    """A score with two decimals."""
    return "undefined" if value is None else f"{value:.2f}"


def finish(ax: Axes, grid: str, ticks: bool = True) -> None:
    """Lines and ticks that all charts have in common."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis=grid, alpha=0.25)
    ax.set_axisbelow(True)
    ax.xaxis.label.set_size(9)
    ax.yaxis.label.set_size(9)
    ax.tick_params(axis="both" if ticks else "x", labelsize=8.5)
