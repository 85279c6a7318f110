"""One person's result on one picture: frames, sound, expression, score over time, and what it rests on."""

import io
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mosi_e2e.explore.tracks import spell
from mosi_e2e.plots import BLUE, GREEN, GREY, ORANGE
from mosi_e2e.predict.result import REACH, PersonResult, VideoResult
from mosi_e2e.predict.traces import choose_stills, choose_traces, draw_still, name_stream
from mosi_e2e.tables import SYNTHETIC_NOTE
from preprocessing.store import SAMPLE_RATE, write_atomic

STILLS, TRACES, COLUMNS = 8, 3, 1200
ROWS = {"frames": 1.5, "sound": 0.9, "traces": 1.4, "score": 2.4, "seconds": 1.2}  # relative heights
STYLE = {"font.family": "sans-serif", "font.size": 10, "axes.spines.top": False, "axes.spines.right": False}
LEFT = -0.13  # of what stands at the page's edge, in widths of the axes
STRONG = "#1d2530"


def write_figure(result: VideoResult, path: Path) -> None:
    """The first person's picture, as PNG."""
    buffer = io.BytesIO()
    with rc_context(STYLE):
        draw_figure(result, result.people[0]).savefig(buffer, format="png", dpi=120)
    write_atomic(path, buffer.getvalue())


def draw_figure(result: VideoResult, person: PersonResult) -> Figure:
    """Everything above one time axis, the contributions below."""
    figure = Figure(figsize=(10, 11))
    grid = figure.add_gridspec(
        len(ROWS) + 2, 1, left=0.15, right=0.97, top=0.985, bottom=0.05, hspace=0.28,
        height_ratios=[1.9, *ROWS.values(), 1.9],
    )  # fmt: skip
    _draw_head(figure.add_subplot(grid[0]), result, person)
    axes = {name: figure.add_subplot(grid[row + 1]) for row, name in enumerate(ROWS)}
    for name, ax in axes.items():
        ax.set_xlim(0, result.duration_s)
        ax.tick_params(labelbottom=name == "seconds")
    axes["seconds"].set_xlabel("seconds", labelpad=1)
    _draw_frames(axes["frames"], result, person)
    _draw_sound(axes["sound"], result)
    _draw_traces(axes["traces"], person)
    _draw_score(axes["score"], person)
    _draw_seconds(axes["seconds"], person)
    if person.deciding:
        for ax in axes.values():
            ax.axvspan(person.deciding["start_s"], person.deciding["end_s"], color=GREEN, alpha=0.16, lw=0)
    box = grid[len(ROWS) + 1].get_position(figure)
    _draw_contributions(figure.add_axes((0.25, box.y0, 0.72, box.height - 0.045)), result, person)
    return figure


def _draw_head(ax: Axes, result: VideoResult, person: PersonResult) -> None:
    ax.axis("off")
    ax.set(xlim=(0, 1), ylim=(0, 1))
    several = f", person {person.number} of {len(result.people)}" if len(result.people) > 1 else ""
    name = result.video if len(result.video) <= 60 else f"{result.video[:57]}..."
    ax.text(LEFT, 0.95, f"{name}{several}", fontsize=13, fontweight="bold", va="top")
    if person.score is None:
        ax.text(LEFT, 0.55, "no score: nothing that the model reads was found", fontsize=13, va="top")
        return
    ax.text(LEFT, 0.70, f"{person.score:+.2f}".replace("-", "−"), fontsize=30, fontweight="bold", va="top")
    chance = f", probability {person.probability:.2f}" if person.probability is not None else ""
    ax.text(0.06, 0.66, f"{person.label_class}{chance}", fontsize=13, va="top")
    ax.text(0.06, 0.48, f"on a scale from −3 to +3, over {result.duration_s:.1f} s", color=GREY, va="top")
    ax.text(LEFT, 0.26, _describe(result, person), fontsize=8.5, color=GREY, va="top", linespacing=1.35)
    _draw_scale(ax.inset_axes((0.56, 0.42, 0.44, 0.26)), person)


def _draw_scale(ax: Axes, person: PersonResult) -> None:
    """Where the score and its interval lie between -3 and 3."""
    ax.set(xlim=(-REACH, REACH), ylim=(0, 1), yticks=[], xticks=range(-3, 4))
    ax.spines["left"].set_visible(False)
    ax.tick_params(labelsize=8)
    ax.axvline(0, color=GREY, linewidth=0.8)
    if person.interval:
        ax.axvspan(person.interval.low, person.interval.high, color=_colour(person.score), alpha=0.25, lw=0)
    ax.plot([person.score], [0.5], "o", color=_colour(person.score), markersize=9, clip_on=False)


