"""A result as a page: everybody's rows above one time axis, and tables of the rest."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mosi_e2e.explore.sound import make_player, track_wave
from mosi_e2e.explore.strips import make_strip
from mosi_e2e.explore.tracks import BOX_WIDTH, Axis, Track, absent, draw_curves, make_axis, spell
from mosi_e2e.pages import Notice, Picture, Table, embed, render
from mosi_e2e.predict.people import draw_people
from mosi_e2e.predict.result import REACH, PersonResult, VideoResult
from mosi_e2e.predict.traces import choose_stills, choose_traces, draw_still, name_stream
from mosi_e2e.tables import SYNTHETIC_NOTE
from preprocessing.store import write_atomic

STILLS, TRACES = 9, 3


@dataclass(frozen=True)
class Bar:
    """A coloured rectangle of a chart, in the units of its 1000 x 100 box; `low`: an interval behind it."""

    x: float
    y: float
    width: float
    height: float
    kind: str  # plus | minus
    low: tuple[float, float] | None = None  # y and height


@dataclass(frozen=True)
class Share:
    """A stream's contribution as a bar from the middle: place and width in percent."""

    name: str
    text: str
    left: float
    width: float
    kind: str


@dataclass(frozen=True)
class PersonView:
    """What the template asks for of one person."""

    title: str
    score: str
    place: float | None
    band: tuple[float, float] | None  # left and width in percent
    words: str
    interval: str
    axis: Axis
    tracks: Sequence[Track]
    steps: Sequence[Bar]
    seconds: Sequence[Bar]
    seconds_scale: str
    decides: tuple[float, float] | None  # left and width in percent
    decides_text: str
    shares: Sequence[Share]
    streams: Table
    windows: Table


def write_result_page(result: VideoResult, path: Path) -> None:
    """The page as one file."""
    several = len(result.people) > 1
    text = render(
        "predict.html",
        {
            "title": result.video,
            "lead": "The sentiment of the speaking person as a model sees it, from −3 (strongly negative) to "
            "+3 (strongly positive).",
            "notices": list_notices(result),
            "facts": list_facts(result),
            "people": [view_person(result, person, several) for person in result.people],
            "player": make_player(result.waveform) if len(result.waveform) else "",
            "absent": signed(result.score_absent),
            "people_picture": show_people(result) if several else None,
        },
    )
    write_atomic(path, text.encode())


def show_people(result: VideoResult) -> Picture | None:
    """Who is who, where several people have a result each."""
    picture = draw_people(result)
    names = ", ".join(person.name for person in result.people)
    return picture and Picture(embed(picture, "image/jpeg"), f"A frame with a box around each face: {names}")


def list_notices(result: VideoResult) -> list[Notice]:
    """The remarks; the one about a synthetic training set is a warning."""
    return [
        Notice("warning" if remark == SYNTHETIC_NOTE else "note", capital(remark))
        for remark in result.remarks
    ]


def list_facts(result: VideoResult) -> list[tuple[str, str]]:
    model = result.model
    facts = [
        (f"{result.duration_s:.1f} s", "length"),
        (str(len(result.people)), "people"),
        (f"{model['name']}", f"model, {model['kind']}, {model['task']}"),
    ]
    if model["test_mae"] is not None:
        facts.append((f"{model['test_mae']:.2f}", "the model's mean error on its own test split"))
    return facts


def view_person(result: VideoResult, person: PersonResult, several: bool) -> PersonView:
    """Lay one person out."""
    axis = make_axis(max(result.duration_s, 0.1))
    words = person.label_class or "no score: nothing that the model reads was found"
    if person.probability is not None:
        words += f", probability of positive {person.probability:.2f}"
    interval = person.interval
    largest = max((abs(one["effect"]) for window in person.timeline for one in window.seconds), default=0.0)
    decides = person.deciding
    return PersonView(
        title=capital(person.name) if several else "Result",
        score="–" if person.score is None else signed(person.score),
        place=None if person.score is None else place(person.score),
        band=interval and (place(interval.low), round(place(interval.high) - place(interval.low), 2)),
        words=words,
        interval=""
        if interval is None
        else f"{100 * interval.level:.0f} % interval {signed(interval.low)} to {signed(interval.high)}: "
        f"{interval.method}. It tells how far the model disagrees with itself, not how far it errs.",
        axis=axis,
        tracks=list_tracks(result, person, axis),
        steps=draw_steps(person, axis),
        seconds=draw_seconds(person, axis, largest),
        seconds_scale=f"−{largest:.2f} to +{largest:.2f}",
        decides=decides
        and (axis.percent(decides["start_s"]), axis.percent(decides["end_s"] - decides["start_s"])),
        decides_text=say_deciding(person),
        shares=draw_shares(person),
        streams=tabulate_streams(person),
        windows=tabulate_windows(person),
    )


