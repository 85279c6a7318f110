"""The set in pictures. Pure: a table comes in, pictures go out."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mosi_e2e.config import SPLITS
from mosi_e2e.pages.page import Picture, draw_svg
from mosi_e2e.pages.plots import BLUE, GREEN, GREY, ORANGE
from preprocessing.stages.heard import Waveform
from preprocessing.stages.seen import Faces

COLOURS = {"train": BLUE, "valid": GREEN, "test": ORANGE}
MARKERS = {"train": "o", "valid": "s", "test": "^"}  # so that a split is known by more than its colour
LINES = {"train": "-", "valid": "--", "test": ":"}
SIZE = (4.4, 3.1)  # inches: the width of a phone, or of a card beside another
LABEL_BINS = np.arange(-3.25, 3.5, 0.5)
SHOWN_VIDEOS = 120


def draw_set(clips: pd.DataFrame) -> list[Picture]:
    """All pictures of the set.

    Args:
        clips: what `survey` returns.
    """
    usable = clips[clips.usable]
    if usable.empty:
        return []
    labelled = usable[usable.label.notna()]
    pictures = [draw_labels(labelled), draw_videos(labelled)] if len(labelled) else []
    pictures += [draw_durations(usable)] if usable.duration_s.notna().any() else []
    return [*pictures, draw_coverage(usable)] if {Faces.name, Waveform.name} <= set(usable) else pictures


def draw_labels(labelled: pd.DataFrame) -> Picture:
    """Label histogram, one panel per split."""
    names = list_splits(labelled)
    figure = Figure(figsize=SIZE, layout="constrained")
    panels = np.atleast_1d(figure.subplots(len(names), 1, sharex=True, sharey=True))
    told = []
    for ax, name in zip(panels, names, strict=True):
        label = labelled.label[labelled.split == name]
        weights = np.full(len(label), 100 / len(label))
        ax.hist(label, LABEL_BINS, weights=weights, color=COLOURS[name], edgecolor="white", linewidth=0.5)
        ax.axvline(0, color=GREY, linewidth=0.8)
        ax.axvline(label.mean(), color="black", linestyle="--", linewidth=1.3)
        ax.set_title(
            f"{name}: {len(label)} clips, mean {round(label.mean(), 2) + 0.0:+.2f}", loc="left", fontsize=9
        )
        ax.set_ylabel("% of clips", fontsize=8)
        told.append(f"{name} {len(label)} clips with mean {round(label.mean(), 2) + 0.0:+.2f}")
        finish(ax)
    panels[-1].set_xlabel("label (sentiment, −3 to +3)")
    return draw_svg(
        figure,
        f"Histogram of the labels per split: {'; '.join(told)}.",
        "Labels per split. Dashed: the mean.",
    )


def draw_videos(labelled: pd.DataFrame) -> Picture:
    """Every clip's label above its video, videos by their mean."""
    means = labelled.groupby("video_id").label.agg(["mean", "min", "max"]).sort_values("mean")
    count = len(means)
    if count > SHOWN_VIDEOS:
        means = means.iloc[np.linspace(0, count - 1, SHOWN_VIDEOS).round().astype(int)]
    place = pd.Series(np.arange(len(means)), means.index)
    figure = Figure(figsize=SIZE, layout="constrained")
    ax = figure.subplots()
    ax.vlines(place, means["min"], means["max"], color="#c6ccd4", linewidth=1)
    for name in list_splits(labelled):
        part = labelled[(labelled.split == name) & labelled.video_id.isin(place.index)]
        ax.plot(
            place[part.video_id], part.label, MARKERS[name], color=COLOURS[name], ms=3, alpha=0.6, label=name
        )
    ax.plot(place, means["mean"], "_", color="black", ms=6, label="mean")
    ax.set(xlabel="videos, by mean label", ylabel="label", xticks=[])
    figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=8, handletextpad=0.2)
    finish(ax)
    shown = f"{len(means)} of {count} videos" if len(means) < count else f"{count} videos"
    spread = (means["max"] - means["min"]).median()
    caption = f"Labels within each video ({shown}). Median range within a video: {spread:.1f}."
    return draw_svg(figure, caption, caption)


def draw_durations(usable: pd.DataFrame) -> Picture:
    """Histogram of clip lengths, drawn as steps per split."""
    seconds = usable.duration_s.dropna()
    longest = max(float(np.quantile(seconds, 0.99)) * 1.05, 1.0)
    bins = np.linspace(0, longest, 25)
    figure = Figure(figsize=SIZE, layout="constrained")
    ax = figure.subplots()
    for name in list_splits(usable):
        part = seconds[usable.split == name].clip(upper=longest)
        weights = np.full(len(part), 100 / max(len(part), 1))
        ax.hist(
            part,
            bins,
            weights=weights,
            histtype="step",
            color=COLOURS[name],
            linestyle=LINES[name],
            label=name,
            lw=1.6,
        )
    ax.set(xlabel="length in seconds", ylabel="% of the split's clips")
    ax.legend(frameon=False, fontsize=8)
    finish(ax)
    caption = f"Lengths: median {seconds.median():.1f} s, longest {seconds.max():.1f} s."
    if seconds.max() > longest:
        caption += f" The last bin holds all above {longest:.0f} s."
    return draw_svg(figure, caption, caption)


def draw_coverage(usable: pd.DataFrame) -> Picture:
    """How much of each clip has a face and a voice."""
    figure = Figure(figsize=SIZE, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    told = []
    for ax, column, title in zip(panels, ("face_ratio", "voiced"), ("face found", "voiced"), strict=True):
        share = usable[column].fillna(0).to_numpy() * 100
        ax.hist(share, np.arange(0, 101, 10), color=BLUE, edgecolor="white", linewidth=0.5)
        ax.set_title(title, loc="left", fontsize=9)
        ax.set_xlabel("% of the clip")
        ax.set_xticks([0, 50, 100])
        told.append(f"{title} in less than half of {int((share < 50).sum())} clips")
        finish(ax)
    panels[0].set_ylabel("clips")
    panels[0].yaxis.get_major_locator().set_params(integer=True)
    faceless, soundless = (int((usable[stage.name] != "ok").sum()) for stage in (Faces, Waveform))
    caption = f"Coverage: {', '.join(told)}; without a face track: {faceless}, without sound: {soundless}."
    return draw_svg(figure, caption, caption)


def list_splits(clips: pd.DataFrame) -> list[str]:
    """The splits that have clips, in their usual order."""
    return [name for name in SPLITS if (clips.split == name).any()]


def finish(ax: Axes) -> None:
    """Lines and ticks that all charts have in common."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", alpha=0.25)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=8)
