"""One person's result on one picture: frames, sound, expression, score over time, and what it rests on."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill, shorten

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mosi_e2e.data.streams import name_stream
from mosi_e2e.pages.plots import BLUE, GREEN, GREY, ORANGE
from mosi_e2e.pages.tracks import spell
from mosi_e2e.predict.result import REACH, PersonResult, VideoResult, choose_reach
from mosi_e2e.predict.traces import choose_stills, choose_traces, draw_still, name_streams
from mosi_e2e.predict.words import name_result, say_shares, signed, tell
from preprocessing.cache.store import write_atomic
from preprocessing.config import SAMPLE_RATE

STILLS, TRACES, COLUMNS = 8, 3, 1200
ROWS = {
    "frames": 1.5,
    "sound": 0.9,
    "words": 0.3,
    "traces": 1.4,
    "score": 2.4,
    "seconds": 1.2,
}  # relative heights
LETTER_INCH = 0.05  # a word that does not fit into its time is a colour alone
STYLE = {"font.family": "sans-serif", "font.size": 10, "axes.spines.top": False, "axes.spines.right": False}
MARKS = ("−3", "−2", "−1", "0", "+1", "+2", "+3")
LEFT = -0.13  # of what stands at the page's edge, in widths of the axes
STRONG, WARNING = "#1d2530", "#b34a00"


def write_figure(result: VideoResult, path: Path) -> None:
    """The first person's picture, as PNG."""
    buffer = io.BytesIO()
    with rc_context(STYLE):
        draw_figure(result, result.people[0]).savefig(buffer, format="png", dpi=120)
    write_atomic(path, buffer.getvalue())


def draw_figure(result: VideoResult, person: PersonResult) -> Figure:
    """Everything above one time axis, the contributions below."""
    figure = Figure(figsize=(10, 12))
    words = [word for window in person.timeline for word in window.words]
    rows = {name: height for name, height in ROWS.items() if name != "words" or words}
    grid = figure.add_gridspec(
        len(rows) + 2, 1, left=0.15, right=0.97, top=0.985, bottom=0.05, hspace=0.28,
        height_ratios=[3.1, *rows.values(), 1.9],
    )  # fmt: skip
    _draw_head(figure.add_subplot(grid[0]), result, person)
    axes = {name: figure.add_subplot(grid[row + 1]) for row, name in enumerate(rows)}
    for name, ax in axes.items():
        ax.set_xlim(0, result.duration_s)
        ax.tick_params(labelbottom=name == "seconds")
    axes["seconds"].set_xlabel("seconds", labelpad=1)
    _draw_frames(axes["frames"], result, person)
    _draw_sound(axes["sound"], result)
    if words:
        _draw_words(axes["words"], words)
    _draw_traces(axes["traces"], person)
    _draw_score(axes["score"], person)
    _draw_seconds(axes["seconds"], person)
    if person.deciding:
        for ax in axes.values():
            ax.axvspan(person.deciding["start_s"], person.deciding["end_s"], color=GREEN, alpha=0.16, lw=0)
    box = grid[len(rows) + 1].get_position(figure)
    _draw_contributions(figure.add_axes((0.25, box.y0, 0.72, box.height - 0.045)), result, person)
    return figure


def _draw_head(ax: Axes, result: VideoResult, person: PersonResult) -> None:
    ax.axis("off")
    ax.set(xlim=(0, 1), ylim=(0, 1))
    inches = ax.get_position().height * ax.figure.get_figheight()
    top, inch = 1.0, 1 / inches
    for warning in result.warnings:
        lines = fill(f"Warning: {warning[:1].upper()}{warning[1:]}", 120)
        ax.text(LEFT, top, lines, fontsize=9.5, fontweight="bold", color=WARNING, va="top")
        top -= (0.1 + 0.17 * (lines.count("\n") + 1)) * inch
    several = f", {person.name}" if len(result.people) > 1 else ""
    name = result.video if len(result.video) <= 60 else f"{result.video[:57]}..."
    ax.text(LEFT, top, f"{name}{several}", fontsize=13, fontweight="bold", va="top")
    if person.score is None:
        ax.text(LEFT, top - 0.4 * inch, f"{person.why_none}", fontsize=13, va="top")
        return
    ax.text(LEFT, top - 0.34 * inch, signed(person.score), fontsize=28, fontweight="bold", va="top")
    ax.text(0.06, top - 0.36 * inch, name_result(person), fontsize=13, va="top")
    scale = f"on a scale from −3 to +3, over {result.duration_s:.1f} s"
    ax.text(0.06, top - 0.63 * inch, scale, color=GREY, va="top")
    text = _describe(result, person)
    ax.text(LEFT, top - 0.95 * inch, text, fontsize=8.5, color=GREY, va="top", linespacing=1.35)
    _draw_scale(ax.inset_axes((0.56, top - 0.72 * inch, 0.44, 0.34 * inch)), person)


