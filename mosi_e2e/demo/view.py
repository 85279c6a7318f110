"""A result as what the page shows: words, places on scales, curves, downloads. Pure."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from mosi_e2e.data.streams import name_stream
from mosi_e2e.demo.worker import Answer
from mosi_e2e.pages.page import embed
from mosi_e2e.pages.tables import SYNTHETIC_MODEL
from mosi_e2e.predict.result import REACH, choose_reach
from mosi_e2e.predict.words import capital, colour_words, say_shares, say_streams

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
TICKS, HALVES = 6, 4  # steps of the time axis, at most; labels such as 0:00.5 are wider
STEPS_S = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800)
GAP_S = 0.05  # windows further apart than this are not joined


@dataclass(frozen=True)
class StreamBar:
    """One stream: how far it moved the score, and what the score is from it alone."""

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


def describe_result(answer: Answer) -> dict[str, Any]:
    """All that `templates/demo_result.html` asks for.

    Args:
        answer: of a video that has a score.
    """
    result = answer.result
    timeline, interval = result["timeline"], result["interval"]
    duration = float(result["duration_s"])
    seconds = [one for window in timeline for one in window["seconds"]]
    reach = choose_reach(seconds)
    return {
        "name": result["video"],
        "score": format_score(result["score"]),
        "word": result["label_class"] or "no class",
        "place": place(result["score"]),
        "kind": sign(result["score"]),
        "sentences": list_sentences(result),
        "interval": interval and {"left": place(interval["low"]), "right": place(interval["high"])},
        "duration_s": round(duration, 2),
        "curve": draw_curve(timeline, duration),
        "effects": draw_effects(seconds, reach, duration),
        "effects_reach": reach,
        "windows": [make_moment(one) for one in timeline],
        "scores_json": json.dumps([[one["start_s"], one["end_s"], one["score"]] for one in timeline]),
        "moments": list_moments(timeline, result["deciding"]),
        "lines": [(make_moment(one), colour_words(one["words"])) for one in timeline if one["words"]],
        "ticks": list_ticks(duration),
        "bars": make_bars(result),
        "score_absent": format_score(result["score_absent"]),
        "shares": say_shares(result["weight"]),
        "people": list_people(result["people"]),
        "people_picture": answer.people and embed(answer.people, "image/jpeg"),
        "remarks": list_remarks(result),
        "downloads": make_downloads(answer),
    }


def list_people(people: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Who has which score, by the names that stand in the picture; empty where there is one person."""
    if len(people) == 1:
        return []
    scores = ["no score" if one["score"] is None else format_score(one["score"]) for one in people]
    return [(one["name"], score) for one, score in zip(people, scores, strict=True)]


def place(score: float) -> float:
    """Percent of the scale's width, kept on the scale."""
    return round(100 * (hold(score, REACH) + REACH) / (2 * REACH), 2)


def hold(value: float, reach: float) -> float:
    """Kept between -reach and reach."""
    return min(max(value, -reach), reach)


def word_score(score: float) -> str:
    """The nearest of the seven marks, in words."""
    return WORDS[round(hold(score, REACH))]


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
    """The number again, in words, with what limits it."""
    chance, interval, spread = result["probability"], result["interval"], result["spread"]
    told = [] if chance is None else [f"Probability of positive: {100 * chance:.0f} %."]
    if streams := say_streams(result["weight"], result["by_stream"]):
        told.append(f"{capital(streams)}.")
    if result["why_none"]:
        told.append(f"{result['why_none'][:1].upper()}{result['why_none'][1:]}.")
    if (error := result["model"]["test_mae"]) is not None:
        told.append(f"On its own test clips the model was off by {error:.2f} on average.")
    if interval:
        told.append(
            f"{100 * interval['level']:.0f} % interval: {format_score(interval['low'])} to "
            f"{format_score(interval['high'])}, {interval['method']}."
        )
    if spread:
        told.append(
            f"Spread of {spread['method']}: {format_score(spread['low'])} to {format_score(spread['high'])}. "
            "It tells how far the model disagrees with itself, and is not a prediction interval."
        )
    return told


def list_remarks(result: Mapping[str, Any]) -> list[str]:
    """Warnings first; the page itself has the one about synthetic clips."""
    told = [*result["warnings"], *result["remarks"]]
    return [f"{one[:1].upper()}{one[1:]}." for one in told if one != SYNTHETIC_MODEL]


def make_moment(window: Mapping[str, float]) -> Moment:
    """The moment of a window, as the page shows it."""
    times = f"{format_time(window['start_s'])} – {format_time(window['end_s'])}"
    return Moment(window["start_s"], times, format_score(window["score"]), word_score(window["score"]))


