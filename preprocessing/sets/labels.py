"""Which clips a data set has: one checked `ClipEntry` per row of its label file.

Reads the layouts in which raw CMU-MOSI circulates, and a generic table for everything else:

```
layout  table and its columns                              media files
course  labels.csv: clip, label, subset, however named     anywhere below the folder
mmsa    label.csv: video_id, clip_id, ..., label, mode     Raw/<video_id>/<clip_id>.mp4
        or id, text, label, mode
cmu     OpinionLevelSentiment.csv, no header: start, end,  Segmented/<video_id>_<clip_id>.mp4
        video_id, clip_id, label; splits by video
csv     path, video_id, clip_id, label, split              where `path` says
```

In `course` and `csv` the labels may be names of classes instead of numbers (`class_names.py`).

Nothing is guessed and nothing is dropped: a row that cannot be right stops the run and is named.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from preprocessing.errors import UserError
from preprocessing.sets.class_names import find_spellings, holds_names, parse_name
from preprocessing.sets.layouts import FOLDS_NAMES, LAYOUTS, detect_layout, find_columns, find_label_file
from preprocessing.sets.media_files import find_file, find_media, index_media, name_media, split_extension
from preprocessing.untrusted.names import compose_name
from preprocessing.untrusted.problems import Problem, RowProblem, refuse
from preprocessing.untrusted.tables import (
    Columns,
    TextTable,
    find_decimal_mark,
    find_exact_columns,
    parse_number,
    read_table,
    shorten,
)

LABEL_RANGE = 3.0  # sentiment lies in [-3, 3]
NAMED_LAYOUTS = ("course", "csv")  # whose labels may be names of classes instead
VALID_NAMES = ("valid", "val", "dev", "validation")
SPLITS = {
    "train": "train",
    **dict.fromkeys(VALID_NAMES, "valid"),
    "test": "test",
    "training": "train",
    "testing": "test",
}
# Copies hold other files of the same name beside the clips: whole videos, a feature extractor's output.
CLIP_FOLDERS = {"mmsa": "Raw", "cmu": "Segmented"}
# CMU SDK's standard split of MOSI: 52 videos train, 10 valid, 31 test.
OFFICIAL_FOLDS = Path(__file__).with_name("mosi_folds.csv")


@dataclass(frozen=True)
class ClipEntry:
    """One clip of a data set, as its label file describes it."""

    clip_id: str  # "<video_id>_<clip number>", unique
    video_id: str
    split: str  # train | valid | test
    label: float | None  # sentiment in [-3, 3]; None = unlabelled (layout csv only)
    path: Path  # the media file
    row: str  # where it stands, for example "labels.csv row 17", for messages
    class_name: str | None = None  # of a set whose labels are names; blank = unlabelled, None = numbers


def read_labels(
    labels: Path,
    layout: str = "auto",
    columns: Mapping[str, str] | None = None,
    check_files: bool = True,
) -> list[ClipEntry]:
    """Read and check a data set's labels; the clips come in the order of the file.

    Args:
        labels: The label file, or a folder that holds label file and clips.
        layout: `auto` (told from the first row) or one of `LAYOUTS`.
        columns: Column names of a course file that uses others than the known ones: any of
            `clip`, `label`, `split`, `video` -> name (the setting `labels_columns`).
        check_files: Look for the media files. Without, `path` is where the layout would put an mp4.

    Raises:
        UserError: one line that names the file and the rows: unknown header, ids that cannot be
            split, labels outside [-3, 3], duplicates, a video in two splits, missing or ambiguous media.
    """
    if layout not in ("auto", *LAYOUTS):
        raise UserError(f"layout={layout} is unknown: choose one of auto, {', '.join(LAYOUTS)}")
    path, root = find_label_file(Path(labels).absolute())
    table = read_table(path, "a label file")
    named = {field: name for field, name in (columns or {}).items() if name}
    if layout == "auto":
        layout = "course" if named else detect_layout(table)
    root = path.parent if layout == "csv" else root
    entries, media_names, problems = parse_rows(table, layout, find_columns(table, layout, named), root)
    if not check_files:
        refuse(problems)
        return entries
    if layout == "csv":
        files = [find_file(entry.path) for entry in entries]
        pairs = list(zip(entries, files, strict=True))
        missing = [(entry, str(entry.path)) for entry, file in pairs if file is None]
        refuse_all(problems, missing, entries)
        return [replace(entry, path=file) for entry, file in pairs if file is not None]
    return locate_media(entries, media_names, root, CLIP_FOLDERS.get(layout, ""), problems)


def parse_rows(
    table: TextTable, layout: str, columns: Columns, root: Path
) -> tuple[list[ClipEntry], list[list[str]], list[Problem]]:
    """Turn rows into entries, per entry the names its media file may have, and what is wrong."""
    folds = read_folds(table.path.parent) if layout == "cmu" else {}
    entries, media_names, problems = [], [], []
    column = columns.position["label"]
    named = layout in NAMED_LAYOUTS and holds_names(table, column)
    mark = find_decimal_mark(table, column)
    for number, cells in table.rows if layout == "cmu" else table.rows[1:]:
        try:
            entry, names = parse_row(columns.pick(cells), layout, folds, root, mark, named)
        except RowProblem as problem:
            problems.append(table.report(number, problem))
            continue
        entries.append(replace(entry, row=table.where(number)))
        media_names.append(names)
    if not entries:
        refuse(problems)
        raise UserError(f"{table.path.name} has a header and no clips: a label file needs one row per clip")
    problems += [*find_duplicates(entries), *find_split_videos(entries), *find_spellings(entries)]
    return entries, media_names, problems


def parse_row(
    cells: Mapping[str, str],
    layout: str,
    folds: Mapping[str, str],
    root: Path,
    mark: str = ".",
    named: bool = False,
) -> tuple[ClipEntry, list[str]]:
    """Read one row's cells by the rules of its layout; the entry's `row` is left empty."""
    if layout == "csv":
        video_id, clip_id = join_ids(cells["video"], cells["clip"])
        if not cells["path"]:
            raise RowProblem("path is blank")
        names, expected = [], root / cells["path"].replace("\\", "/")
    else:
        clip = cells["clip"].replace("\\", "/")
        stem, extension = split_extension(clip.rsplit("/", 1)[-1])
        video_id, clip_id = join_ids(cells["video"], stem) if "video" in cells else split_stem(stem)
        names = name_media(layout, clip, "video" in cells, video_id, clip_id)
        folder = root / CLIP_FOLDERS.get(layout, "")
        expected = folder / (names[0] if extension else f"{names[0]}.mp4")
    if layout == "cmu" and video_id not in folds:
        raise RowProblem(
            f"video {video_id} is in no split: list it in a folds.csv (video_id,split) beside it", "no split"
        )
    split = folds[video_id] if layout == "cmu" else parse_split(cells["split"])
    name = parse_name(cells["label"]) if named else None
    label = None if named else parse_label(cells["label"], layout == "csv", mark)
    return ClipEntry(clip_id, video_id, split, label, expected, "", name), names


def join_ids(video_id: str, clip: str) -> tuple[str, str]:
    """Make the clip id from a video id and a clip number, which may already carry the video id."""
    if not video_id or not clip:
        raise RowProblem(f"{'clip' if video_id else 'video'} id is blank")
    return video_id, clip if clip.startswith(f"{video_id}_") else f"{video_id}_{clip}"


def split_stem(stem: str) -> tuple[str, str]:
    """Split `<video_id>_<number>` at its last underscore: video ids hold `_` and `-`, also in front."""
    video_id, _, number = stem.rpartition("_")
    if not video_id or not re.fullmatch(r"[0-9]+", number):
        raise RowProblem(
            f"clip {shorten(stem)} names no video: call it <video_id>_<number>, or add a column video_id"
        )
    return video_id, stem


def parse_split(text: str) -> str:
    """Bring a split's name to train, valid or test."""
    if text.lower() not in SPLITS:
        raise RowProblem(f"split {shorten(text)} is none of {', '.join(SPLITS)}")
    return SPLITS[text.lower()]