def _draw_scale(ax: Axes, person: PersonResult) -> None:
    """Where the score and its interval lie between -3 and 3."""
    ax.set(xlim=(-REACH, REACH), ylim=(0, 1), yticks=[], xticks=range(-3, 4), xticklabels=MARKS)
    ax.spines["left"].set_visible(False)
    ax.tick_params(labelsize=8)
    ax.axvline(0, color=GREY, linewidth=0.8)
    if person.interval:
        ax.axvspan(person.interval.low, person.interval.high, color=_colour(person.score), alpha=0.25, lw=0)
    ax.plot([person.score], [0.5], "o", color=_colour(person.score), markersize=9, clip_on=False)


def _describe(result: VideoResult, person: PersonResult) -> str:
    model = result.model
    lines = [shorten(f"model {model['name']} ({model['kind']}, {model['task']})", 118)]
    if not model["synthetic"] and model["test_mae"] is not None:
        lines.append(f"its mean error on its own test split: {model['test_mae']:.2f}")
    lines += tell(person)
    if person.deciding:
        lines.append("Green: the second whose removal would change the whole score most.")
    if person.streams_missing:
        lines.append(f"Not found, scored without: {name_streams(person.streams_missing)}.")
    return "\n".join(fill(line, 145) for line in lines)


def _draw_frames(ax: Axes, result: VideoResult, person: PersonResult) -> None:
    """Pictures side by side, each above its equal part of the time axis."""
    ax.set(ylim=(0, 1), yticks=[])
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.tick_params(bottom=False)
    stills = choose_stills(person.portrait.stills, STILLS, result.duration_s)
    if not stills:
        _say_none(ax, "no picture")
        return
    _label(ax, "frames")
    place = ax.get_position()
    shape = ax.figure.get_size_inches() * (place.width, place.height)  # inches
    step = result.duration_s / len(stills)
    aspect = shape[0] / len(stills) / shape[1]  # of a picture's place
    for number, still in enumerate(stills):
        picture = draw_still(still, person.portrait, aspect)[..., ::-1]
        inset = ax.inset_axes((number * step, 0, 0.985 * step, 1.0), transform=ax.transData)
        inset.imshow(picture, aspect="auto")
        inset.axis("off")
        inset.set_title(f"{still.time:.1f} s", fontsize=7.5, color=GREY, pad=1.5, loc="left")


def _draw_sound(ax: Axes, result: VideoResult) -> None:
    _label(ax, "sound")
    ax.set_yticks([])
    waveform = result.waveform
    if not len(waveform):
        _say_none(ax, "no sound")
        return
    parts = np.array_split(waveform, min(COLUMNS, len(waveform)))
    low, high = (np.array([getattr(part, name)() for part in parts], float) for name in ("min", "max"))
    time = (np.arange(len(parts)) + 0.5) / len(parts) * len(waveform) / SAMPLE_RATE
    ax.fill_between(time, low, high, color=BLUE, linewidth=0.4)
    limit = max(np.abs(low).max(), np.abs(high).max(), 1)
    ax.set_ylim(-limit, limit)


def _draw_words(ax: Axes, words: Sequence[Mapping]) -> None:
    """Each word at its time, blue where it raises its window's score, orange where it lowers it."""
    _label(ax, "words")
    ax.set(ylim=(0, 1), yticks=[])
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.tick_params(bottom=False)
    inches = ax.get_position().width * ax.figure.get_figwidth() / np.diff(ax.get_xlim())[0]  # of a second
    for word in words:
        start, width = word["start_s"], word["end_s"] - word["start_s"]
        strength = 0.08 + 0.5 * min(abs(word["effect"]), 1.0)
        ax.axvspan(start, start + width, color=_colour(word["effect"]), alpha=strength, lw=0)
        if width * inches >= LETTER_INCH * len(word["word"]):
            ax.text(start + width / 2, 0.5, word["word"], fontsize=7.5, va="center", ha="center")


