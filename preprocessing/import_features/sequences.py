"""CMU's computational sequences (`.csd`): one HDF5 file per stream, rows with start and end in seconds.

    /<root name>/data/<entry>/features    [T, D] numbers
    /<root name>/data/<entry>/intervals   [T, 2] seconds in the source video
    /<root name>/metadata/<key>           [1] JSON text

An entry is a whole video, or, after the SDK's alignment, `video[3]`, one of its segments. The label file's
entries say which clips there are: each row of a whole video's labels is a clip, numbered from 0 as the SDK
does, and so is each `video[3]`. A clip's rows are those whose centre lies in its interval.
"""

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from preprocessing.cache.checksums import DAMAGE
from preprocessing.errors import UserError
from preprocessing.import_features.bounds import check_ratio, find_child, find_dataset, one_line
from preprocessing.import_features.heap import read_text
from preprocessing.import_features.source import (
    ImportOptions,
    RawClip,
    check_stream,
    make_entries,
    pick_streams,
)
from preprocessing.sets.labels import join_ids, read_folds
from preprocessing.untrusted.problems import RowProblem, refuse

SEGMENT = re.compile(r"(.+)\[([0-9]+)\]")


def load_h5py() -> ModuleType:
    """h5py, which is needed for these files alone.

    Raises:
        UserError: it is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise UserError("reading .csd files needs h5py; type: pip install h5py") from error
    return h5py


class SequenceFile:
    """One opened `.csd` file.

    Args:
        path: the file.

    Raises:
        UserError: it is no computational sequence of numbers.
    """

    def __init__(self, path: Path):
        self.path = path
        h5py = load_h5py()
        with one_line(path, "HDF5 file"):
            self._file = h5py.File(path, "r")
            self.name = next(iter(self._file), "")
            root = find_child(self._file, self.name, path) if self.name else None
            self._data, self._metadata = (find_child(root, part, path) for part in ("data", "metadata"))
            if not isinstance(self._data, h5py.Group) or not len(self._data):
                raise UserError(f"{path} is no computational sequence: it has no /NAME/data with entries")
            self.entries = list(self._data)
            self.width = self._check(self.entries[0])[0].shape[1]
            check_ratio(path, sum(data.nbytes for entry in self.entries for data in self._check(entry)))

    def intervals(self, entry: str) -> np.ndarray:
        """Start and end of each row [T, 2], in seconds of the source video."""
        with one_line(self.path, "whole HDF5 file"):
            return self._check(entry)[1][:].astype(np.float64)

    def features(self, entry: str, rows: slice = slice(None)) -> np.ndarray:
        """Rows [T, D] of an entry."""
        with one_line(self.path, "whole HDF5 file"), np.errstate(all="ignore"):  # counted later
            return self._check(entry)[0][rows].astype(np.float32)

    def column_names(self, stream: str) -> list[str]:
        """As the file's metadata have them, else numbered."""
        try:
            names = json.loads(
                read_text(self.path, find_dataset(self._metadata, "dimension names", self.path))
            )
        except (*DAMAGE, RuntimeError):
            names = None
        if isinstance(names, list) and len(names) == self.width and len(set(map(str, names))) == self.width:
            return [str(name) for name in names]
        return [f"{stream}_{number}" for number in range(self.width)]

    def __contains__(self, entry: str) -> bool:
        return entry in self._data

    def _check(self, entry: str) -> tuple[Any, Any]:
        """The two data sets of an entry, of the right form."""
        group = find_child(self._data, entry, self.path)
        features, intervals = (find_dataset(group, name, self.path) for name in ("features", "intervals"))
        if features is None or intervals is None:
            raise UserError(f"{self.path}: entry '{entry}' lacks features or intervals")
        if features.dtype.kind not in "iufb" or intervals.dtype.kind not in "iuf":
            raise UserError(f"{self.path}: features must be numbers, but '{entry}' holds texts; leave it out")
        if features.ndim != 2 or intervals.shape != (len(features), 2):
            raise UserError(
                f"{self.path}: entry '{entry}' must have features [T, D] and intervals [T, 2], "
                f"but has {features.shape} and {intervals.shape}"
            )
        if not features.shape[1]:
            raise UserError(f"{self.path}: entry '{entry}' has no column; leave it out")
        if features.shape[1] != getattr(self, "width", features.shape[1]):
            raise UserError(
                f"{self.path}: entry '{entry}' has {features.shape[1]} columns, others {self.width}"
            )
        return features, intervals