def list_tracks(result: VideoResult, person: PersonResult, axis: Axis) -> list[Track]:
    """Frames, sound and expression."""
    stills = choose_stills(person.portrait.stills, STILLS)
    tracks = [absent("frames", "no picture")]
    if stills:
        pictures = [draw_still(still, person.portrait) for still in stills]
        tracks = [make_strip("frames", pictures, np.array([still.time for still in stills]), axis)]
    tracks.append(
        track_wave(result.waveform, axis) if len(result.waveform) else absent("waveform", "no sound")
    )
    traces = choose_traces(person.portrait, TRACES)
    if not traces:
        return [*tracks, absent("expression", "no face")]
    curves = {spell(name): values for name, values in traces.items()}
    return [*tracks, draw_curves(axis, "expression", person.portrait.behaviour_time, curves, "", low=0.0)]


def draw_steps(person: PersonResult, axis: Axis) -> list[Bar]:
    """A rectangle from 0 to the score for each window, its interval behind it."""
    bars = []
    for window in person.timeline:
        x, width = (
            axis.percent(edge) * BOX_WIDTH / 100 for edge in (window.start_s, window.end_s - window.start_s)
        )
        span = None
        if window.low is not None:
            span = (height(window.high), round(height(window.low) - height(window.high), 1))
        bars.append(
            Bar(round(x, 1), height(window.score) - 1.5, round(width, 1), 3.0, kind(window.score), span)
        )
    return bars


def draw_seconds(person: PersonResult, axis: Axis, largest: float) -> list[Bar]:
    """What each second adds to the score of its window."""
    bars = []
    for second in (one for window in person.timeline for one in window.seconds):
        x = axis.percent(second["start_s"]) * BOX_WIDTH / 100
        width = 0.94 * axis.percent(second["end_s"] - second["start_s"]) * BOX_WIDTH / 100
        size = 46 * abs(second["effect"]) / (largest or 1.0)
        top = 50 - size if second["effect"] >= 0 else 50
        bars.append(Bar(round(x, 1), round(top, 1), round(width, 1), round(size, 1), kind(second["effect"])))
    return bars


def draw_shares(person: PersonResult) -> list[Share]:
    """The contributions, the strongest first."""
    longest = max((abs(value) for value in person.contribution.values()), default=0.0) or 1.0
    shares = []
    for name, value in sorted(person.contribution.items(), key=lambda pair: -abs(pair[1])):
        width = round(50 * abs(value) / longest, 2)
        is_missing = name in person.streams_missing
        text = "not found" if is_missing else signed(value)
        shares.append(Share(name_stream(name), text, 50 if value >= 0 else 50 - width, width, kind(value)))
    return shares


def say_deciding(person: PersonResult) -> str:
    """Which second decides, and how much it does."""
    found = person.deciding
    if not found:
        return ""
    return (
        f"Most rests on {found['start_s']:.1f} to {found['end_s']:.1f} s: without what is seen and heard "
        f"then, the score would be {signed(person.score - found['effect'])}."
    )


def tabulate_streams(person: PersonResult) -> Table:
    rows = [
        [
            name_stream(name),
            signed(person.contribution.get(name)),
            signed(person.by_stream.get(name)),
            signed(person.alone.get(name)),
        ]
        for name in dict.fromkeys((*person.contribution, *person.by_stream))
    ]
    caption = (
        "Streams. Contribution: Shapley value, they add up to the score less the score of nothing. "
        "Own head: what the model's head for the stream says after the streams have met. "
        "Alone: the score when all other streams are taken away."
    )
    return Table(caption, ("stream", "contribution", "own head", "alone"), rows)


def tabulate_windows(person: PersonResult) -> Table:
    rows = [
        [
            f"{one.start_s:.1f} to {one.end_s:.1f} s",
            signed(one.score),
            "–" if one.low is None else f"{signed(one.low)} .. {signed(one.high)}",
            ", ".join(map(name_stream, one.streams_missing)) or "all there",
        ]
        for one in person.timeline
    ]
    return Table("Windows", ("window", "score", "interval", "not found"), rows)


def signed(value: float | None) -> str:
    """Typeset, with its sign.

    >>> signed(-0.5), signed(0.001), signed(None)
    ('−0.50', '0.00', '–')
    """
    if value is None:
        return "–"
    text = f"{value:+.2f}"
    return "0.00" if float(text) == 0 else text.replace("-", "−")


def place(score: float) -> float:
    """Percent of the scale."""
    return round(100 * (score + REACH) / (2 * REACH), 2)


def height(score: float) -> float:
    """Place in a box of 100, -3 at its bottom."""
    return round(100 - place(score), 1)


def kind(value: float) -> str:
    return "plus" if value >= 0 else "minus"


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]
