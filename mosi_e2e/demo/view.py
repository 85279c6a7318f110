"""A result as what the page shows: words, places on scales, curves, downloads. Pure."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from mosi_e2e.pages import embed

REACH = 3.0  # of the score, either way
# The seven marks that MOSI's annotators chose from.
WORDS = {
    -3: "strongly negative",
    -2: "negative",
    -1: "slightly negative",
    0: "neutral",
    1: "slightly positive",
    2: "positive",
    3: "strongly positive",
}
STREAMS = {
    "face": "Face (picture)",
    "speech": "Voice (waveform)",
    "behaviour": "Expression, head and gaze",
    "acoustics": "Voice (pitch, loudness, timbre over time)",
    "functionals": "Voice (statistics of the whole)",
    "visual": "Everything visible",
    "acoustic": "Everything audible",
}
NEEDS = {"face": "a visible face", "behaviour": "a visible face", "speech": "sound", "acoustics": "sound"}
NEEDS |= {"functionals": "sound"}
TICKS = 6  # of the time axis, at most
GAP_S = 0.05  # windows further apart than this are not joined


@dataclass(frozen=True)
class Bar:
    """One stream: how far it moved the score, and what it says alone."""

    name: str
    text: str
    left: float  # percent of the bar's field
    width: float
    is_positive: bool
    alone: str


@dataclass(frozen=True)
class Moment:
    """A part of the video."""

    at_s: float
    time: str
    score: str
    word: str


@dataclass(frozen=True)
class Download:
    """A file that the page itself carries: nothing of it is stored on the server."""

    name: str
    address: str
    label: str


def describe_result(result: Mapping[str, Any], name: str) -> dict[str, Any]:
    """All that `templates/demo_result.html` asks for.

    Args:
        result: `VideoResult.to_dict()`.
        name: what the visitor called the video.
    """
    timeline, interval = result["timeline"], result.get("interval")
    duration = float(result["duration_s"])
    result = {**result, "video": name}
    return {
        "name": name,
        "score": format_score(result["score"]),
        "word": word_score(result["score"]),
        "place": place(result["score"]),
        "kind": sign(result["score"]),
        "sentences": list_sentences(result),
        "interval": interval and {"left": place(interval["low"]), "right": place(interval["high"])},
        "duration_s": round(duration, 2),
        "curve": draw_curve(timeline, duration),
        "windows": [make_moment(one) for one in timeline],
        "scores_json": json.dumps([[one["start_s"], one["end_s"], one["score"]] for one in timeline]),
        "peaks": find_peaks(timeline),
        "ticks": list_ticks(duration),
        "bars": make_bars(result["contribution"], result["by_stream"]),
        "missing": [name_missing(one) for one in result["streams_missing"]],
        "remarks": list(result.get("remarks") or ()),
        "downloads": make_downloads(result, PurePath(name).stem or "video"),
    }


def place(score: float) -> float:
    """Percent of the scale's width, kept on the scale."""
    return round(100 * (min(max(score, -REACH), REACH) + REACH) / (2 * REACH), 2)


def word_score(score: float) -> str:
    """The nearest of the seven marks, in words."""
    return WORDS[round(min(max(score, -REACH), REACH))]


def sign(score: float) -> str:
    """`negative`, `neutral` or `positive`: the colour."""
    mark = round(score)
    return "neutral" if mark == 0 else "positive" if mark > 0 else "negative"


def format_score(score: float) -> str:
    """With its sign, typeset."""
    text = f"{score:+.2f}"
    return "0.00" if float(text) == 0 else text.replace("-", "−")


def format_time(seconds: float) -> str:
    """`0:07`, or `0:07.4` where a tenth matters."""
    tenths = round(10 * seconds)
    minutes, rest = divmod(tenths, 600)
    text = f"{minutes}:{rest // 10:02d}"
    return text if rest % 10 == 0 else f"{text}.{rest % 10}"


