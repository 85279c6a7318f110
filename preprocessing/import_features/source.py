"""What a feature file is to the rest of the import: clips, and per clip and stream rows of numbers."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from preprocessing.errors import UserError
from preprocessing.sets.labels import (
    ClipEntry,
    find_duplicates,
    find_split_videos,
    join_ids,
    parse_label,
    split_stem,
)
from preprocessing.untrusted.problems import RowProblem, refuse

STREAM_NAME = re.compile(r"[a-z][a-z0-9_]*")
# Columns of the index, entries of a batch and of predictions, and the streams of decoded clips.
RESERVED = frozenset(
    "clip_id video_id split label labels duration_s n_frames face_ratio index weight score "
    "face faces speech waveform behaviour acoustics functionals lld tokens visual acoustic".split()
)
Spans = dict[str, tuple[int, int]]  # stream → first row that is kept and the one after the last


@dataclass(frozen=True)
class ImportOptions:
    """What the user decides about a file.

    Attributes:
        streams: which to take; none named = all but texts.
        label_column: where the file has several labels per clip.
        neutral: the label that means neutral; it is subtracted, so that labels lie in [-3, 3].
        rate: rows a second where the file has no times.
        sentinel: magnitude that stands for "no value".
    """

    streams: tuple[str, ...] = ()
    label_column: int = 0
    neutral: float = 0.0
    rate: float | None = None
    sentinel: float | None = None


class Source(Protocol):
    """An opened feature file.

    Attributes:
        entries: its clips, checked.
        columns: per stream, the names of its columns.
        about: what was read and what was assumed, for `meta.json`.
        notes: what the user should know.
    """

    entries: list[ClipEntry]
    columns: dict[str, list[str]]
    about: dict[str, object]
    notes: list[str]

    def read(self, number: int) -> dict[str, np.ndarray]:
        """Every stream's rows [T, D] of one clip as they are in the file, float32."""

    def place(self, number: int, spans: Mapping[str, tuple[int, int]]) -> tuple[dict[str, np.ndarray], float]:
        """Times of the kept rows of one clip (seconds from its start, centre of each row), and its duration.

        Args:
            number: of the clip.
            spans: per stream that has rows, the kept ones.
        """


@dataclass(frozen=True)
class RawClip:
    """One clip's labels as they stand in the file."""

    clip: str
    split: str
    label: float
    row: str


def make_entries(clips: Sequence[tuple[RawClip, tuple[str, str]]], neutral: float, path) -> list[ClipEntry]:
    """Check clips by the rules of `preprocessing.sets.labels`.

    Args:
        clips: each with its video and clip id.
        neutral: subtracted from labels.
        path: of the file.

    Raises:
        UserError: names the rows whose label is no number in [-3, 3], ids that come twice, and videos with
            clips in two splits.
    """
    entries, problems = [], []
    for raw, (video_id, clip_id) in clips:
        try:
            label = parse_label(repr(round(raw.label - neutral, 6)), may_be_blank=False)
            entries.append(ClipEntry(clip_id, video_id, raw.split, label, path, raw.row))
        except RowProblem as problem:
            problems.append(problem.at(raw.row))
    if problems and "outside" in problems[0].message:
        hint = " (--neutral N subtracts the label that means neutral)"
        problems[0] = problems[0]._replace(message=problems[0].message + hint)
    refuse(problems + find_duplicates(entries) + find_split_videos(entries))
    if not entries:
        raise UserError(f"{path} holds no clip; give another file")
    return entries


def parse_id(text: str) -> tuple[str, str]:
    """Video and clip id of `<video>$_$<clip>` (MMSA), `<video>[<segment>]` (CMU SDK) or `<video>_<clip>`.

    >>> parse_id("-s9qJ7ATP7w$_$3"), parse_id("a_b[0]")
    (('-s9qJ7ATP7w', '-s9qJ7ATP7w_3'), ('a_b', 'a_b_0'))
    """
    if "$_$" in text:
        return join_ids(*text.split("$_$", 1))
    segment = re.fullmatch(r"(.+)\[([0-9]+)\]", text)
    if segment:
        return join_ids(*segment.groups())
    return split_stem(text)


def check_stream(name: str) -> str:
    """The name of a stream, if it can be one.

    Raises:
        UserError: it has odd characters, or means something else already.
    """
    if not STREAM_NAME.fullmatch(name) or name in RESERVED:
        why = "is taken" if name in RESERVED else "is not made of a-z, 0-9 and _, beginning with a letter"
        raise UserError(f"a stream's name must be free and plain, but '{name}' {why}; type NAME=FILE")
    return name


def pick_streams(found: Sequence[str], asked: Sequence[str]) -> list[str]:
    """The streams to take of those that there are; texts only where they are asked for.

    Raises:
        UserError: one that is asked for is not there, or there are no features.
    """
    picked = list(dict.fromkeys(asked)) or [name for name in found if not name.startswith("text")]
    unknown = [name for name in picked if name not in found]
    if unknown or not picked:
        wanted = f"no stream '{', '.join(unknown)}'" if unknown else "no stream but texts"
        raise UserError(
            f"{wanted} in every split of the file; there is {', '.join(found) or 'none'}: "
            f"type --streams {','.join(found) or 'NAME'}, or give another file"
        )
    return [check_stream(name) for name in picked]
