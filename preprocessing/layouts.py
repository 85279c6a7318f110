"""Label files as tables of text, and which column holds what in each layout of a data set.

Every cell stays the text that stands in the file: a clip id `01`, a video id `1e5` or `NA` must never
turn into a number or a missing value. Only the Python standard library's `csv` reads here.
"""

import codecs
import csv
import io
import re
import shlex
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from preprocessing.archive import DAMAGES
from preprocessing.clip_files import compose_name
from preprocessing.errors import UserError

LAYOUTS = ("course", "mmsa", "cmu", "csv")

# The course's column names are not documented. Per field: the names that win, and the names of which
# only one may be present, because two candidates are a question for the user and not for a guess.
ALIASES = {
    "clip": (
        "clip clip_id",
        "clip_name clipname file filename file_name filepath file_path path name id segment segment_id"
        " segment_name utterance utterance_id video video_name video_file",
    ),
    "label": (
        "label",
        "labels sentiment sentiment_label sentiment_score sentiment_value score value annotation"
        " annotation_value rating",
    ),
    "split": ("split", "subset set mode partition fold data_split dataset_split"),
    "video": ("video_id", "videoid vid video"),
}
CSV_NAMES = {"path": "path", "video": "video_id", "clip": "clip_id", "label": "label", "split": "split"}
MMSA_NAMES = {"video": "video_id", "clip": "clip_id", "label": "label", "split": "mode"}
MMSA_ID_NAMES = {"clip": "id", "label": "label", "split": "mode"}
FOLDS_NAMES = {"video": "video_id", "split": "split"}


class RowProblem(ValueError):
    """What is wrong with one row of a label file, without the row's number."""


@dataclass(frozen=True)
class Table:
    """A delimited text file: stripped cells, rows numbered as in a spreadsheet (the first is 1)."""

    path: Path
    rows: list[tuple[int, list[str]]]  # blank rows are left out, the numbers still count them

    def where(self, number: int) -> str:
        """Name a row for a message, for example `labels.csv row 17`."""
        return f"{self.path.name} row {number}"


@dataclass(frozen=True)
class Columns:
    """Where each field stands in a row."""

    width: int
    position: dict[str, int]  # field (clip, video, label, split, path) -> index of its cell

    def pick(self, cells: list[str]) -> dict[str, str]:
        """Give one row's cells by field, ids and names in the form in which they are compared.

        Raises:
            RowProblem: the row is longer or shorter than the first one. A comma inside an unquoted
                transcript does that, and every later cell of the row would be taken for its neighbour.
        """
        if len(cells) < self.width or any(cells[self.width :]):
            raise RowProblem(
                f"it has {len(cells)} cells and needs {self.width} (is a text with separators unquoted?)"
            )
        return {field: compose_name(cells[index]) for field, index in self.position.items()}


def read_table(path: Path) -> Table:
    """Read a CSV or TSV file as text: `,`, `;` or tab, any line ending, byte order mark or none.

    Raises:
        UserError: the file is an Excel workbook, an archive, no UTF-8 text, empty, or not well-formed.
    """
    if zipfile.is_zipfile(path) and not is_workbook(path):
        raise archive_error(path)
    text = decode_text(path, path.read_bytes())
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise UserError(f"{path.name} is empty: a label file needs one row per clip")
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=find_delimiter(lines[0]),
        skipinitialspace=True,
        strict=True,  # otherwise a quote that is never closed swallows the rows after it without a word
    )
    rows = []
    try:
        for number, cells in enumerate(reader, start=1):
            cells = [cell.strip() for cell in cells]
            if any(cells):
                rows.append((number, cells))
    except csv.Error as error:
        raise UserError(
            f"{path.name} is malformed near line {reader.line_num} ({error}): close the quotes there"
        ) from error
    return Table(path, rows)


def decode_text(path: Path, raw: bytes) -> str:
    """Decode a label file, or say what it is instead of text."""
    save_as = "open it in a spreadsheet program and save it as 'CSV UTF-8'"
    if raw.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise UserError(f"{path.name} is an Excel workbook, not a text file: {save_as}")
    is_utf16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = raw.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path.name} is not UTF-8 text (byte {error.start}): {save_as}") from error
    if "\0" in text:
        raise UserError(f"{path.name} is not a text file (it holds zero bytes): {save_as}")
    return text


