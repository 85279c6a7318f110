"""The cache: one folder, one file per clip and stage.

    cache/<set>/
    ├── meta.json      format version; per stage: recipe, options, keys, unit and column names
    ├── index.csv      one row per clip; written last, so its presence means that the run is complete
    ├── stats.json     mean and standard deviation per feature column, train split only
    ├── failures.csv   clip_id, stage, error
    ├── remarks.csv    clip_id, stage, remark
    ├── last_run.json  how long the last run took, and what a second of video costs on this machine
    └── clips/<stage>-<recipe>/<clip_id>.safetensors, or <clip_id>.failed.json where the clip is at fault

Two finished caches of the same clips and settings are equal byte by byte in all files but `last_run.json`.

Everything is ragged and unpadded, in its raw dtype. Each sequence has its own `*_time` (seconds from the
clip's start) and, where it applies, `*_valid`.
"""

import csv
import errno
import io
import json
import re
import secrets
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from preprocessing.cache.checksums import DAMAGE, check_arrays, check_names, format_status, parse_status
from preprocessing.cache.facts import damage, is_imported, read_index, read_meta, read_stats
from preprocessing.errors import UserError, make_folder
from preprocessing.untrusted.names import bound_name, file_name

FORMAT_VERSION = 1
TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")  # names of files that are being written
Arrays = dict[str, np.ndarray]


def name_beside(path: Path) -> Path:
    """Where a file lies while it is written; `TEMPORARY` fits every such name."""
    return path.with_name(f".{bound_name(path.name, 255 - 14)}.{secrets.token_hex(4)}.tmp")


def write_atomic(path: Path, data: bytes) -> None:
    """Write aside, then rename: anyone who reads `path` sees all of it or nothing.

    The name beside belongs to this write alone: processes of several machines may share the folder.

    Raises:
        OSError: also where `path` is a folder or a device: renaming would replace `/dev/stdout`.
    """
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "it is a folder or a device", str(path))
    make_folder(path.parent)
    beside = name_beside(path)
    try:
        beside.write_bytes(data)
        beside.replace(path)
    except OSError as error:  # where writing ran out of room, it names no file
        if error.errno and not error.filename:
            error.filename = str(path)
        raise
    finally:
        beside.unlink(missing_ok=True)


