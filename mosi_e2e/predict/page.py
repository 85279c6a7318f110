"""A result as a page: everybody's rows above one time axis, and tables of the rest."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mosi_e2e.data.streams import name_stream
from mosi_e2e.pages.fill import render
from mosi_e2e.pages.page import Notice, Picture, Table, embed
from mosi_e2e.pages.sound import make_player, track_wave
from mosi_e2e.pages.tracks import BOX_WIDTH, Axis, Label, Tile, Track, absent, draw_curves, make_axis, spell
from mosi_e2e.predict.people import draw_people
from mosi_e2e.predict.pictures import Still
from mosi_e2e.predict.result import REACH, PersonResult, VideoResult, choose_reach
from mosi_e2e.predict.traces import choose_stills, choose_traces, draw_still
from mosi_e2e.predict.words import capital, colour_words, name_result, say_deciding, say_shares, signed, tell
from preprocessing.cache.store import write_atomic

STILLS, TRACES = 9, 3
QUALITY = 78


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
class WordLine:
    """The words of a window: each with what is said of it, its kind and how strong its colour is, 0 to 1."""

    when: str
    score: str
    words: Sequence[tuple[str, str, str, float]]


@dataclass(frozen=True)
class PersonView:
    """What the template asks for of one person."""

    title: str
    score: str
    place: float | None
    band: tuple[float, float] | None  # left and width in percent
    words: str
    told: Sequence[str]
    axis: Axis
    tracks: Sequence[Track]
    steps: Sequence[Bar]
    seconds: Sequence[Bar]
    seconds_reach: int
    decides: tuple[float, float] | None  # left and width in percent
    decides_text: str
    shares: Sequence[Share]
    streams: Table
    windows: Table
    lines: Sequence[WordLine]


def write_result_page(result: VideoResult, path: Path) -> None:
    """The page as one file."""
    several = len(result.people) > 1
    text = render(
        "predict.html",
        {
            "title": result.video,
            "lead": "The sentiment of the speaking person as a model sees it, from −3 (strongly negative) to "
            "+3 (strongly positive).",
            "warnings": [Notice("warning", capital(text)) for text in result.warnings],
            "notices": [Notice("note", capital(text)) for text in result.remarks],
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


def list_facts(result: VideoResult) -> list[tuple[str, str]]:
    """Names and values at the top of the page."""
    model = result.model
    facts = [
        (f"{result.duration_s:.1f} s", "length"),
        (str(len(result.people)), "people"),
        (f"{model['name']}", f"model, {model['kind']}, {model['task']}"),
    ]
    if model["test_mae"] is not None and not model["synthetic"]:
        facts.append((f"{model['test_mae']:.2f}", "the model's mean error on its own test split"))
    return facts


def view_person(result: VideoResult, person: PersonResult, several: bool) -> PersonView:
    """Lay one person out."""
    axis = make_axis(max(result.duration_s, 0.1))
    interval = person.interval
    reach = choose_reach(second for window in person.timeline for second in window.seconds)
    decides = person.deciding
    return PersonView(
        title=capital(person.name) if several else "Result",
        score="–" if person.score is None else signed(person.score),
        place=None if person.score is None else place(person.score),
        band=interval and (place(interval.low), round(place(interval.high) - place(interval.low), 2)),
        words=name_result(person),
        told=tell(person),
        axis=axis,
        tracks=list_tracks(result, person, axis),
        steps=draw_steps(person, axis),
        seconds=draw_seconds(person, axis, reach),
        seconds_reach=reach,
        decides=decides
        and (axis.percent(decides["start_s"]), axis.percent(decides["end_s"] - decides["start_s"])),
        decides_text=say_deciding(person),
        shares=draw_shares(person),
        streams=tabulate_streams(person),
        windows=tabulate_windows(person),
        lines=list_lines(person),
    )


def list_tracks(result: VideoResult, person: PersonResult, axis: Axis) -> list[Track]:
    """Frames, sound, words and expression."""
    stills = choose_stills(person.portrait.stills, STILLS, axis.end_s)
    tracks = [lay_strip(stills, person, axis) if stills else absent("frames", "no picture")]
    tracks.append(
        track_wave(result.waveform, axis) if len(result.waveform) else absent("waveform", "no sound")
    )
    if any(window.words for window in person.timeline):
        tracks.append(lay_words(person, axis))
    traces = choose_traces(person.portrait, TRACES)
    if not traces:
        return [*tracks, absent("expression", "no face")]
    curves = {spell(name): values for name, values in traces.items()}
    return [*tracks, draw_curves(axis, "expression", person.portrait.behaviour_time, curves, "", low=0.0)]


def lay_words(person: PersonResult, axis: Axis) -> Track:
    """Each word at its time, coloured by what it adds."""
    words = [word for window in person.timeline for word in window.words]
    labels = [
        Label(
            text,
            axis.percent(word["start_s"]),
            axis.percent(word["end_s"] - word["start_s"]),
            about,
            colour,
            strength,
        )
        for word, (text, about, colour, strength) in zip(words, colour_words(words), strict=True)
    ]
    return Track("words", "", "words", labels=labels, alt=" ".join(label.text for label in labels))


def lay_strip(stills: Sequence[Still], person: PersonResult, axis: Axis) -> Track:
    """Pictures side by side, each above its equal part of the time axis."""
    pictures = [draw_still(still, person.portrait) for still in stills]
    width, step = round(100 / len(stills), 3), axis.end_s / len(stills)
    height, across = pictures[0].shape[:2]
    placed = [
        Tile(encode_jpeg(picture), f"frame at {still.time:.1f} s", round(number * width, 3), round(width, 3))
        for number, (still, picture) in enumerate(zip(stills, pictures, strict=True))
    ]
    alt = f"frames every {step:.1f} s"
    aspect = round(len(stills) * across / height, 3)
    return Track("frames", f"every {step:.1f} s", "strip", stills=placed, aspect=aspect, alt=alt)


def encode_jpeg(picture: np.ndarray) -> str:
    """[H, W, 3] blue, green, red as a `data:` address."""
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
    return embed(data, "image/jpeg")


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


def draw_seconds(person: PersonResult, axis: Axis, reach: int) -> list[Bar]:
    """What each second adds to the score of its window."""
    bars = []
    for second in (one for window in person.timeline for one in window.seconds):
        x = axis.percent(second["start_s"]) * BOX_WIDTH / 100
        width = 0.94 * axis.percent(second["end_s"] - second["start_s"]) * BOX_WIDTH / 100
        size = 50 * min(abs(second["effect"]) / reach, 1.0)
        top = 50 - size if second["effect"] >= 0 else 50
        bars.append(Bar(round(x, 1), round(top, 1), round(width, 1), round(size, 1), kind(second["effect"])))
    return bars


def draw_shares(person: PersonResult) -> list[Share]:
    """The contributions, the strongest first, on the score's own scale."""
    shares = []
    for name, value in sorted(person.contribution.items(), key=lambda pair: -abs(pair[1])):
        width = round(50 * min(abs(value) / REACH, 1.0), 2)
        is_missing = name in person.streams_missing
        text = "not found" if is_missing else signed(value)
        shares.append(Share(name_stream(name), text, 50 if value >= 0 else 50 - width, width, kind(value)))
    return shares


