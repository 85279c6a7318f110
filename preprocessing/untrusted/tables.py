"""Tables that strangers bring, as text: labels, folds, predictions.

Every cell stays the text that stands in the file: a clip id `01`, a video id `1e5` or `NA` must never
turn into a number or a missing value. Only the Python standard library's `csv` reads here. Numbers are
read where they are wanted, by one rule for a whole column, so that nothing is guessed.
"""

import codecs
import csv
import io
import re
import shlex
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from preprocessing.errors import UserError
from preprocessing.untrusted.archive import DAMAGES
from preprocessing.untrusted.names import compose_name
from preprocessing.untrusted.problems import Problem, RowProblem, refuse

MOST_BYTES = 256 << 20  # MOSEI's 23,000 sentences with their texts take 4 MB
SEPARATOR_LINE = re.compile(r"\s*\"?sep=(.)\"?\s*", re.IGNORECASE)  # what Excel writes, and reads, first
Parsed = TypeVar("Parsed")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class TextTable:
    """A delimited text file: stripped cells, rows numbered as in a spreadsheet (the first is 1).

    Attributes:
        path: the file.
        rows: number and cells; blank rows are left out, the numbers still count them.
        delimiter: `,`, `;` or tab, or what a line `sep=` says.
    """

    path: Path
    rows: list[tuple[int, list[str]]]
    delimiter: str = ","

    def where(self, number: int) -> str:
        """Name a row for a message, for example `labels.csv row 17`."""
        return f"{self.path.name} row {number}"

    def report(self, number: int, problem: RowProblem) -> Problem:
        """A row's problem, with its place."""
        return problem.at(self.where(number))

    def parse(self, columns: "Columns", parse: Callable[[dict[str, str]], Parsed]) -> list[Parsed]:
        """What each row below the header comes to.

        Args:
            columns: the cells that are wanted.
            parse: one row's cells → what it means; a `RowProblem` where it cannot be right.

        Raises:
            UserError: rows that cannot be right: one example of each kind.
        """
        found, problems = [], []
        for number, cells in self.rows[1:]:
            try:
                found.append(parse(columns.pick(cells)))
            except RowProblem as problem:
                problems.append(self.report(number, problem))
        refuse(problems)
        return found


@dataclass(frozen=True)
class Columns:
    """Where each field stands in a row.

    Attributes:
        width: cells of a row.
        position: field (clip, video, label, split, path, score) → index of its cell.
    """

    width: int
    position: dict[str, int]

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


def read_table(path: Path, what: str = "a table") -> TextTable:
    """Read a CSV or TSV file as text: `,`, `;` or tab, any line ending, byte order mark or none.

    Args:
        path: the file.
        what: it ought to be, for messages.

    Raises:
        UserError: the file is an Excel workbook, an archive, no UTF-8 text, empty, too large, or not
            well-formed.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}: name {what}, a CSV file")
    if path.stat().st_size > MOST_BYTES:
        raise UserError(f"{path.name} is larger than {MOST_BYTES >> 20} MB: name {what}, a CSV file")
    if is_archive(path) and not is_workbook(path):
        raise archive_error(path)
    text = decode_text(path, path.read_bytes())
    first = next((line for line in text.splitlines() if line.strip(' \t,;"')), None)
    if first is None:
        raise UserError(f"{path.name} is empty: {what} needs a header and rows")
    declared = SEPARATOR_LINE.fullmatch(first)
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=declared[1] if declared else find_delimiter(first),
        skipinitialspace=True,
        strict=True,  # otherwise a quote that is never closed swallows the rows after it silently
    )
    try:
        rows = list(strip_rows(reader))
    except csv.Error as error:
        advice = "shorten that cell" if "field limit" in str(error) else "close the quotes there"
        raise UserError(
            f"{path.name} is malformed near line {reader.line_num} ({error}): {advice}"
        ) from error
    rows = rows[1:] if declared else rows
    if not rows:
        raise UserError(f"{path.name} is empty: {what} needs a header and rows")
    return TextTable(path, rows, reader.dialect.delimiter)


def strip_rows(rows: Iterable[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, with their numbers; cells without the spaces around them."""
    for number, cells in enumerate(rows, start=1):
        stripped = [cell.strip() for cell in cells]
        if any(stripped):
            yield number, stripped