class StageFiles:
    """The files of one stage, made with one recipe."""

    def __init__(self, root: Path, stage: str, recipe: str):
        self.root, self.stage = root, stage
        self.folder = root / "clips" / f"{stage}-{recipe}"

    def path(self, clip_id: str) -> Path:
        """Where the arrays of a clip lie."""
        return self.folder / f"{file_name(clip_id)}.safetensors"

    def write(self, clip_id: str, arrays: Mapping[str, np.ndarray], status: Mapping[str, Any]) -> None:
        """Store one clip's arrays and its status (`state`: `ok`, or why it has no rows; and remarks)."""
        # One metadata entry: the format does not keep the order of several, and equal input must give
        # equal bytes.
        whole = {key: np.ascontiguousarray(value) for key, value in arrays.items()}
        write_atomic(self.path(clip_id), save(whole, metadata={"status": format_status(status, whole)}))

    def read(self, clip_id: str, keys: Sequence[str] | None = None) -> Arrays:
        """A clip's arrays, or those of `keys`, as they were stored.

        Raises:
            UserError: the file is missing or damaged; names it and what to type.
        """
        return self._load(clip_id, keys)[1]

    def check(self, clip_id: str) -> dict[str, Any] | None:
        """The stored status, or None where the clip has no file that is as it was stored."""
        try:
            return self._load(clip_id)[0] if self.path(clip_id).is_file() else None
        except UserError:
            return None

    def status(self, clip_id: str) -> dict[str, Any] | None:
        """The stored status, or None where the clip has no readable file; the arrays are not looked at."""
        try:
            with self._open(clip_id) as file:
                return parse_status(file.metadata())[0]
        except UserError:
            return None

    def write_failure(self, clip_id: str, record: Mapping[str, Any]) -> None:
        """Remember that the clip itself is at fault, so that the next run need not find out again."""
        write_atomic(self._failure_path(clip_id), json.dumps(record, sort_keys=True).encode())

    def failure(self, clip_id: str) -> dict[str, Any] | None:
        """What was remembered, or None; at least `stage` and `error`."""
        try:
            record = json.loads(self._failure_path(clip_id).read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        texts = (record.get("stage"), record.get("error")) if isinstance(record, dict) else ()
        return record if texts and all(isinstance(text, str) for text in texts) else None

    def remove(self, clip_id: str) -> None:
        """Forget the clip: what was stored of it, or that it failed."""
        self.path(clip_id).unlink(missing_ok=True)
        self._failure_path(clip_id).unlink(missing_ok=True)

    def _failure_path(self, clip_id: str) -> Path:
        return self.folder / f"{file_name(clip_id)}.failed.json"

    def _load(self, clip_id: str, keys: Sequence[str] | None = None) -> tuple[dict[str, Any], Arrays]:
        with self._open(clip_id) as file:
            status, sums = parse_status(file.metadata())
            arrays = {key: file.get_tensor(key) for key in (keys or file.keys())}
            check_arrays(arrays, sums)
            if not keys:
                check_names(arrays, sums)
            return status, arrays

    @contextmanager
    def _open(self, clip_id: str) -> Iterator[Any]:
        path = self.path(clip_id)
        try:
            with safe_open(path, framework="numpy") as file:
                yield file
        except FileNotFoundError as error:
            raise UserError(f"{path} is missing: {self._say_repair(clip_id)}") from error
        except (SafetensorError, *DAMAGE) as error:
            text = " ".join(str(error).split())[:160]
            raise UserError(f"{path} is damaged ({text}): {self._say_repair(clip_id)}") from error

    def _say_repair(self, clip_id: str) -> str:
        if self.stage.endswith("_encoded"):
            return "type the same training command again, which computes it anew"
        command = "-m preprocessing --config CONFIG labels=LABELS out="
        if is_imported(self.root):
            command = "-m preprocessing.import_features FILES --out "
        return f"type the command that made the cache again, which redoes it: python {command}{self.root}"


def say_how_to_make(root: Path) -> str:
    """What to type for a folder that should be a cache and is none."""
    command = "python -m preprocessing --config configs/preprocess.yaml"
    is_raw = root.is_dir() and any(root.iterdir()) and not (root / "clips").is_dir()
    if not is_raw:
        return f"type: {command} labels=LABELS out={shlex.quote(str(root))}"
    name = root.resolve().name
    return (
        "it seems to hold raw clips, and a cache belongs into a folder of its own; "
        f"type: {command} labels={shlex.quote(str(root))} out={shlex.quote(f'cache/{name}')}"
    )


class ClipStore:
    """Read access to a finished cache.

    Args:
        root: the cache folder.

    Raises:
        UserError: no finished cache there, or one of another format version.

    Example:
        >>> store = ClipStore("cache/sample")                             # doctest: +SKIP
        >>> store.read("Oz06ZWiO20M_6", "behaviour")["behaviour_time"]    # doctest: +SKIP
    """

    def __init__(self, root: str | Path):
        self.root = Path(root)
        if not (self.root / "index.csv").is_file():
            raise UserError(
                f"{self.root} holds no finished cache (no index.csv); {say_how_to_make(self.root)}"
            )
        self.meta = read_meta(self.root)
        if self.meta["format"] != FORMAT_VERSION:
            raise UserError(
                f"{self.root} has cache format {self.meta['format']}, this program reads {FORMAT_VERSION}; "
                "run preprocessing again into a new folder"
            )
        self.index = read_index(self.root / "index.csv")
        lacking = [stage for stage in self.meta["stages"] if stage not in self.index]
        if lacking:
            raise damage(self.root / "index.csv", self.root, f"it has no column {', '.join(lacking)}")
        self._files = {
            stage: StageFiles(self.root, stage, entry["recipe"])
            for stage, entry in self.meta["stages"].items()
        }

    def read(self, clip_id: str, stage: str, keys: Sequence[str] | None = None) -> Arrays:
        """The arrays of one clip and stage; `keys` reads those alone."""
        if stage not in self._files:
            raise UserError(f"{self.root} has no stage '{stage}'; it has {', '.join(self._files)}")
        return self._files[stage].read(clip_id, keys)

    def columns(self, stage: str, key: str) -> list[str]:
        """Names of the feature columns of `key`.

        Raises:
            UserError: the cache has no such stage.
        """
        if stage not in self.meta["stages"]:
            raise UserError(f"{self.root} has no stage '{stage}'; it has {', '.join(self.meta['stages'])}")
        columns = self.meta["stages"][stage]["keys"].get(key, {}).get("columns")
        if columns is None:
            raise damage(self.root / "meta.json", self.root, f"it names no columns of {key}")
        return columns

    def recipe(self, stage: str) -> str:
        """The hash under which a stage's files lie."""
        return self.meta["stages"][stage]["recipe"]

    @property
    def stats(self) -> dict[str, dict[str, list[float]]]:
        """`{key: {"mean": [D], "std": [D]}}` over the valid rows of the train split."""
        return read_stats(self.root)

    @property
    def synthetic(self) -> bool:
        """Whether the clips were made by the sample generator: every table of results must say so."""
        return bool(self.meta.get("synthetic", False))


def write_table(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write a CSV in one atomic step."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, text.getvalue().encode())