def _draw_traces(ax: Axes, person: PersonResult) -> None:
    _label(ax, "expression")
    traces = choose_traces(person.portrait, TRACES)
    if not traces:
        _say_none(ax, "no face")
        ax.set_yticks([])
        return
    time = person.portrait.behaviour_time
    for (name, values), colour, line in zip(
        traces.items(), (BLUE, ORANGE, GREEN), "- : --".split(), strict=False
    ):
        ax.plot(time, values, color=colour, linestyle=line, linewidth=1.2, label=spell(name))
    ax.legend(frameon=False, ncols=TRACES, fontsize=8, loc="lower left", bbox_to_anchor=(0, 0.93))


def _draw_score(ax: Axes, person: PersonResult) -> None:
    _label(ax, "score of\neach window")
    ax.set(ylim=(-REACH, REACH), yticks=range(-3, 4), yticklabels=MARKS)
    ax.grid(axis="y", alpha=0.25)
    ax.axhline(0, color=GREY, linewidth=0.8)
    for window in person.timeline:
        edges = [window.start_s, window.end_s]
        if window.low is not None:
            ax.fill_between(edges, window.low, window.high, color=_colour(window.score), alpha=0.25, lw=0)
        ax.plot(edges, [window.score] * 2, color=_colour(window.score), linewidth=2.4, solid_capstyle="butt")
    if person.score is not None and len(person.timeline) > 1:
        ax.axhline(person.score, color=STRONG, linewidth=0.9, linestyle="--")
        text = f"whole video {signed(person.score)}"
        side = "bottom" if person.score < REACH / 2 else "top"
        ax.annotate(
            text, (1, person.score), (-3, 2 if side == "bottom" else -2), va=side, ha="right", fontsize=8,
            xycoords=("axes fraction", "data"), textcoords="offset points", color=STRONG,
        )  # fmt: skip


def _draw_seconds(ax: Axes, person: PersonResult) -> None:
    """What each second adds to its window's score; the green one decides."""
    _label(ax, "each second\nadds (points)")
    ax.axhline(0, color=GREY, linewidth=0.8)
    seconds = [one for window in person.timeline for one in window.seconds]
    for second in seconds:
        width, effect = second["end_s"] - second["start_s"], second["effect"]
        ax.bar(second["start_s"], effect, 0.92 * width, align="edge", color=_colour(effect))
    reach = choose_reach(seconds)
    ax.set(ylim=(-reach, reach), yticks=(-reach, 0, reach), yticklabels=(f"−{reach}", "0", f"+{reach}"))


def _draw_contributions(ax: Axes, result: VideoResult, person: PersonResult) -> None:
    shares = dict(reversed(person.contribution.items()))
    names = [name_stream(name) for name in shares]
    values = np.array(list(shares.values()))
    ax.barh(names, values, color=[_colour(value) for value in values], height=0.62)
    ax.set(xlim=(-REACH, REACH), xticks=range(-3, 4), xticklabels=MARKS)
    ax.axvline(0, color=GREY, linewidth=0.8)
    for row, (stream, value) in enumerate(shares.items()):
        text = "not found" if stream in person.streams_missing else signed(value)
        ax.annotate(
            text, (value, row), (5 if value >= 0 else -5, 0), textcoords="offset points", va="center",
            ha="left" if value >= 0 else "right", fontsize=9,
        )  # fmt: skip
    ax.set_title(
        f"points by which each stream moves the score, from {signed(result.score_absent)} (nothing seen or "
        f"heard); {say_shares(person.weight)}",
        fontsize=9, color=GREY, loc="right",
    )  # fmt: skip
    ax.tick_params(left=False)


def _label(ax: Axes, text: str) -> None:
    ax.text(-0.055, 0.5, text, transform=ax.transAxes, ha="right", va="center")


def _say_none(ax: Axes, text: str) -> None:
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=GREY)


def _colour(value: float) -> str:
    return BLUE if value >= 0 else ORANGE