def decode_text(path: Path, raw: bytes) -> str:
    """Decode a table, or say what it is instead of text."""
    save_as = "open it in a spreadsheet program and save it as 'CSV UTF-8'"
    if raw.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise UserError(f"{path.name} is an Excel workbook, not a text file: {save_as}")
    is_utf16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = raw.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        kind = "UTF-16" if is_utf16 else "UTF-8"
        raise UserError(f"{path.name} is not {kind} text (byte {error.start}): {save_as}") from error
    if "\0" in text:
        raise UserError(f"{path.name} is not a text file (it holds zero bytes): {save_as}")
    return text


def is_archive(path: Path) -> bool:
    """Whether a file is a zip archive, damaged or whole."""
    try:
        return zipfile.is_zipfile(path)
    except DAMAGES:
        return True


def is_workbook(path: Path) -> bool:
    """Whether a zip archive is an Excel workbook, whatever its name says; a damaged one is not."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "[Content_Types].xml" in archive.namelist()
    except DAMAGES:
        return False


def archive_error(path: Path) -> UserError:
    """The answer to a zip where a table belongs."""
    return UserError(
        f"{path.name} is a zip archive and has to be unpacked first: type 'python -m preprocessing.fetch"
        f" --url {shlex.quote(str(path))} --out DIR', then set labels=DIR"
    )


def find_delimiter(line: str) -> str:
    """Choose the separator that cuts the first row into most cells."""

    def count(mark: str) -> int:
        try:
            return len(next(csv.reader([line], delimiter=mark)))
        except csv.Error:  # a cell beyond the reader's limit: reading the table says so
            return line.count(mark) + 1

    return max(",;\t", key=count)


def read_header(table: TextTable) -> list[str]:
    """Give the column names, without the blank ones that spreadsheet programs append."""
    header = table.rows[0][1]
    last = max(index for index, name in enumerate(header) if name)
    return header[: last + 1]


def find_exact_columns(table: TextTable, wanted: Mapping[str, str], advice: str) -> Columns:
    """Find columns whose names are fixed (`wanted`: field → column name; `advice`: what to do if not)."""
    header = read_header(table)
    names = [normalise_name(cell) for cell in header]
    for name in wanted.values():
        if names.count(name) != 1:
            found = "no" if name not in names else "more than one"
            raise UserError(
                f"{table.path.name} needs the columns {', '.join(wanted.values())} and has {found}"
                f" column {name} among {list_names(header)}: {advice}"
            )
    return Columns(len(header), {field: names.index(name) for field, name in wanted.items()})


def normalise_name(name: str) -> str:
    """Bring `Clip Name`, `clip-name` and `clip_name` to one form."""
    return re.sub(r"[\s\-]+", "_", name.strip().lower())


def list_names(names: Iterable[str]) -> str:
    """Write column names for a message, at most twelve of them, on one line."""
    names = [shorten(name) for name in names]
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def shorten(text: str) -> str:
    """Quote a cell for a one-line message."""
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def is_number(text: str) -> bool:
    """Whether a cell is a plain decimal number; `nan`, `inf`, `1_000` and `2,4` are not."""
    return NUMBER.fullmatch(text) is not None


def find_decimal_mark(table: TextTable, index: int) -> str:
    """`,` where the numbers of a column are written `0,5`, as spreadsheets do in much of the world.

    Only where the comma does not separate cells, and where no number of the column has a point: `1,234` may
    mean two things, and is then refused.
    """
    cells = [cells[index] for _, cells in table.rows if index < len(cells)]
    has_comma = any("," in cell and is_number(cell.replace(",", ".", 1)) for cell in cells)
    has_point = any("." in cell and is_number(cell) for cell in cells)
    return "," if has_comma and not has_point and table.delimiter != "," else "."


def parse_number(text: str, mark: str, name: str) -> float:
    """Read a number with its decimal mark.

    Raises:
        RowProblem: it is not one; `name` says which column.
    """
    plain = text.replace(",", ".", 1) if mark == "," else text
    if not is_number(plain):
        raise RowProblem(f"{name} {shorten(text)} is not a number (such as -0.8)")
    return float(plain)
