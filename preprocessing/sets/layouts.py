"""Which column of a label file holds what, in each layout of a data set."""

from collections.abc import Mapping
from pathlib import Path

from preprocessing.errors import UserError
from preprocessing.sets.media_files import walk_files
from preprocessing.untrusted.tables import (
    Columns,
    TextTable,
    archive_error,
    find_exact_columns,
    is_number,
    list_names,
    normalise_name,
    read_header,
)

LAYOUTS = ("course", "mmsa", "cmu", "csv")
LABEL_FILE_STEMS = frozenset(("labels", "label", "opinionlevelsentiment"))
SHOWN_FILES = 5

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
    "video": ("video_id", "videoid vid video speaker speaker_id speaker_name"),
}
CSV_NAMES = {"path": "path", "video": "video_id", "clip": "clip_id", "label": "label", "split": "split"}
MMSA_NAMES = {"video": "video_id", "clip": "clip_id", "label": "label", "split": "mode"}
MMSA_ID_NAMES = {"clip": "id", "label": "label", "split": "mode"}
FOLDS_NAMES = {"video": "video_id", "split": "split"}


def find_label_file(labels: Path) -> tuple[Path, Path]:
    """Give the label file and the folder below which its clips are."""
    if labels.is_file():
        if labels.suffix.lower() == ".zip":
            raise archive_error(labels)
        return labels, labels.parent
    if not labels.is_dir():
        raise UserError(f"there is no label file or folder {labels}: set labels=FILE or labels=FOLDER")
    tables = [
        path
        for path in walk_files(labels)
        if path.suffix.lower() in (".csv", ".tsv") and path.name.lower() != "folds.csv"
    ]
    found = [path for path in tables if path.stem.lower() in LABEL_FILE_STEMS] or tables
    if len(found) != 1:
        names = ", ".join(str(path.relative_to(labels)) for path in found[:SHOWN_FILES])
        what = f"{len(found)} files that may be the labels ({names})" if found else "no labels.csv"
        raise UserError(f"{labels} holds {what}: name the right file with labels=FILE")
    return found[0], labels


def detect_layout(table: TextTable) -> str:
    """Tell the layout from the first row: its column names, or that it has none (cmu)."""
    cells = table.rows[0][1]
    if len(cells) == 5 and all(is_number(cells[index].replace(",", ".", 1)) for index in (0, 1, 4)):
        return "cmu"
    names = {normalise_name(cell) for cell in cells}
    if "path" in names and names & {"video_id", "clip_id"}:
        return "csv"
    first, second = ALIASES["clip"]
    has_only_id = "video_id" not in names and names & {*first.split(), *second.split()} == {"id"}
    if "mode" in names and ({"video_id", "clip_id"} <= names or has_only_id):
        return "mmsa"
    return "course"


def find_columns(table: TextTable, layout: str, columns: Mapping[str, str]) -> Columns:
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
    advice = f"rename its columns, or set another layout ({', '.join(('auto', *LAYOUTS))})"
    if layout == "csv":
        return find_exact_columns(table, CSV_NAMES, advice)
    names = [normalise_name(cell) for cell in read_header(table)]
    has_id = "id" in names and "clip_id" not in names
    return find_exact_columns(table, MMSA_ID_NAMES if has_id else MMSA_NAMES, advice)


def find_course_columns(table: TextTable, columns: Mapping[str, str]) -> dict[str, int]:
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


def find_named_column(table: TextTable, field: str, name: str) -> int:
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
