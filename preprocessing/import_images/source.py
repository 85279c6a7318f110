"""Which pictures a set has, with class, split and subject: from folders, or from a table."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from preprocessing.errors import UserError
from preprocessing.import_images.sharpness import list_unlike
from preprocessing.sets.class_names import find_spellings, holds_names, parse_name
from preprocessing.sets.labels import (
    SPLITS,
    ClipEntry,
    find_duplicates,
    find_split_videos,
    join_ids,
    parse_label,
    parse_split,
)
from preprocessing.sets.media_files import find_file, walk_files
from preprocessing.untrusted.names import compose_name
from preprocessing.untrusted.problems import Problem, RowProblem, refuse
from preprocessing.untrusted.tables import (
    find_decimal_mark,
    find_exact_columns,
    normalise_name,
    read_header,
    read_table,
)

EXTENSIONS = frozenset(".bmp .jpeg .jpg .png .tif .tiff .webp".split())
SHARES = (("test", 15), ("valid", 15))  # in percent, of sets without splits; the rest is train
FEWEST = 2
SHOWN = 3


@dataclass(frozen=True)
class PictureSet:
    """The pictures of a set.

    Attributes:
        entries: one per picture; `row` says where it stands.
        notes: what was left out or assumed, in words.
    """

    entries: list[ClipEntry]
    notes: list[str]


def read_pictures(source: Path) -> PictureSet:
    """The pictures of a folder of classes, of splits with classes, or of a table.

    Raises:
        UserError: no such source, no pictures, a single class, names that differ by case, a subject in two
            splits, two pictures of one name, or rows of a table that cannot be right.
    """
    if source.is_file():
        found = read_table_of_pictures(source)
    elif source.is_dir():
        found = read_folders(source)
    else:
        raise UserError(f"there is no folder or table {source}; name the folder of the pictures")
    entries = found.entries
    problems: list[Problem] = [*find_duplicates(entries), *find_split_videos(entries)]
    refuse([*problems, *find_spellings(entries)])
    names = {entry.class_name for entry in entries} - {None, ""}
    if names and len(names) < FEWEST:
        raise UserError(
            f"{source}: all pictures are of one class, {names.pop()}; classes need at least two: give each a "
            "folder of its own"
        )
    notes = [*list_lacking(entries), *list_copies(entries), *list_unlike(entries)]
    return PictureSet(entries, [*found.notes, *notes])


def read_folders(root: Path) -> PictureSet:
    """`<class>/…` or `<split>/<class>/…`; a set without splits is dealt by the names of its pictures."""
    top = [path.name for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    has_splits = bool(top) and all(name.lower() in SPLITS for name in top)
    depth = 2 if has_splits else 1  # folders above a picture that say what it is
    entries, other, loose = [], [], []
    for path in walk_files(root):
        parts = path.relative_to(root).parts
        if path.suffix.lower() not in EXTENSIONS:
            other.append(path.name)
        elif len(parts) <= depth:
            loose.append(path.name)
        else:
            entries.append(make_entry(path, parts, has_splits))
    if not entries:
        raise UserError(
            f"{root}: no picture ({', '.join(sorted(EXTENSIONS))}) in a folder of its class, as happy/1.jpg "
            "or train/happy/1.jpg"
        )
    notes = describe_left_out(other, "are no pictures")
    notes += describe_left_out(loose, "lie in no folder of a class")
    if not has_splits:
        notes.append(
            "no folders train, valid and test: pictures were dealt by their names, 70, 15 and 15 %; those of "
            "one person may lie in two splits (a table with a column subject keeps them together)"
        )
    return PictureSet(entries, notes)


def make_entry(path: Path, parts: Sequence[str], has_splits: bool) -> ClipEntry:
    """A picture by its place; each is a video of its own, since nothing says who is in it."""
    name = compose_name("_".join((*parts[:-1], path.stem)))
    split = parse_split(parts[0]) if has_splits else deal(name)
    return ClipEntry(name, name, split, None, path, str(Path(*parts)), compose_name(parts[int(has_splits)]))


def deal(name: str) -> str:
    """The split of a picture of that name, the same wherever it is dealt."""
    place = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) % 100
    for split, share in SHARES:
        if place < share:
            return split
        place -= share
    return "train"


def read_table_of_pictures(path: Path) -> PictureSet:
    """Columns path (relative to the table), label, and perhaps split and subject."""
    table = read_table(path, "a table of pictures")
    have = {normalise_name(name) for name in read_header(table)}
    wanted = {"path": "path", "label": "label"} | {n: n for n in ("split", "subject") if n in have}
    columns = find_exact_columns(table, wanted, "rename its columns")
    named = holds_names(table, columns.position["label"])
    mark = find_decimal_mark(table, columns.position["label"])
    entries, problems = [], []
    for number, cells in table.rows[1:]:
        try:
            entries.append(parse_row(columns.pick(cells), path.parent, table.where(number), named, mark))
        except RowProblem as problem:
            problems.append(table.report(number, problem))
    refuse(problems)
    if not entries:
        raise UserError(f"{path.name} has a header and no pictures: one row per picture")
    dealt = "no column split: pictures were dealt by their names (of subjects), 70, 15 and 15 %"
    return PictureSet(entries, [] if "split" in have else [dealt])


def parse_row(cells: dict[str, str], root: Path, where: str, named: bool, mark: str) -> ClipEntry:
    """One row of a table; a `RowProblem` says what is wrong with it."""
    if not cells["path"]:
        raise RowProblem("path is blank")
    if "subject" in cells and not cells["subject"]:
        raise RowProblem("subject is blank")
    file = find_file(root / cells["path"].replace("\\", "/"))
    if file is None:
        raise RowProblem(f"there is no file {cells['path']}", "no file")
    name = compose_name("_".join(Path(cells["path"].replace("\\", "/")).with_suffix("").parts)).strip("/_.")
    video, clip = join_ids(cells["subject"], name) if "subject" in cells else (name, name)
    split = parse_split(cells["split"]) if "split" in cells else deal(video)
    label = None if named else parse_label(cells["label"], True, mark)
    return ClipEntry(clip, video, split, label, file, where, parse_name(cells["label"]) if named else None)


def describe_left_out(names: Sequence[str], why: str) -> list[str]:
    """A note on files that are left out; none without any."""
    if not names:
        return []
    shown = ", ".join(names[:SHOWN]) + (" …" if len(names) > SHOWN else "")
    return [f"{len(names)} files {why} and are left out: {shown}"]


def list_lacking(entries: Sequence[ClipEntry]) -> list[str]:
    """Splits that have no picture."""
    have = {entry.split for entry in entries}
    lacking = [split for split in ("train", "valid", "test") if split not in have]
    return [f"no picture is in split {' or '.join(lacking)}"] if lacking else []


def list_copies(entries: Sequence[ClipEntry]) -> list[str]:
    """A note on pictures whose very bytes are in two splits: what is learned of them is not tested."""
    first: dict[bytes, ClipEntry] = {}
    copies = []
    for entry in entries:
        content = hashlib.sha256(entry.path.read_bytes()).digest()
        other = first.setdefault(content, entry)
        if other.split != entry.split:
            copies.append(f"{other.row} = {entry.row}")
    if not copies:
        return []
    shown = "; ".join(copies[:SHOWN]) + (" …" if len(copies) > SHOWN else "")
    return [f"{len(copies)} pictures have a copy in another split: {shown}"]
