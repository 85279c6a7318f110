"""Feature files that are one table per split: MMSA's pickles, and `.npz` archives.

    pickle   {"train": {"vision": [N, T, D], "audio": [N, T, D], "regression_labels": [N], "id": [N]}, ...}
    .npz     train_vision [N, T, D], train_audio [N, T, D], train_y [N] or [N, L], and, if any, train_id [N]

Neither has times. Where all streams have equally many rows they are *aligned*, mostly to words: row i lies at
(i + 0.5) / rate, and cutting off padding moves the clip's start, not one stream against another. Otherwise
the rows of each stream that remain are spread evenly over the clip, and the rate is that of the stream with
the longest table. Both are assumptions, and `meta.json` calls them so.
"""

import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from preprocessing.cache.store import Arrays
from preprocessing.errors import UserError
from preprocessing.import_features.bounds import check_ratio, measure_archive, one_line
from preprocessing.import_features.pickles import load_pickle
from preprocessing.import_features.source import (
    ImportOptions,
    RawClip,
    make_entries,
    parse_id,
    pick_streams,
)
from preprocessing.sets.labels import SPLITS
from preprocessing.untrusted.problems import RowProblem, refuse

LABEL_NAMES = ("regression_labels", "labels", "label", "y")
ID_NAMES = ("id", "ids")
NO_FEATURES = ("text_bert",)  # token numbers and masks
ALIGNED_RATE = 2.5  # rows a second; English is spoken at two to three words a second
UNALIGNED_RATE = 25.0  # rows a second of the stream that has most, mostly one per video frame
MAX_VALUES = 10**9  # of one table given as lists


class TableSource:
    """A pickle or `.npz` file.

    Args:
        path: the file.
        options: streams, label column, rate.

    Raises:
        UserError: it cannot be read or is not of this shape, labels or ids are wrong.
    """

    def __init__(self, path: Path, options: ImportOptions):
        self.path = path
        tables = load_archive(path) if path.suffix.lower() == ".npz" else load_splits(path)
        self.notes: list[str] = []
        self._values = self._collect_streams(tables, options)
        first = next(iter(self._values.values()))
        self._rows = [(split, number) for split, arrays in first.items() for number in range(len(arrays))]
        self.columns = {
            name: [f"{name}_{number}" for number in range(next(iter(arrays.values())).shape[2])]
            for name, arrays in self._values.items()
        }
        lengths = {name: next(iter(arrays.values())).shape[1] for name, arrays in self._values.items()}
        self._longest = max(lengths, key=lengths.get)
        self.is_aligned = len(set(lengths.values())) == 1
        self.rate = options.rate or (ALIGNED_RATE if self.is_aligned else UNALIGNED_RATE)
        self.entries = make_entries(self._list_clips(tables, options), options.neutral, path)
        self.about = {
            "time": {
                "assumed": True,
                "rule": "aligned: row / rate" if self.is_aligned else "unaligned: evenly over the clip",
                "rate_hz": self.rate,
                "rate_of": "all streams" if self.is_aligned else self._longest,
            },
            "ids": self._ids_from,
        }
        given = "" if options.rate else ", assumed; --rate says another"
        self.notes.append(f"times: {self.about['time']['rule']}, {self.rate:g} rows a second{given}")

    def read(self, number: int) -> Arrays:
        """See `Source.read`."""
        split, row = self._rows[number]
        with np.errstate(all="ignore"):  # what becomes infinite, and NaN of any kind, is counted as missing
            return {n: np.asarray(arrays[split][row], np.float32) for n, arrays in self._values.items()}

    def place(self, number: int, spans: Mapping[str, tuple[int, int]]) -> tuple[Arrays, float]:
        """See `Source.place`."""
        del number
        if self.is_aligned:
            start, end = min(first for first, _ in spans.values()), max(last for _, last in spans.values())
            times = {n: (np.arange(*span) - start + 0.5) / self.rate for n, span in spans.items()}
            return times, (end - start) / self.rate
        first, last = spans.get(self._longest) or max(spans.values(), key=lambda span: span[1] - span[0])
        duration = (last - first) / self.rate
        return {n: spread_rows(stop - start, duration) for n, (start, stop) in spans.items()}, duration

    def _collect_streams(self, tables: dict[str, Arrays], options: ImportOptions) -> dict[str, Arrays]:
        """Per stream and split, rows [N, T, D]."""
        names = list(dict.fromkeys(name for table in tables.values() for name in table))
        three = [
            n for n in names if n not in NO_FEATURES and any(is_stream(t.get(n)) for t in tables.values())
        ]
        whole = [name for name in three if all(is_stream(table.get(name)) for table in tables.values())]
        picked = pick_streams(whole, options.streams)
        self._note_left_out([name for name in three if name not in picked], whole)
        for name in picked:
            shapes = {table[name].shape[1:] for table in tables.values()}
            if len({shape[1] for shape in shapes}) > 1:
                widths = ", ".join(f"{split} {table[name].shape[2]}" for split, table in tables.items())
                raise UserError(f"{self.path}: {name} must have the same columns in all splits, not {widths}")
        return {name: {split: table[name] for split, table in tables.items()} for name in picked}

    def _note_left_out(self, names: list[str], whole: list[str]) -> None:
        for name in names:
            why = "not asked for" if name in whole else "not in every split"
            self.notes.append(f"left out: {name} ({why})")

    def _list_clips(self, tables: dict[str, Arrays], options: ImportOptions):
        """Every clip with its ids, in the order of `self._rows`."""
        clips, problems, self._ids_from = [], [], "of the file"
        for split, table in tables.items():
            count = len(next(iter(self._values.values()))[split])
            label, ids = self._read_labels(split, table, options), self._read_ids(split, table)
            for found, what in ((len(label), "labels"), (len(ids), "ids")):
                if found != count:
                    raise UserError(f"{self.path}: {split} has {count} clips but {found} {what}")
            for number, (clip, value) in enumerate(zip(ids, label.tolist(), strict=True), start=1):
                raw = RawClip(clip, split, value, f"{self.path.name} {split} row {number}")
                try:
                    clips.append((raw, parse_id(clip)))
                except RowProblem as problem:
                    problems.append(problem.at(raw.row))
        refuse(problems)
        return clips

    def _read_labels(self, split: str, table: Arrays, options: ImportOptions) -> np.ndarray:
        name = next((name for name in LABEL_NAMES if name in table), None)
        if name is None:
            raise UserError(
                f"{self.path}: {split} has no labels; they are called one of {', '.join(LABEL_NAMES)}, "
                f"but there is {', '.join(table)}"
            )
        label = np.asarray(table[name])
        if label.dtype.kind not in "iufb":
            raise UserError(f"{self.path}: {split}'s {name} must be numbers, but are {label.dtype}")
        if label.ndim not in (1, 2) or not label.size:
            raise UserError(f"{self.path}: {split}'s {name} must be [N] or [N, L], but are {label.shape}")
        label = label.reshape(len(label), -1).astype(np.float64)
        if not 0 <= options.label_column < label.shape[1]:
            raise UserError(
                f"{self.path} has {label.shape[1]} label columns, counted from 0; "
                f"type --label-column 0 to {label.shape[1] - 1}"
            )
        if label.shape[1] > 1 and split == "train":
            self.notes.append(f"label: column {options.label_column} of {label.shape[1]}")
        return label[:, options.label_column]

    def _read_ids(self, split: str, table: Arrays) -> list[str]:
        """The clips' ids; made up where the file has none."""
        name = next((name for name in ID_NAMES if name in table), None)
        if name is not None:
            return [str(text) for text in np.asarray(table[name]).reshape(-1).tolist()]
        if self._ids_from == "of the file":
            self._ids_from = "made up: every row counts as a video of its own"
            self.notes.append(
                "the file has no ids: every row counts as a video of its own, and whether a video is in two "
                "splits cannot be checked"
            )
        count = len(next(iter(self._values.values()))[split])
        return [f"{split}{number:05d}_1" for number in range(1, count + 1)]


