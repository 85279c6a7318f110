"""What is known to be said in each clip: from the labels, from a table, or from subtitles."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from preprocessing.config import PreprocessConfig
from preprocessing.errors import UserError
from preprocessing.hearing.heard import Word, spread_text
from preprocessing.hearing.voice import Span
from preprocessing.sets.labels import join_ids, read_labels
from preprocessing.sets.layouts import find_label_file
from preprocessing.settings import digest
from preprocessing.untrusted.names import file_name
from preprocessing.untrusted.tables import (
    TextTable,
    find_exact_columns,
    normalise_name,
    read_header,
    read_table,
)

SUBTITLES = (".srt", ".vtt", ".txt")
TIME = r"(?:(\d+):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
CUE = re.compile(rf"{TIME}\s*-->\s*{TIME}[^\n]*\n(.*?)(?=\n\s*\n|\Z)", re.DOTALL)
MARKS = re.compile(r"<[^>]*>|\{[^}]*\}")  # of style and speaker


@dataclass(frozen=True)
class Transcript:
    """What is said in a clip.

    Attributes:
        text: the whole.
        cues: its parts with their times; empty where none are known.
    """

    text: str
    cues: tuple[tuple[Span, str], ...] = ()

    def place(self, duration_s: float) -> list[Word]:
        """The words of the cues, each spread over its cue, inside the clip."""
        cut = [(Span(*(min(edge, duration_s) for edge in span)), text) for span, text in self.cues]
        return [word for span, text in cut for word in spread_text(text.split(), [span])]


def read_given(config: PreprocessConfig, column: str) -> Mapping[str, Transcript]:
    """Transcripts of a column of the labels, by clip.

    Args:
        config: where the labels are.
        column: its name.

    Raises:
        UserError: the label file has no such column.
    """
    path, _ = find_label_file(Path(config.labels).absolute())
    columns = tuple(sorted(config.labels_columns.items()))
    return _read_given(path, path.stat().st_mtime_ns, config.layout, columns, column)


@cache
def _read_given(
    path: Path, changed_ns: int, layout: str, columns: tuple, column: str
) -> dict[str, Transcript]:
    del changed_ns  # another file since: another key
    table = read_table(path, "a label file")
    place = find_text(table, column)
    if place is None:
        raise UserError(
            f"{path.name} has no column {column} of texts: type words.column=NAME, or another words.source"
        )
    entries = read_labels(path, layout, dict(columns), check_files=False)
    rows = table.rows[-len(entries) :]  # behind the header
    return {
        entry.clip_id: Transcript(cells[place].strip())
        for entry, (_, cells) in zip(entries, rows, strict=True)
    }


def find_text(table: TextTable, column: str) -> int | None:
    """The place of a column by its name; None where there is none."""
    names = [normalise_name(name) for name in read_header(table)]
    return names.index(normalise_name(column)) if normalise_name(column) in names else None


def read_file(config: PreprocessConfig, clip_id: str) -> Transcript | None:
    """A clip's transcript from `words.file`; None where it has none.

    Raises:
        UserError: the file is no such table.
    """
    path = Path(config.words.file)
    if not path.is_dir():
        return _read_table(path, path.stat().st_mtime_ns, config.words.column).get(clip_id)
    files = [path / f"{name}{form}" for name in (clip_id, file_name(clip_id)) for form in SUBTITLES]
    found = next((one for one in files if one.is_file()), None)
    return None if found is None else parse_subtitles(found.read_text("utf-8-sig", errors="replace"))


@cache
def _read_table(path: Path, changed_ns: int, column: str) -> dict[str, Transcript]:
    del changed_ns
    table = read_table(path, "a table of texts")
    has_video = "video_id" in [normalise_name(name) for name in read_header(table)]
    wanted = {"clip": "clip_id", "text": normalise_name(column)}
    wanted |= {"video": "video_id"} if has_video else {}
    columns = find_exact_columns(table, wanted, "rename its columns, or type words.column=NAME")

    def parse_row(cells: dict[str, str]) -> tuple[str, Transcript]:
        clip_id = join_ids(cells["video"], cells["clip"])[1] if has_video else cells["clip"]
        return clip_id, Transcript(cells["text"].strip())

    return dict(table.parse(columns, parse_row))


def parse_subtitles(text: str) -> Transcript:
    r"""The cues of SubRip or WebVTT; any other text is taken whole.

    >>> parse_subtitles("1\n00:00:01,000 --> 00:00:02,500\n<i>Good</i> film\n").cues
    ((Span(start_s=1.0, end_s=2.5), 'Good film'),)
    """
    text = text.replace("\r\n", "\n")
    cues = []
    for found in CUE.finditer(text):
        start, end = read_time(found.groups()[:4]), read_time(found.groups()[4:8])
        said = " ".join(MARKS.sub("", found[9]).split())
        if said and end > start:
            cues.append((Span(start, end), said))
    if not cues:
        return Transcript("" if "-->" in text else " ".join(text.split()))
    return Transcript(" ".join(said for _, said in cues), tuple(sorted(cues)))


def read_time(parts: tuple[str | None, ...]) -> float:
    """Seconds of hours, minutes, seconds and their fraction."""
    hours, minutes, seconds, fraction = parts
    return 3600 * int(hours or 0) + 60 * int(minutes) + int(seconds) + float(f"0.{fraction}")


def print_texts(config: PreprocessConfig) -> str:
    """Eight hex digits over all texts that the words are made from."""
    if config.words.source == "given":
        return digest([[clip, one.text] for clip, one in read_given(config, config.words.column).items()])
    path = Path(config.words.file)
    files = sorted(one for form in SUBTITLES for one in path.glob(f"*{form}")) if path.is_dir() else [path]
    return digest([[one.name, one.read_bytes().hex()] for one in files])
