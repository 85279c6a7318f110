"""Subtitles with a score per line: SubRip and WebVTT."""

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mosi_e2e.predict.result import VideoResult
from preprocessing.cache.store import write_atomic

LINE = 42  # letters, as broadcasters have it; a subtitle has two lines
SHORTEST_S = 0.5


@dataclass(frozen=True)
class Subtitle:
    """Words that are shown together.

    Attributes:
        start_s, end_s: on the video's clock.
        text: one or two lines.
        score: of the window that they are part of.
        name: whose words, among several people; else empty.
    """

    start_s: float
    end_s: float
    text: str
    score: float
    name: str = ""


def write_srt(result: VideoResult, path: Path) -> None:
    """As SubRip; without words an empty file."""
    parts = [
        f"{number}\n{stamp(one.start_s, ',')} --> {stamp(one.end_s, ',')}\n{label(one)}\n"
        for number, one in enumerate(list_subtitles(result), start=1)
    ]
    write_atomic(path, "\n".join(parts).encode())


def write_vtt(result: VideoResult, path: Path) -> None:
    """As WebVTT."""
    parts = [
        f"{stamp(one.start_s, '.')} --> {stamp(one.end_s, '.')}\n{html.escape(label(one), quote=False)}\n"
        for one in list_subtitles(result)
    ]
    write_atomic(path, "\n".join(["WEBVTT\n", *parts]).encode())


def label(one: Subtitle) -> str:
    """The score in front of the text: `[+1.20] good film`."""
    name = f"{one.name}: " if one.name else ""
    return f"[{one.score:+.2f}] {name}{one.text}"


def stamp(seconds: float, mark: str) -> str:
    """A time as subtitles have it.

    >>> stamp(3723.5, ",")
    '01:02:03,500'
    """
    whole, thousandths = divmod(round(1000 * seconds), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{mark}{thousandths:03}"


def list_subtitles(result: VideoResult) -> list[Subtitle]:
    """Everybody's, in the order of time; none lasts into the next one."""
    several = len(result.people) > 1
    found = [
        Subtitle(words[0]["start_s"], words[-1]["end_s"], text, window.score, person.name if several else "")
        for person in result.people
        for window in person.timeline
        for words, text in split_words(window.words)
    ]
    found.sort(key=lambda one: one.start_s)
    ends = [*(one.start_s for one in found[1:]), result.duration_s][: len(found)]
    return [
        Subtitle(
            one.start_s, min(max(one.end_s, one.start_s + SHORTEST_S), end), one.text, one.score, one.name
        )
        for one, end in zip(found, ends, strict=True)
        if end > one.start_s
    ]


def split_words(words: Sequence[Mapping]) -> Iterator[tuple[list[Mapping], str]]:
    """The words of each subtitle, and its one or two lines."""
    lines, held = [""], []
    for word in words:
        text = word["word"]
        if held and len(lines[-1]) + 1 + len(text) > LINE:
            if len(lines) == 2:
                yield held, "\n".join(lines)
                lines, held = [""], []
            else:
                lines.append("")
        lines[-1] = f"{lines[-1]} {text}".strip()
        held.append(word)
    if held:
        yield held, "\n".join(lines)