def is_workbook(path: Path) -> bool:
    """Whether a zip archive is an Excel workbook, whatever its name says; a damaged one is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "[Content_Types].xml" in archive.namelist()
    except DAMAGES:
        return False


def archive_error(path: Path) -> UserError:
    """The answer to a zip where a label file belongs."""
    return UserError(
        f"{path.name} is a zip archive and has to be unpacked first: type 'python -m preprocessing.fetch"
        f" --url {shlex.quote(str(path))} --out DIR', then set labels=DIR"
    )


def find_delimiter(line: str) -> str:
    """Choose the separator that cuts the first row into most cells."""
    return max(",;\t", key=lambda mark: len(next(csv.reader([line], delimiter=mark))))


def detect_layout(table: Table) -> str:
    """Tell the layout from the first row: its column names, or that it has none (cmu)."""
    cells = table.rows[0][1]
    if len(cells) == 5 and all(is_number(cells[index]) for index in (0, 1, 4)):
        return "cmu"
    names = {normalise_name(cell) for cell in cells}
    if "path" in names and names & {"video_id", "clip_id"}:
        return "csv"
    first, second = ALIASES["clip"]
    has_only_id = "video_id" not in names and names & {*first.split(), *second.split()} == {"id"}
    if "mode" in names and ({"video_id", "clip_id"} <= names or has_only_id):
        return "mmsa"
    return "course"


def find_columns(table: Table, layout: str, columns: Mapping[str, str]) -> Columns:
    """Say where clip, video, label, split and path stand.

    Args:
        table: The label file; its first row is the header, except in the layout `cmu`, which has none.
        layout: One of `LAYOUTS`.
        columns: Field -> column name as the user gave it (layout `course` only).

    Raises:
        UserError: a column is missing or two could be meant; names the setting that decides.
    """
    if columns and layout != "course":
        raise UserError(
            f"labels_columns names columns for layout=course only, and the layout is {layout}:"
            " leave labels_columns out, or set layout=course"
        )
    if layout == "cmu":
        # start, end, video_id, clip_id, label
        return Columns(5, {"video": 2, "clip": 3, "label": 4})
    if layout == "course":
        return Columns(len(read_header(table)), find_course_columns(table, columns))
    mend = f"rename its columns, or set another layout ({', '.join(('auto', *LAYOUTS))})"
    if layout == "csv":
        return find_exact_columns(table, CSV_NAMES, mend)
    names = [normalise_name(cell) for cell in read_header(table)]
    has_id = "id" in names and "clip_id" not in names
    return find_exact_columns(table, MMSA_ID_NAMES if has_id else MMSA_NAMES, mend)


def read_header(table: Table) -> list[str]:
    """Give the column names, without the blank ones that spreadsheet programs append."""
    header = table.rows[0][1]
    last = max(index for index, name in enumerate(header) if name)
    return header[: last + 1]


def find_exact_columns(table: Table, wanted: Mapping[str, str], mend: str) -> Columns:
    """Find columns whose names are fixed (`wanted`: field -> column name; `mend`: advice if not)."""
    header = read_header(table)
    names = [normalise_name(cell) for cell in header]
    for name in wanted.values():
        if names.count(name) != 1:
            found = "no" if name not in names else "more than one"
            raise UserError(
                f"{table.path.name} needs the columns {', '.join(wanted.values())} and has {found}"
                f" column {name} among {list_names(header)}: {mend}"
            )
    return Columns(len(header), {field: names.index(name) for field, name in wanted.items()})


def find_course_columns(table: Table, columns: Mapping[str, str]) -> dict[str, int]:
    """Find the course's columns by the names the user gave, then by `ALIASES`; `video` may be absent."""
    header = read_header(table)
    unknown = sorted(set(columns) - set(ALIASES))
    if unknown:
        raise UserError(f"labels_columns has no field {unknown[0]!r}: its fields are {', '.join(ALIASES)}")
    position = {field: find_named_column(table, field, name) for field, name in columns.items()}
    names = [normalise_name(cell) for cell in header]
    missing = []
    for field, tiers in ALIASES.items():
        if field in position:
            continue
        free = [index for index in range(len(names)) if index not in position.values()]
        tier_hits = [[index for index in free if names[index] in tier.split()] for tier in tiers]
        hits = tier_hits[0] or tier_hits[1]
        if len(hits) > 1:
            raise UserError(
                f"{table.path.name}: the {field} could stand in {list_names(header[i] for i in hits)}:"
                f" choose with labels_columns.{field}=NAME"
            )
        if hits:
            position[field] = hits[0]
        elif field != "video":
            missing.append(field)
    if missing:
        settings = " ".join(f"labels_columns.{field}=NAME" for field in missing)
        raise UserError(
            f"{table.path.name}: no known name of {', '.join(missing)} among {list_names(header)}:"
            f" say which it is with {settings}"
        )
    return position


def find_named_column(table: Table, field: str, name: str) -> int:
    """Find the column that `labels_columns.<field>` names: as written, else by its normal form."""
    header, wanted = read_header(table), normalise_name(name)
    exact = [index for index, cell in enumerate(header) if cell == name.strip()]
    hits = exact or [index for index, cell in enumerate(header) if normalise_name(cell) == wanted]
    if len(hits) != 1:
        found = "several columns" if hits else "no column"
        raise UserError(
            f"labels_columns.{field}={name}: {table.path.name} has {found} of that name among"
            f" {list_names(header)}"
        )
    return hits[0]


def normalise_name(name: str) -> str:
    """Bring `Clip Name`, `clip-name` and `clip_name` to one form."""
    return re.sub(r"[\s\-]+", "_", name.strip().lower())


def list_names(names) -> str:
    """Write column names for a message, at most twelve of them, on one line."""
    names = [repr(name) for name in names]
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def is_number(text: str) -> bool:
    """Whether a cell is a plain decimal number; `nan`, `inf`, `1_000` and `2,4` are none."""
    return re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text, re.ASCII) is not None
