"""Reads OpenFace 2.x CSVs, refuses those that are not whole, and puts them on the decoder's clock.

Two things make an OpenFace CSV treacherous. A frame without a face still has a full row of numbers (a
head 37 km away, action units smoothed in from the frames around it), and a CSV of half a clip looks like
the CSV of a shorter one. So a row counts only where the tracker succeeded *and* is confident, and a
table counts only where its rows match the decoded frames.

Source: Baltrusaitis et al., "OpenFace 2.0: Facial Behavior Analysis Toolkit", FG 2018.
"""

import gzip
import itertools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

import numpy as np

from preprocessing.config import OpenFaceConfig
from preprocessing.errors import UserError
from preprocessing.openface.columns import INDEX_COLUMNS, describe_columns
from preprocessing.sets.media_files import find_file
from preprocessing.untrusted.names import compose_name

# A frame's number is a place in an array; 1e6 is 1 km in mm, and far beyond any angle, pixel or intensity.
LAST_FRAME, LARGEST_VALUE = 10**9, 1e6


class OpenFaceError(UserError):
    """One clip's OpenFace result cannot be used; the message is one line that says why."""


@dataclass(frozen=True)
class OpenFaceTable:
    """The rows of one CSV as they stand, failed frames included.

    Attributes:
        frame: [N] int64, 1-based number of the decoded frame, strictly increasing.
        success: [N] bool, the tracker's own verdict.
        confidence: [N] float32 in [0, 1].
        columns: D names.
        values: [N, D] float32; a row where the tracker failed holds numbers too, and they mean nothing.
    """

    frame: np.ndarray
    success: np.ndarray
    confidence: np.ndarray
    columns: tuple[str, ...]
    values: np.ndarray


def find_openface_csv(csv_dir: str | Path, clip_id: str, stem: str) -> Path:
    """Find the existing CSV of one clip.

    It may be named by the clip id or by the clip file's stem, plain or gzipped. A stem that is only a
    number (the layout `<video_id>/<number>.mp4`) names a clip within its video, so it is looked for in
    the video's own folder: in the flat folder it would match a clip of every video.

    Args:
        csv_dir: folder of CSVs.
        clip_id: `<video_id>_<clip number>`.
        stem: name of the clip's file without its extension.

    Raises:
        UserError: no folder, no such CSV, or more than one; the message names what was looked for.
    """
    folder = Path(csv_dir)
    if not csv_dir or not folder.is_dir():
        raise UserError(f"openface_csv needs a folder of CSVs, '{csv_dir}' is none: set `csv_dir`")
    by_stem = f"{clip_id.rsplit('_', 1)[0]}/{stem}" if stem.isdigit() else stem
    bases = dict.fromkeys(map(compose_name, (clip_id, by_stem)))
    wanted = [f"{base}{end}" for base in bases for end in (".csv", ".csv.gz")]
    found = {name: path for name in wanted if (path := find_file(folder / name))}
    if not found:
        raise UserError(f"no OpenFace CSV of clip {clip_id} in {folder}: add one of {', '.join(wanted)}")
    if len(found) > 1:
        raise UserError(
            f"{len(found)} OpenFace CSVs of clip {clip_id} in {folder}: keep one of {', '.join(found)}"
        )
    return next(iter(found.values()))


def read_openface_csv(path: str | Path, config: OpenFaceConfig) -> OpenFaceTable:
    """Read the asked columns of an OpenFace 2.x CSV, by name.

    Both written forms are read: `,` (2.1 and later) and `", "` (2.0). `timestamp` is not read: it is
    (frame - 1) / fps, which is wrong on files of variable rate; times come from the decoder
    (`behaviour_from_openface`).

    Args:
        path: `.csv` or `.csv.gz`.
        config: its `groups` say which columns.

    Returns:
        Every row of the file, failed frames included.

    Raises:
        OpenFaceError: the file is not a whole OpenFace CSV of one face: unreadable, a column is missing,
            no row, a row is cut off, a value is not a number, frame numbers do not increase.
    """
    path = Path(path)
    columns = tuple(describe_columns(config.groups))
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig") as file:  # -sig: spreadsheets put a mark before `frame`
            header = _read_header(file, columns, path)
            rows = _iterate_rows(file, len(header), path)
            first = next(rows, None)
            if first is None:
                raise OpenFaceError(
                    f"{path.name} has a header and no row: OpenFace decoded no frame of the clip"
                )
            picked = [header.index(name) for name in (*INDEX_COLUMNS, *columns)]
            lines = itertools.chain([first], rows)
            numbers = np.loadtxt(lines, delimiter=",", usecols=picked, ndmin=2, comments=None)  # [N, 4 + D]
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise OpenFaceError(f"{path.name} cannot be read as text ({error}): write it again") from error
    except ValueError as error:
        raise OpenFaceError(
            f"{path.name} holds a value that is not a number ({error}): run OpenFace again"
        ) from error
    return _build_table(numbers, columns, path)


def pick_columns(table: OpenFaceTable, names: list[str]) -> OpenFaceTable:
    """The same rows with these columns alone."""
    places = [table.columns.index(name) for name in names]
    return replace(table, columns=tuple(names), values=table.values[:, places])


def check_frame_count(table: OpenFaceTable, n_frames: int, max_missing: float) -> None:
    """Refuse a table that is not of this clip, or only of a part of it.

    Args:
        table: rows of one CSV.
        n_frames: frames that the decoder gave for the clip.
        max_missing: share of them that may lack a row.

    Raises:
        OpenFaceError: rows beyond the last frame, or too few rows; both numbers are named.
    """
    n_rows, last = len(table.frame), int(table.frame[-1])
    if last > n_frames:
        raise OpenFaceError(
            f"the OpenFace CSV has {n_rows} rows up to {last}, the decoder found {n_frames} frames: "
            "it belongs to another file or cut; run OpenFace on this clip"
        )
    if n_frames - n_rows > max_missing * n_frames:
        raise OpenFaceError(
            f"the OpenFace CSV has {n_rows} rows, the decoder found {n_frames} frames: more than "
            f"{max_missing:.0%} is missing; run OpenFace on the whole clip, or raise `max_missing`"
        )