def parse_label(text: str, may_be_blank: bool, mark: str = ".") -> float | None:
    """Read a sentiment in [-3, 3]; None where a blank cell means an unlabelled clip."""
    if not text and may_be_blank:
        return None
    if not text:
        raise RowProblem("label is blank (only layout=csv may leave clips unlabelled)")
    label = parse_number(text, mark, "label")
    if abs(label) > LABEL_RANGE:
        raise RowProblem(f"label {shorten(text)} is outside [-3, 3]")
    return label


def read_folds(folder: Path) -> dict[str, str]:
    """Read video_id -> split from the `folds.csv` beside the labels, else from MOSI's official folds."""
    own = folder / "folds.csv"
    table = read_table(own if own.is_file() else OFFICIAL_FOLDS, "a table of folds")
    columns = find_exact_columns(table, FOLDS_NAMES, "rename its columns")
    folds, rows, problems = {}, {}, []
    for number, cells in table.rows[1:]:
        try:
            picked = columns.pick(cells)
            video_id, split = picked["video"], parse_split(picked["split"])
            if folds.get(video_id, split) != split:
                message = f"video {video_id} is {split} here, {folds[video_id]} in {rows[video_id]}"
                raise RowProblem(message, "video in two splits")
            folds[video_id], rows[video_id] = split, table.where(number)
        except RowProblem as problem:
            problems.append(table.report(number, problem))
    refuse(problems)
    return folds