def list_moments(
    timeline: Sequence[Mapping[str, float]], deciding: Mapping[str, float] | None
) -> list[tuple[str, float]]:
    """Places worth a look: what the button says, and where it leads."""
    found = []
    if len(timeline) > 1:
        ordered = sorted(timeline, key=lambda one: one["score"])
        for what, window in (("Highest", ordered[-1]), ("Lowest", ordered[0])):
            moment = make_moment(window)
            found.append((f"{what}: {moment.score} at {format_time(moment.at_s)}", moment.at_s))
    if deciding:
        at = deciding["start_s"]
        found.append((f"Moved the score most: {format_score(deciding['effect'])} at {format_time(at)}", at))
    return found


def list_ticks(duration: float) -> list[tuple[float, str]]:
    """Round times and their places in percent."""
    step = next((s for s in STEPS_S if duration / s <= (HALVES if s < 1 else TICKS)), STEPS_S[-1])
    times = [step * i for i in range(math.floor(duration / step) + 1)]
    return [(round(100 * t / duration, 2), format_time(t)) for t in times] if duration > 0 else []


def draw_curve(timeline: Sequence[Mapping[str, Any]], duration: float) -> list[dict[str, str]]:
    """The score over time as SVG paths in a field of 1000 x 100, one per run of windows without a gap.

    A window has one score, so the curve is a staircase: it says nothing about what lies within a step.
    """
    runs: list[list[Mapping[str, Any]]] = []
    for window in timeline:
        if runs and window["start_s"] <= runs[-1][-1]["end_s"] + GAP_S:
            runs[-1].append(window)
        else:
            runs.append([window])
    return [_draw_run(run, duration) for run in runs]


def _draw_run(run: Sequence[Mapping[str, Any]], duration: float) -> dict[str, str]:
    line = _draw_stairs(run, [one["score"] for one in run], duration)
    first, last = (f"{_across(t, duration)} 50" for t in (run[0]["start_s"], run[-1]["end_s"]))
    drawn = {"line": f"M{line}", "area": f"M{first}L{line}L{last}Z", "band": ""}
    if all(one["low"] is not None for one in run):
        up = _draw_stairs(run, [one["high"] for one in run], duration)
        down = _draw_stairs(run, [one["low"] for one in run], duration)
        drawn["band"] = f"M{up}L{'L'.join(reversed(down.split('L')))}Z"
    return drawn


def _draw_stairs(run: Sequence[Mapping[str, Any]], scores: Sequence[float], duration: float) -> str:
    points = []
    for window, score in zip(run, scores, strict=True):
        height = round(100 - place(score), 1)
        points += [f"{_across(window[edge], duration)} {height}" for edge in ("start_s", "end_s")]
    return "L".join(points)


def draw_effects(seconds: Sequence[Mapping[str, float]], reach: int, duration: float) -> str:
    """What each second did to the score of its window, as one SVG path of bars in a field of 1000 x 100.

    `reach` is where the field ends, in points of the score.
    """
    bars = []
    for one in seconds:
        left, right = (_across(one[edge], duration) for edge in ("start_s", "end_s"))
        bars.append(f"M{left} 50H{right}V{round(50 - 50 * hold(one['effect'], reach) / reach, 1)}H{left}Z")
    return "".join(bars)


def _across(time: float, duration: float) -> float:
    return round(1000 * time / duration, 1)


def make_bars(result: Mapping[str, Any]) -> list[StreamBar]:
    """One bar per stream, the strongest first, on the score's own scale."""
    contribution, alone = result["contribution"], result["alone"]
    bars = []
    for stream, value in sorted(contribution.items(), key=lambda pair: -abs(pair[1])):
        width = round(50 * abs(hold(value, REACH)) / REACH, 2)
        is_missing = stream in result["streams_missing"]
        bars.append(
            StreamBar(
                name=name_stream(stream),
                text="missing" if is_missing else format_score(value),
                left=50.0 if value >= 0 else 50.0 - width,
                width=width,
                is_positive=value >= 0,
                alone=format_score(alone[stream]) if stream in alone else "–",
            )
        )
    return bars


def make_downloads(answer: Answer) -> list[Download]:
    """The whole result as a page and as data, and the timeline as a table."""
    stem = PurePath(answer.result["video"]).stem or "video"
    whole = json.dumps(answer.result, indent=1, ensure_ascii=False)
    return [
        Download(f"{stem}.html", embed(answer.page.encode(), "text/html"), "Page (HTML)"),
        Download(f"{stem}.json", embed(whole.encode(), "application/json"), "Result (JSON)"),
        Download(f"{stem}.csv", embed(answer.timeline.encode(), "text/csv"), "Timeline (CSV)"),
    ]