def list_sentences(result: Mapping[str, Any]) -> list[str]:
    """The number again, in words, with all that limits it."""
    told = []
    if result.get("probability") is not None:
        told.append(
            f"Class: {result['label_class']}, with a probability of {100 * result['probability']:.0f} %."
        )
    if interval := result.get("interval"):
        told.append(
            f"{100 * interval['level']:.0f} % interval: {format_score(interval['low'])} to "
            f"{format_score(interval['high'])} ({interval['method']})."
        )
    return told


def make_moment(window: Mapping[str, float]) -> Moment:
    times = f"{format_time(window['start_s'])} – {format_time(window['end_s'])}"
    return Moment(window["start_s"], times, format_score(window["score"]), word_score(window["score"]))


def find_peaks(timeline: Sequence[Mapping[str, float]]) -> list[tuple[str, Moment]]:
    """The highest and the lowest window, where there is more than one."""
    if len(timeline) < 2:
        return []
    ordered = sorted(timeline, key=lambda one: one["score"])
    return [("Highest", make_moment(ordered[-1])), ("Lowest", make_moment(ordered[0]))]


def list_ticks(duration: float) -> list[tuple[float, str]]:
    """Round times and their places in percent."""
    step = next((s for s in (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600) if duration / s <= TICKS), 1800)
    times = [step * i for i in range(math.floor(duration / step) + 1)]
    return [(round(100 * t / duration, 2), format_time(t)) for t in times] if duration > 0 else []


def draw_curve(timeline: Sequence[Mapping[str, float]], duration: float) -> list[dict[str, str]]:
    """The score over time as SVG paths in a field of 1000 x 100, one per run of windows without a gap.

    A window's score stands at its middle; the first and the last are drawn on to their ends.
    """
    runs: list[list[Mapping[str, float]]] = []
    for window in timeline:
        if runs and window["start_s"] <= runs[-1][-1]["end_s"] + GAP_S:
            runs[-1].append(window)
        else:
            runs.append([window])
    return [_draw_run(run, duration) for run in runs]


def _draw_run(run: Sequence[Mapping[str, float]], duration: float) -> dict[str, str]:
    points = [((one["start_s"] + one["end_s"]) / 2, one["score"]) for one in run]
    points = [(run[0]["start_s"], run[0]["score"]), *points, (run[-1]["end_s"], run[-1]["score"])]
    drawn = [(round(1000 * t / duration, 1), round(100 - place(score), 1)) for t, score in points]
    line = "L".join(f"{x} {y}" for x, y in drawn)
    return {"line": f"M{line}", "area": f"M{drawn[0][0]} 50L{line}L{drawn[-1][0]} 50Z"}


def make_bars(contribution: Mapping[str, float], by_stream: Mapping[str, float]) -> list[Bar]:
    """One bar per stream, the strongest first; the longest fills its half."""
    longest = max((abs(value) for value in contribution.values()), default=0.0) or 1.0
    bars = []
    for stream, value in sorted(contribution.items(), key=lambda pair: -abs(pair[1])):
        width = round(50 * abs(value) / longest, 2)
        alone = by_stream.get(stream)
        bars.append(
            Bar(
                name=STREAMS.get(stream, stream),
                text=format_score(value),
                left=50.0 if value >= 0 else 50.0 - width,
                width=width,
                is_positive=value >= 0,
                alone="–" if alone is None else format_score(alone),
            )
        )
    return bars


def name_missing(stream: str) -> str:
    what, needs = STREAMS.get(stream, stream), NEEDS.get(stream)
    return f"{what}: needs {needs}, and none was found" if needs else what


def make_downloads(result: Mapping[str, Any], stem: str) -> list[Download]:
    """The whole result, and the timeline as a table."""
    whole = json.dumps(result, indent=1, ensure_ascii=False).encode()
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["start_s", "end_s", "score"])
    writer.writerows([one["start_s"], one["end_s"], one["score"]] for one in result["timeline"])
    return [
        Download(f"{stem}.json", embed(whole, "application/json"), "Result (JSON)"),
        Download(f"{stem}.timeline.csv", embed(table.getvalue().encode(), "text/csv"), "Timeline (CSV)"),
    ]
