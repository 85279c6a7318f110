"""Turns stored clips into a cache: statistics, tables, `meta.json` and, last of all, the index.

The pipeline, the import of features and a stream of your own all end here.
"""

import csv
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from preprocessing.cache.facts import CLASS_NAME, INDEX_NUMBERS, INDEX_TEXT
from preprocessing.cache.stats import compute_stats
from preprocessing.cache.store import FORMAT_VERSION, ClipStore, StageFiles, write_atomic, write_table
from preprocessing.errors import UserError
from preprocessing.settings import digest
from preprocessing.untrusted.names import PLAIN

UNUSABLE = frozenset(("failed", "refused"))  # states of clips that are not in the cache
NO_ROWS = "no_rows"  # state of a clip in a stream of which it has no row
FAILURE_COLUMNS, REMARK_COLUMNS = ("clip_id", "stage", "error"), ("clip_id", "stage", "remark")


class CacheWriter:
    """Finishes a cache whose clips are stored.

    Args:
        root: its folder.
        files: per stage, its files.
        features: per stage, the arrays whose statistics over the train split are kept.
        stages: `meta.json`'s entry per stage; the index has a column for each, in this order.
    """

    def __init__(
        self,
        root: Path,
        files: Mapping[str, StageFiles],
        features: Mapping[str, Sequence[str]],
        stages: Mapping[str, Mapping[str, Any]],
    ):
        self.root, self.files, self.features, self.stages = root, files, features, stages
        self.known_stats: Mapping[str, Any] = {}

    def finish(
        self,
        rows: Sequence[Mapping[str, Any]],
        about: Mapping[str, Any],
        tables: Mapping[str, Sequence[Mapping[str, str]]],
        summary: Mapping[str, Any] | None = None,
    ) -> None:
        """Write everything but the clips; without an index the cache is not finished.

        Args:
            rows: lines of the index, with a state per stage.
            about: what `meta.json` says beside the stages.
            tables: `failures` and `remarks`, each with its lines.
            summary: the cache in a few numbers; None leaves that file as it is.
        """
        train = [row["clip_id"] for row in list_usable(rows, self.stages) if row["split"] == "train"]
        stats = {**self.known_stats, **compute_stats(self.files, train, self.features)}
        meta = {"format": FORMAT_VERSION, **about, "stages": self.stages}
        for name, lines in tables.items():
            columns = FAILURE_COLUMNS if name == "failures" else REMARK_COLUMNS
            write_table(self.root / f"{name}.csv", lines, columns)
        contents = {"stats": stats, "meta": meta} | ({"summary": summary} if summary is not None else {})
        for name, content in contents.items():
            write_atomic(self.root / f"{name}.json", (json.dumps(content, indent=1) + "\n").encode())
        names = [CLASS_NAME] if any(CLASS_NAME in row for row in rows) else []
        write_table(self.root / "index.csv", rows, (*INDEX_TEXT, *names, *INDEX_NUMBERS, *self.stages))


def list_usable(rows: Iterable[dict[str, Any]], stages: Collection[str]) -> list[dict[str, Any]]:
    """The lines of the index whose clips are in the cache."""
    return [row for row in rows if not any(row.get(stage) in UNUSABLE for stage in stages)]


class AddedStream:
    """A stream of your own, added to a finished cache: write every clip, then finish.

    The stage, its array and the stream have one name. Run it again after preprocessing has changed the cache.

    Args:
        cache: folder of the cache.
        name: of the stream: letters, digits, `_`, no stage of the program.
        columns: names of the values in a row.
        unit: of the values.
        version: raise it when your code changes its results.
        after: stages that the rows are computed from.
        options: what else they depend on.

    Raises:
        UserError: no finished cache there, or the name is taken.
    """

    def __init__(
        self,
        cache: str | Path,
        name: str,
        columns: Sequence[str],
        unit: str = "",
        version: int = 1,
        after: Sequence[str] = (),
        options: Mapping[str, Any] | None = None,
    ):
        self.store, self.name, self.columns = ClipStore(cache), name, list(columns)
        self.former = {stage: entry for stage, entry in self.store.meta["stages"].items() if stage != name}
        if not PLAIN.fullmatch(name) or "tools" in self.store.meta["stages"].get(name, {}):
            raise UserError(f"a stream's name is letters, digits and _, and no stage's; rename '{name}'")
        before = [self.store.recipe(stage) for stage in after]
        self.entry = {
            "recipe": digest(name, version, options or {}, *before),
            "version": version,
            "options": dict(options or {}),
            "keys": {name: {"unit": unit, "columns": self.columns}},
        }
        self.files = StageFiles(self.store.root, name, self.entry["recipe"])
        with (self.store.root / "index.csv").open(newline="", encoding="utf-8") as file:
            self.rows = {row["clip_id"]: row for row in csv.DictReader(file)}

    def __iter__(self) -> Iterator[str]:
        """Ids of the clips that are in the cache."""
        return (row["clip_id"] for row in list_usable(self.rows.values(), self.former))

    def write(self, clip_id: str, rows: np.ndarray, time: np.ndarray) -> None:
        """Store one clip.

        Args:
            clip_id: of the cache.
            rows: [T, columns] numbers; T may be 0.
            time: [T] seconds on the clip's clock: 0 is the start of its earliest stream.

        Raises:
            UserError: the shapes do not fit.
        """
        values, time = np.asarray(rows, np.float32), np.asarray(time, np.float64)
        if values.shape != (len(time), len(self.columns)):
            raise UserError(
                f"rows of '{self.name}' are [{len(time)}, {len(self.columns)}] (times, columns), but "
                f"{clip_id} has {list(values.shape)}"
            )
        status = {"state": "ok" if len(values) else NO_ROWS}
        self.files.write(clip_id, {self.name: values, f"{self.name}_time": time}, status)

    def finish(self) -> str:
        """Statistics, `meta.json` and the index; returns what was added, in one line.

        Raises:
            UserError: a clip was not written.
        """
        gone = [clip_id for clip_id in self if self.files.status(clip_id) is None]
        if gone:
            raise UserError(f"{len(gone)} clips have no rows of '{self.name}' (first: {gone[0]}); write each")
        rows = list(self.rows.values())
        for row in rows:
            unusable = [row[stage] for stage in self.former if row[stage] in UNUSABLE]
            row[self.name] = unusable[0] if unusable else self.files.status(row["clip_id"])["state"]
        meta = {key: value for key, value in self.store.meta.items() if key != "stages"}
        stages = {**self.former, self.name: self.entry}
        writer = CacheWriter(self.store.root, {self.name: self.files}, {self.name: (self.name,)}, stages)
        writer.known_stats = self.store.stats
        writer.finish(rows, meta, {})
        found = sum(row[self.name] == "ok" for row in rows)
        return f"{self.name}: {found} of {len(rows)} clips"
