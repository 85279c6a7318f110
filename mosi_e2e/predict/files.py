"""A result for machines: JSON with everything, CSV with the timeline."""

import csv
import io
import json
from pathlib import Path

from mosi_e2e.predict.result import PersonResult, VideoResult
from preprocessing.cache.store import write_atomic

COLUMNS = ("person", "start_s", "end_s", "score", "low", "high")


def write_json(result: VideoResult, path: Path) -> None:
    """Everything but the pictures."""
    text = json.dumps(result.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
    write_atomic(path, (text + "\n").encode())


def write_csv(result: VideoResult, path: Path) -> None:
    """One line per person and window: score, interval, per stream its head's score and share, words."""
    heads = list(dict.fromkeys(name for one in result.people for name in one.by_stream))
    streams = list(result.contribution)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            *COLUMNS,
            *(f"{name}_score" for name in heads),
            *(f"{name}_contribution" for name in streams),
            *(["words"] if "words" in streams else []),
        ]
    )
    for person in result.people:
        writer.writerows(_list_rows(person, heads, streams))
    write_atomic(path, text.getvalue().encode())


def _list_rows(person: PersonResult, heads: list[str], streams: list[str]) -> list[list]:
    return [
        [
            person.number,
            *(_number(value) for value in (one.start_s, one.end_s, one.score, one.low, one.high)),
            *(_number(one.by_stream.get(name)) for name in heads),
            *(_number(one.contribution[name]) for name in streams),
            *([" ".join(word["word"] for word in one.words)] if "words" in streams else []),
        ]
        for one in person.timeline
    ]


def _number(value: float | None) -> str:
    """Empty where there is none."""
    return "" if value is None else f"{value:.4f}"