def check_range(table: OpenFaceTable, trusted: np.ndarray) -> None:
    """Refuse a table with a value that OpenFace cannot have measured, such as 1e30: the file is damaged.

    Args:
        table: rows of one CSV.
        trusted: [N] rows that count; the others may hold anything.

    Raises:
        OpenFaceError: names the first such value.
    """
    beyond = trusted[:, None] & (np.abs(table.values) > LARGEST_VALUE)  # [N, D]
    if beyond.any():
        row, column = np.argwhere(beyond)[0]
        raise OpenFaceError(
            f"frame {table.frame[row]} of the OpenFace CSV has {table.columns[column]} "
            f"{table.values[row, column]:.6g}, which is out of range: the file is damaged, run OpenFace again"
        )


def behaviour_from_openface(
    table: OpenFaceTable, frame_time: np.ndarray, config: OpenFaceConfig
) -> dict[str, np.ndarray]:
    """Put the rows on the decoder's clock, one row per decoded frame, and say which of them are data.

    A row is valid where OpenFace succeeded with at least `min_confidence` and all its values are finite.
    Frames without a row are invalid rows, so that nothing shifts in time. Invalid rows hold zeros, never
    the numbers that OpenFace leaves behind: they are to be masked, not read.

    Args:
        table: rows of the clip's CSV.
        frame_time: [T] seconds of each decoded frame from the clip's start; row n is frame_time[n - 1].
        config: `min_confidence` and `max_missing`.

    Returns:
        `behaviour` float32 [T, D], `behaviour_time` float64 [T], `behaviour_valid` bool [T] and
        `behaviour_confidence` float32 [T] (0 where there is no row).

    Raises:
        OpenFaceError: rows and frames do not match, see `check_frame_count`, or a value is out of range.
    """
    n_frames = len(frame_time)
    check_frame_count(table, n_frames, config.max_missing)
    confident = table.confidence >= np.float32(config.min_confidence)
    trusted = table.success & confident & np.isfinite(table.values).all(axis=1)  # [N]
    check_range(table, trusted)
    index = table.frame - 1  # [N] out of range(T)
    behaviour = np.zeros((n_frames, len(table.columns)), np.float32)  # [T, D]
    valid = np.zeros(n_frames, bool)
    confidence = np.zeros(n_frames, np.float32)
    behaviour[index[trusted]] = table.values[trusted]
    valid[index] = trusted
    confidence[index] = np.nan_to_num(table.confidence)
    return {
        "behaviour": behaviour,
        "behaviour_time": np.asarray(frame_time, np.float64),
        "behaviour_valid": valid,
        "behaviour_confidence": confidence,
    }


def _read_header(file: TextIO, columns: tuple[str, ...], path: Path) -> list[str]:
    header = [name.strip() for name in file.readline().split(",")]
    missing = [name for name in (*INDEX_COLUMNS, *columns) if name not in header]
    if missing:
        shown = ", ".join(missing[:4]) + (f" and {len(missing) - 4} more" if len(missing) > 4 else "")
        raise OpenFaceError(
            f"{path.name} lacks the columns {shown}: run FeatureExtraction with the options that write "
            "them, or ask for other `groups`"
        )
    if len(set(header)) < len(header):
        raise OpenFaceError(f"{path.name} names a column twice: it is not as OpenFace wrote it; run it again")
    return header


def _iterate_rows(file: TextIO, width: int, path: Path) -> Iterator[str]:
    """Yield the rows, refuse a cut one; OpenFace ends the last row too, so no line end means a cut."""
    for number, row in enumerate(file, start=1):
        fields, ending = row.count(",") + 1, "a" if row.endswith("\n") else "no"
        if fields != width or ending == "no":
            raise OpenFaceError(
                f"{path.name} is cut off: row {number} has {fields} of {width} values and {ending} line "
                "end; OpenFace was interrupted, run it again"
            )
        yield row


def _build_table(numbers: np.ndarray, columns: tuple[str, ...], path: Path) -> OpenFaceTable:
    frame, face_id, confidence, success = numbers[:, : len(INDEX_COLUMNS)].T  # each [N]
    if face_id.any():
        raise OpenFaceError(f"{path.name} holds several faces: use FeatureExtraction, which follows one")
    counted = np.isfinite(frame).all() and (frame == np.floor(frame)).all()
    if not counted or frame[0] < 1 or frame[-1] > LAST_FRAME or (np.diff(frame) <= 0).any():
        raise OpenFaceError(
            f"{path.name} must number its frames upwards from 1, each once: run OpenFace again"
        )
    if not np.isin(success, (0, 1)).all():
        raise OpenFaceError(f"{path.name} has a `success` that is neither 0 nor 1: run OpenFace again")
    if (np.abs(confidence - 0.5) > 0.5).any():  # not those that are no number
        raise OpenFaceError(f"{path.name} has a `confidence` outside [0, 1]: run OpenFace again")
    with np.errstate(over="ignore"):  # infinite values are not trusted
        values = numbers[:, len(INDEX_COLUMNS) :].astype(np.float32)  # [N, D]
    return OpenFaceTable(
        frame=frame.astype(np.int64),
        success=success == 1,
        confidence=confidence.astype(np.float32),
        columns=columns,
        values=values,
    )
