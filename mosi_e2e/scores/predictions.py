"""Tables of predictions that others made: `label`, `score` and, for intervals by video, `video_id`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from preprocessing.errors import UserError
from preprocessing.untrusted.problems import RowProblem
from preprocessing.untrusted.tables import (
    find_decimal_mark,
    find_exact_columns,
    normalise_name,
    parse_number,
    read_header,
    read_table,
    shorten,
)

if TYPE_CHECKING:
    import pandas as pd

UNLABELLED = ("", "nan", "na")  # how pandas and R write that there is no number
REACH = 3.0  # sentiment lies in [-3, 3]
LARGEST = 1e6  # of what is scored: squares of much larger numbers overflow


def read_run_table(path: Path) -> "pd.DataFrame":
    """`predictions_<split>.csv` as a run wrote it: ids are text (a video may be called NA), the rest numbers.

    Raises:
        UserError: it cannot be read.
    """
    import pandas as pd  # here and below, since it takes half a second

    try:
        return pd.read_csv(
            path, dtype={"clip_id": str, "video_id": str}, keep_default_na=False, na_values=[""]
        )
    except (OSError, ValueError) as error:
        why = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UserError(f"{path} cannot be read ({why}): score the run again") from error


def read_predictions(path: Path, task: str) -> "pd.DataFrame":
    """Labels and scores; without `video_id` every clip counts as its own video.

    Returns:
        Columns label (NaN = unlabelled), score, video_id.

    Raises:
        UserError: no such table or columns, or rows that cannot be right: one example of each kind.
    """
    return read_rows(path, {"label": "label", "score": "score"}, task)


def read_train_labels(path: Path) -> np.ndarray:
    """The known values of the column `label` of the train split, for the trivial baselines.

    Raises:
        UserError: as `read_predictions`, or no row has a label.
    """
    label = read_rows(path, {"label": "label"}, "regression").label.dropna().to_numpy()
    if not label.size:
        raise UserError(f"no row of {path.name} has a label; fill in the column label")
    return label


def read_rows(path: Path, wanted: Mapping[str, str], task: str) -> "pd.DataFrame":
    """The wanted columns as numbers, and `video_id` as it stands in the file."""
    import pandas as pd

    what = f"a table with the columns {', '.join(wanted.values())}"
    table = read_table(path, what)
    has_videos = "video_id" in [normalise_name(name) for name in read_header(table)]
    names = dict(wanted) | ({"video_id": "video_id"} if has_videos else {})
    columns = find_exact_columns(table, names, "rename its columns")
    marks = {name: find_decimal_mark(table, columns.position[name]) for name in wanted}
    rows = table.parse(columns, lambda cells: parse_row(cells, marks, task))
    found = pd.DataFrame(rows, columns=list(names))
    if not has_videos:
        found["video_id"] = np.arange(len(found)).astype(str)
    return found


def parse_row(cells: Mapping[str, str], marks: Mapping[str, str], task: str) -> dict[str, float | str]:
    """One row: a label may be missing, a score and a video may not."""
    row: dict[str, float | str] = {}
    for name, text in cells.items():
        if name == "video_id":
            if not text:
                raise RowProblem("video_id is blank")
            row[name] = text
        elif name == "label" and text.lower() in UNLABELLED:
            row[name] = np.nan
        else:
            row[name] = parse_value(text, marks[name], name)
    if task == "binary" and not 0 <= row.get("score", 0) <= 1:
        raise RowProblem(f"score '{cells['score']}' is not a probability in [0, 1]")
    return row


def parse_value(text: str, mark: str, name: str) -> float:
    """A label or a score; a `RowProblem` where it is no number, or one that no scale reaches."""
    value = parse_number(text, mark, name)
    if abs(value) > LARGEST:
        raise RowProblem(f"{name} {shorten(text)} is beyond {LARGEST:g}, where metrics overflow")
    return value


def describe_scale(table: "pd.DataFrame", task: str) -> list[str]:
    """Remarks on numbers that can hardly be sentiment in [-3, 3]: the metrics would mean something else."""
    remarks = []
    for name in ("label", "score") if task == "regression" else ("label",):
        low, high = table[name].min(), table[name].max()
        if max(-low, high) > REACH * (1 if name == "label" else 2):  # an unbounded model may overshoot
            remarks.append(
                f"{name}s run from {low:g} to {high:g}, but sentiment lies in [-3, 3]: on another scale "
                "Acc-7, Acc-5 and MAE mean something else; rescale both columns"
            )
    if task == "regression" and len(table) > 1 and table.label.min() >= 0:
        remarks.append(
            "no label is negative: is 0 the middle of this scale? Acc-2 and F1 take it for neutral"
        )
    return remarks