class SequenceSource:
    """Several `.csd` files of one data set.

    Args:
        paths: stream → file; a stream called "" takes the name of its file's root.
        labels: the label file; a `folds.csv` (video_id, split) beside it says which video belongs to which
            split, without one MOSI's official folds hold.
        options: streams, label column.

    Raises:
        UserError: a file is of another kind, or a label or split is wrong.
    """

    def __init__(self, paths: list[tuple[str, Path]], labels: Path, options: ImportOptions):
        opened = [(name, SequenceFile(path)) for name, path in paths]
        named = [(check_stream(name or plain_name(file.name)), file) for name, file in opened]
        if len({name for name, _ in named}) < len(named):
            raise UserError("two files have the same stream name; type NAME=FILE for each")
        picked = pick_streams([name for name, _ in named], options.streams or [name for name, _ in named])
        self._files = {name: file for name, file in named if name in picked}
        self.columns = {name: file.column_names(name) for name, file in self._files.items()}
        self.notes: list[str] = []
        self._clips: list[tuple[str, int, float, float]] = []  # video, segment, start and end
        self.entries = make_entries(
            self._list_clips(SequenceFile(labels), labels, options), options.neutral, labels
        )
        self.about = {
            "time": {"assumed": False, "rule": "centre of each row's interval, from the clip's start"},
            "ids": "of the file; segments counted from 0 as the SDK does",
            "roots": {name: file.name for name, file in self._files.items()},
        }
        # Per stream, the entry that was read last and the centres of its rows.
        self._centres: dict[str, tuple[str, np.ndarray]] = {}

    def read(self, number: int) -> dict[str, np.ndarray]:
        """See `Source.read`; a stream that the file lacks for this clip has no rows."""
        return {name: self._read_rows(number, name) for name in self._files}

    def place(self, number: int, spans: Mapping[str, tuple[int, int]]) -> tuple[dict[str, np.ndarray], float]:
        """See `Source.place`."""
        start, end = self._clips[number][2:]
        times = {n: self._find_rows(number, n)[2][first:last] - start for n, (first, last) in spans.items()}
        return times, end - start

    def _find_rows(self, number: int, name: str) -> tuple[str, np.ndarray, np.ndarray]:
        """Entry of a stream, which of its rows belong to a clip [T], and their centres [T] in the video."""
        video, segment, start, end = self._clips[number]
        own = f"{video}[{segment}]"
        entry = own if own in self._files[name] else video
        if entry not in self._files[name]:
            return entry, np.zeros(0, np.int64), np.zeros(0)
        if self._centres.get(name, ("",))[0] != entry:
            self._centres[name] = entry, self._files[name].intervals(entry).mean(axis=1)
        centre = self._centres[name][1]
        inside = np.flatnonzero((centre >= start) & (centre < end))
        inside = inside[np.argsort(centre[inside], kind="stable")]
        return entry, inside, centre[inside]

    def _read_rows(self, number: int, name: str) -> np.ndarray:
        """Rows [T, D] of a stream in a clip; what lies between them is read along, as one block."""
        entry, inside, _ = self._find_rows(number, name)
        if not len(inside):
            return np.zeros((0, self._files[name].width), np.float32)
        first = int(inside.min())
        block = self._files[name].features(entry, slice(first, int(inside.max()) + 1))
        return block[inside - first]

    def _list_clips(self, file: SequenceFile, path: Path, options: ImportOptions):
        """Every clip of the label file with its ids."""
        if not 0 <= options.label_column < file.width:
            raise UserError(f"{path} has {file.width} label columns; type --label-column 0")
        folds, clips, problems = read_folds(path.parent), [], []
        for video, segment, start, end, label in list_segments(file, options.label_column):
            row = f"{path.name} {video}[{segment}]"
            try:
                if video not in folds:
                    raise RowProblem(
                        f"video {video} is in no split: list it in a folds.csv (video_id,split) beside it",
                        "no split",
                    )
                clips.append((RawClip("", folds[video], label, row), join_ids(video, str(segment))))
                self._clips.append((video, segment, start, end))
            except RowProblem as problem:
                problems.append(problem.at(row))
        refuse(problems)
        return clips


def list_segments(file: SequenceFile, column: int) -> list[tuple[str, int, float, float, float]]:
    """Video, segment, start, end and label of every clip of a label file, video by video."""
    found = defaultdict(list)
    for entry in file.entries:
        segment, (labels, intervals) = SEGMENT.fullmatch(entry), (file.features(entry), file.intervals(entry))
        check_intervals(file.path, entry, intervals)
        if segment and len(labels):
            ends = intervals[:, 0].min(), intervals[:, 1].max()
            found[segment[1]].append((int(segment[2]), *map(float, ends), float(labels[0, column])))
            continue
        for number, (label, (start, end)) in enumerate(zip(labels[:, column], intervals, strict=True)):
            found[entry].append((number, float(start), float(end), float(label)))
    return [(video, *clip) for video, clips in found.items() for clip in sorted(clips)]


def check_intervals(path: Path, entry: str, intervals: np.ndarray) -> None:
    """Refuse clips that end before they begin, or whose times are no numbers.

    Raises:
        UserError: names the entry.
    """
    if not np.isfinite(intervals).all() or (intervals[:, 0] > intervals[:, 1]).any():
        raise UserError(f"{path}: intervals of '{entry}' must be start and end in seconds; repair that entry")


def plain_name(root: str) -> str:
    """A stream's name from a file's root name: `FACET 4.2` → `facet_4_2`."""
    return re.sub(r"[^a-z0-9]+", "_", root.lower()).strip("_")