def is_stream(array: np.ndarray | None) -> bool:
    """Whether an array holds numbers [N, T, D]."""
    is_table = isinstance(array, np.ndarray) and array.ndim == 3 and array.shape[2] > 0
    return is_table and array.dtype.kind in "fiu"


def spread_rows(count: int, duration: float) -> np.ndarray:
    """Centres of `count` rows that share `duration` seconds evenly."""
    return (np.arange(count) + 0.5) * (duration / max(count, 1))


def load_archive(path: Path) -> dict[str, Arrays]:
    """`{split: {name: array}}` of an `.npz` file with keys `<split>_<name>`; others are not read."""
    with one_line(path, "archive of plain arrays"), zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        wanted = [name for name in names if name.partition("_")[0] in SPLITS and name.partition("_")[2]]
        if len(set(wanted)) < len(wanted):
            raise ValueError("an array is in it twice")
        check_ratio(path, measure_archive(archive, wanted))
        arrays = {name: read_array(archive, f"{name}.npy") for name in wanted}
    tables: dict[str, Arrays] = {}
    for key, array in arrays.items():
        split, _, name = key.partition("_")
        tables.setdefault(SPLITS[split], {})[name] = array
    return check_splits(path, tables, f"keys such as train_vision, but there is {list_names(names)}")


def read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """One array; no objects, which would be a pickle."""
    with archive.open(name) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def list_names(names: Iterable[Any]) -> str:
    """The first names of a file, for a message."""
    texts = [name[:40] for name in names if isinstance(name, str)]
    return ", ".join(texts[:12]) + (", …" if len(texts) > 12 else "") or "none"


def load_splits(path: Path) -> dict[str, Arrays]:
    """`{split: {name: array}}` of a pickle."""
    content = load_pickle(path)
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold a dict of splits, but holds a {type(content).__name__}")
    tables = {
        SPLITS[split]: {name: as_array(value) for name, value in table.items() if isinstance(name, str)}
        for split, table in content.items()
        if isinstance(split, str) and split in SPLITS and isinstance(table, dict)
    }
    return check_splits(path, tables, f"splits in a dict, but there is {list_names(content)}")


def as_array(value: Any) -> np.ndarray:
    """A list or array; nothing that is no regular table (lists of unequal lengths) becomes one."""
    try:
        return np.asarray(value) if count_values(value, {}) <= MAX_VALUES else np.empty(0)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return np.empty(0)


def count_values(value: Any, known: dict[int, int]) -> int:
    """Values of nested lists. A pickle may name one list often: thirty levels of pairs are 2^30 values."""
    if not isinstance(value, list | tuple):
        return getattr(value, "size", 1)
    if id(value) not in known:
        known[id(value)] = MAX_VALUES + 1  # a list in itself has no end
        known[id(value)] = sum(count_values(one, known) for one in value)
    return known[id(value)]


def check_splits(path: Path, tables: dict[str, Arrays], wanted: str) -> dict[str, Arrays]:
    """The splits in their usual order.

    Raises:
        UserError: there is no train split.
    """
    if "train" not in tables:
        raise UserError(f"{path} has no train split: wanted are {wanted}")
    return {split: tables[split] for split in ("train", "valid", "test") if split in tables}
