"""Tables of predicted classes: `label`, `predicted`, and a column `p_<class>` for each class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from preprocessing.errors import UserError
from preprocessing.untrusted.problems import RowProblem
from preprocessing.untrusted.tables import (
    TextTable,
    find_decimal_mark,
    find_exact_columns,
    parse_number,
    read_header,
    read_table,
    shorten,
)

PREDICTED = "predicted"  # column of the most probable class
PROBABILITY = "p_"  # before a class's name
SURE = 1e-3  # how far the sum of a clip's probabilities may be from 1


def name_probabilities(classes: Sequence[str]) -> list[str]:
    """The columns of the classes' probabilities."""
    return [f"{PROBABILITY}{name}" for name in classes]


def find_classes(columns: Sequence[str]) -> list[str]:
    """The classes that a table has columns of, in their order."""
    return [name.removeprefix(PROBABILITY) for name in columns if name.startswith(PROBABILITY)]


def read_class_table(table: pd.DataFrame, classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Class numbers [n] and probabilities [n, C] of a table whose clips are all labelled."""
    number = {name: place for place, name in enumerate(classes)}
    label = np.array([number[name] for name in table.label], dtype=np.int64)
    return label, table[name_probabilities(classes)].to_numpy(dtype=np.float64)


def read_class_predictions(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """A table that others made: labels, probabilities and, for intervals by video, `video_id`.

    Returns:
        Columns label (None = unlabelled), video_id and the probabilities; the classes in their order.

    Raises:
        UserError: no such columns, or rows that cannot be right: one example of each kind.
    """
    table = read_table(path, "a table with the columns label and p_<class> for each class")
    header = read_header(table)
    classes = find_classes(header)
    if len(classes) < 2:
        raise UserError(
            f"{path.name} needs a column p_<class> for each of at least two classes, such as p_happy and "
            "p_sad: rename its columns"
        )
    names = {"label": "label"} | {column: column for column in name_probabilities(classes)}
    names |= {"video_id": "video_id"} if "video_id" in header else {}
    columns = find_exact_columns(_lower(table), {key: name.lower() for key, name in names.items()}, "rename")
    marks = {name: find_decimal_mark(table, columns.position[name]) for name in name_probabilities(classes)}
    rows = table.parse(columns, lambda cells: _parse_row(cells, classes, marks))
    found = pd.DataFrame(rows, columns=list(names))
    if "video_id" not in found:
        found["video_id"] = np.arange(len(found)).astype(str)
    return found, classes


def read_train_names(path: Path) -> list[str]:
    """The class names in the column `label` of the train split, for the trivial baselines.

    Raises:
        UserError: no such column, or no row has a label.
    """
    table = read_table(path, "a table with the column label")
    columns = find_exact_columns(table, {"label": "label"}, "rename its columns")
    names = [columns.pick(cells)["label"] for _, cells in table.rows[1:]]
    if not any(names):
        raise UserError(f"no row of {path.name} has a label; fill in the column label")
    return [name for name in names if name]


def _lower(table: TextTable) -> TextTable:
    return TextTable(table.path, [(1, [cell.lower() for cell in table.rows[0][1]]), *table.rows[1:]])


def _parse_row(cells: dict[str, str], classes: Sequence[str], marks: dict[str, str]) -> dict:
    row: dict = {name: parse_number(cells[name], mark, name) for name, mark in marks.items()}
    total = sum(row.values())
    if min(row.values()) < 0 or abs(total - 1) > SURE:
        raise RowProblem(f"its probabilities sum to {total:.4g}, not to 1, or one is negative", "sum")
    row["label"] = cells["label"] or None
    if cells["label"] and cells["label"] not in classes:
        raise RowProblem(f"label {shorten(cells['label'])} has no column p_<class>")
    if "video_id" in cells:
        row["video_id"] = cells["video_id"]
    return row