def find_duplicates(entries: list[ClipEntry]) -> list[Problem]:
    """Find clip ids that two rows claim."""
    first, problems = {}, []
    for entry in entries:
        if entry.clip_id in first:
            message = f"clip {entry.clip_id} is already in {first[entry.clip_id].row}"
            problems.append(Problem(entry.row, message, "duplicate clip"))
        first.setdefault(entry.clip_id, entry)
    return problems


def find_split_videos(entries: list[ClipEntry]) -> list[Problem]:
    """Find videos with clips in two splits: a model would be tested on a person it was trained on."""
    first, problems = {}, {}
    for entry in entries:
        other = first.setdefault(entry.video_id, entry)
        if other.split != entry.split and entry.video_id not in problems:
            message = f"video {entry.video_id} is {entry.split} here, {other.split} in {other.row}"
            problems[entry.video_id] = Problem(entry.row, message, "video in two splits")
    return list(problems.values())


def locate_media(
    entries: list[ClipEntry],
    media_names: list[list[str]],
    root: Path,
    clip_folder: str,
    problems: list[Problem],
) -> list[ClipEntry]:
    """Find each clip's one media file below `root`; the rows' `problems` are reported with the files'."""
    index = index_media(root, clip_folder)
    located, missing, problems, owners = [], [], [*problems], {}
    for entry, names in zip(entries, media_names, strict=True):
        found = sorted({path for name in names for path in find_media(index, name)})
        if not found:
            missing.append((entry, f"{' or '.join(dict.fromkeys(names))} below {root}"))
            continue
        if len(found) > 1:
            first, second = (str(path.relative_to(root)) for path in found[:2])
            accents = " (only their accents are stored differently)" * (
                compose_name(first) == compose_name(second)
            )
            message = f"{first} and {second}{accents} both fit clip {entry.clip_id}, keep one"
            problems.append(Problem(entry.row, message, "several files"))
        owner = owners.setdefault(found[0], entry)
        if owner is not entry:
            message = f"{found[0].relative_to(root)} is already the file of {owner.row}"
            problems.append(Problem(entry.row, message, "file of two clips"))
        located.append(replace(entry, path=found[0]))
    refuse_all(problems, missing, entries)
    return located


def refuse_all(
    problems: list[Problem], missing: list[tuple[ClipEntry, str]], entries: list[ClipEntry]
) -> None:
    """Stop if there are problems, or if media files are missing (entry, where it was looked for)."""
    if problems:
        refuse(
            problems
            + [
                Problem(entry.row, f"clip {entry.clip_id} has no media file (looked for {place})", "no file")
                for entry, place in missing
            ]
        )
    if missing:
        entry, looked_for = missing[0]
        raise UserError(
            f"{len(missing)} of {len(entries)} clips have no media file, the first is {entry.clip_id}"
            f" ({entry.row}; looked for {looked_for}): put the files there, correct the rows, or set"
            " labels=FOLDER to one that holds both labels and clips"
        )