def _describe(result: VideoResult, person: PersonResult) -> str:
    model = result.model
    lines = [f"model {model['name']} ({model['kind']}, {model['task']})"]
    if model["synthetic"]:
        lines[0] += f"   {SYNTHETIC_NOTE}"
    elif model["test_mae"] is not None:
        lines[0] += f"   its mean error on its own test split: {model['test_mae']:.2f}"
    if interval := person.interval:
        lines.append(
            f"{100 * interval.level:.0f} % interval {interval.low:+.2f} to {interval.high:+.2f}; "
            f"{interval.method}"
        )
    if person.deciding:
        lines.append("green: the second whose removal would change the whole score most")
    if person.streams_missing:
        lines.append(f"not found, scored without: {', '.join(map(name_stream, person.streams_missing))}")
    return "\n".join(lines)


def _draw_frames(ax: Axes, result: VideoResult, person: PersonResult) -> None:
    ax.set(ylim=(0, 1), yticks=[])
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.tick_params(bottom=False)
    stills = choose_stills(person.portrait.stills, STILLS)
    if not stills:
        _say_none(ax, "no picture")
        return
    place = ax.get_position()
    shape = ax.figure.get_size_inches() * (place.width, place.height)  # inches
    step = result.duration_s / len(stills)
    for number, still in enumerate(stills):
        picture = draw_still(still, person.portrait)[..., ::-1]
        share = (shape[1] * picture.shape[1] / picture.shape[0]) / shape[0] * result.duration_s
        width, height = (step * 0.98, step * 0.98 / share) if share > step * 0.98 else (share, 1.0)
        box = (number * step, 0.5 - height / 2, width, height)
        inset = ax.inset_axes(box, transform=ax.transData)
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
    _label(ax, "score")
    ax.set(ylim=(-REACH, REACH), yticks=range(-3, 4))
    ax.grid(axis="y", alpha=0.25)
    ax.axhline(0, color=GREY, linewidth=0.8)
    for window in person.timeline:
        edges = [window.start_s, window.end_s]
        if window.low is not None:
            ax.fill_between(edges, window.low, window.high, color=_colour(window.score), alpha=0.25, lw=0)
        ax.plot(edges, [window.score] * 2, color=_colour(window.score), linewidth=2.4, solid_capstyle="butt")
    for before, after in zip(person.timeline, person.timeline[1:], strict=False):
        if after.start_s - before.end_s < 1e-6:
            ax.plot([after.start_s] * 2, [before.score, after.score], color=GREY, linewidth=0.7)
    if person.score is not None and len(person.timeline) > 1:
        ax.axhline(person.score, color=STRONG, linewidth=0.9, linestyle="--")


def _draw_seconds(ax: Axes, person: PersonResult) -> None:
    """What each second adds; the green one decides."""
    _label(ax, "each second\nadds")
    ax.axhline(0, color=GREY, linewidth=0.8)
    seconds = [second for window in person.timeline for second in window.seconds]
    for second in seconds:
        width = second["end_s"] - second["start_s"]
        ax.bar(
            second["start_s"], second["effect"], 0.92 * width, align="edge", color=_colour(second["effect"])
        )
    limit = 1.15 * max((abs(second["effect"]) for second in seconds), default=1.0) or 1.0
    ax.set_ylim(-limit, limit)


def _draw_contributions(ax: Axes, result: VideoResult, person: PersonResult) -> None:
    shares = dict(reversed(person.contribution.items()))
    names = [name_stream(name) for name in shares]
    values = np.array(list(shares.values()))
    ax.barh(names, values, color=[_colour(value) for value in values], height=0.62)
    limit = 1.35 * max(np.abs(values).max(), 0.05)
    ax.set_xlim(-limit, limit)
    ax.axvline(0, color=GREY, linewidth=0.8)
    for row, (stream, value) in enumerate(shares.items()):
        text = "not found" if stream in person.streams_missing else f"{value:+.2f}".replace("-", "−")
        ax.annotate(
            text, (value, row), (5 if value >= 0 else -5, 0), textcoords="offset points", va="center",
            ha="left" if value >= 0 else "right", fontsize=9,
        )  # fmt: skip
    ax.set_title(
        f"what each stream moves the score by, from {result.score_absent:+.2f} (nothing at all); "
        "Shapley values",
        fontsize=9, color=GREY, loc="right",
    )  # fmt: skip
    ax.tick_params(left=False)


def _label(ax: Axes, text: str) -> None:
    ax.text(-0.055, 0.5, text, transform=ax.transAxes, ha="right", va="center")


def _say_none(ax: Axes, text: str) -> None:
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=GREY)


def _colour(value: float) -> str:
    return BLUE if value >= 0 else ORANGE