def list_lines(person: PersonResult) -> list[WordLine]:
    """The words of each window, coloured by what they add to its score."""
    return [
        WordLine(
            f"{window.start_s:.1f} to {window.end_s:.1f} s", signed(window.score), colour_words(window.words)
        )
        for window in person.timeline
        if window.words
    ]


def tabulate_streams(person: PersonResult) -> Table:
    """What each stream adds, a row each."""
    rows = [
        [
            name_stream(name),
            signed(person.contribution.get(name)),
            signed(person.alone.get(name)),
        ]
        for name in person.contribution
    ]
    caption = (
        f"Streams. Contribution: {say_shares(person.weight)}, which add up to the score less the score of "
        "nothing. "
        "Alone: the score when all other streams are taken away."
    )
    return Table(caption, ("stream", "contribution", "alone"), rows)


def tabulate_windows(person: PersonResult) -> Table:
    """The score over time, a row per window."""
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


def place(score: float) -> float:
    """Percent of the scale."""
    return round(100 * (score + REACH) / (2 * REACH), 2)


def height(score: float) -> float:
    """Place in a box of 100, -3 at its bottom."""
    return round(100 - place(score), 1)


def kind(value: float) -> str:
    """The style of a number by its sign."""
    return "plus" if value >= 0 else "minus"
