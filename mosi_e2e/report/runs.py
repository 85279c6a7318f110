"""Run folders, found and read. What cannot be read is kept as a remark: a report drops nothing silently."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd

from mosi_e2e.config import SPLITS, TASKS
from mosi_e2e.report.records import (
    ENVIRONMENT,
    FACTS,
    METRICS,
    read_config,
    read_history,
    read_record,
)
from mosi_e2e.scores.class_metrics import check_classes
from mosi_e2e.scores.class_predictions import PREDICTED, find_classes, name_probabilities, read_class_table
from mosi_e2e.scores.predictions import read_run_table
from preprocessing.errors import UserError

POOLED_FACTS = Path("fold0", "best", "facts.json")  # of a folder whose folds were pooled
SEED_FOLDER = re.compile(r"seed\d+")
NEEDED = ("clip_id", "video_id", "label", "score")


@dataclass(frozen=True)
class Run:
    """One run folder.

    Attributes:
        folder: of the run.
        name: its path below the folder that was given.
        config: `config.yaml` as nested plain values; not checked against today's schema, so that old runs
            can be shown.
        environment: `environment.json`, or nothing.
        facts: of `best/facts.json`: labels of the train split, whether the clips are synthetic; or nothing.
        history: one row per epoch; None before the first has ended.
        tables: predictions by split: labelled clips, sorted by clip.
        written: `metrics_<split>.json` by split.
        faults: what is there and cannot be read.
    """

    folder: Path
    name: str
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    facts: Mapping[str, Any]
    history: pd.DataFrame | None
    tables: Mapping[str, pd.DataFrame]
    written: Mapping[str, dict]
    faults: Sequence[str] = field(default_factory=tuple)

    @property
    def task(self) -> str:
        """What it predicts."""
        return self.config["task"]

    @property
    def monitor(self) -> str:
        """The metric of valid by which its best epoch was chosen."""
        return {"regression": "mae", "binary": "nll", "classes": "uar"}[self.task]

    @property
    def classes(self) -> list[str]:
        """Names of its classes; none of other tasks."""
        shown = next(iter(self.tables.values()), None)
        return [] if shown is None else find_classes(list(shown))

    @property
    def zero_label(self) -> str:
        """What its binary metrics do with labels of 0."""
        return self.config.get("zero_label", "drop")

    @property
    def seed(self) -> int | None:
        """Its seed; None where its settings lack it."""
        return self.config.get("seed")

    @property
    def model(self) -> str:
        """The name of its model."""
        return (self.config.get("model") or {}).get("name", "unknown")

    @property
    def variant(self) -> str | None:
        """Where the run lies in `<ablation>/<variant>/seed<k>`, its variant."""
        is_seed = SEED_FOLDER.fullmatch(self.folder.name) and "/" in self.name
        return self.folder.parent.name if is_seed else None

    @property
    def place(self) -> Path:
        """The folder of the runs that it is compared with."""
        return self.folder.parent.parent if self.variant else self.folder.parent

    @property
    def data_set(self) -> str:
        """The name of its cache's folder."""
        path = (self.environment.get("cache") or {}).get("path") or (self.config.get("data") or {}).get(
            "cache"
        )
        return PurePath(str(path)).name if path else "unknown data"

    @property
    def is_trained_on_synthetic(self) -> bool:
        """Whether its training clips were made up."""
        return bool((self.environment.get("cache") or {}).get("synthetic") or self.facts.get("synthetic"))

    def has_synthetic(self, split: str) -> bool:
        """Whether a split's clips are synthetic: as its metrics say, else as those of the training."""
        return bool(self.written.get(split, {}).get("synthetic", self.is_trained_on_synthetic))

    @property
    def train_label(self) -> np.ndarray | None:
        """Labels of its training clips, where it keeps them."""
        label = self.facts.get("train_label")
        return np.array(label, dtype=np.float64) if label else None

    @property
    def epochs(self) -> int:
        """How many epochs it took."""
        return 0 if self.history is None else len(self.history)

    @property
    def seconds(self) -> float | None:
        """Wall time of its epochs, training and validation."""
        has = self.history is not None and "seconds" in self.history
        return float(self.history.seconds.sum()) if has else None

    def choose_split(self, wanted: str) -> str | None:
        """The split that is shown: the wanted one, otherwise valid, otherwise none."""
        return next((split for split in (wanted, "valid") if split in self.tables), None)


def read_runs(roots: Sequence[Path]) -> tuple[list[Run], list[str]]:
    """All runs at or below `roots`, by name, and remarks on folders that hold none.

    Raises:
        UserError: a root is no folder, or there is no run at all.
    """
    runs, strays = [], []
    for root in roots:
        if not root.is_dir():
            raise UserError(f"a report needs a folder of runs, but {root} is none; type the folder of runs")
        folders = list(find_folders(root))
        strays += [f"{path}: no config.yaml in it or below" for path in find_strays(root, folders)]
        for folder in folders:
            run, fault = read_run(folder, name_run(folder, root, roots))
            runs += [run] if run else []
            strays += [fault] if fault else []
    if not runs:
        why = f" ({'; '.join(strays)})" if strays else ""
        raise UserError(
            f"no run in {', '.join(str(root) for root in roots)}: a run is a folder with a config.yaml{why}; "
            "train one: accelerate launch -m mosi_e2e.train --config configs/sample_late_fusion.yaml"
        )
    return runs, strays


def name_run(folder: Path, root: Path, roots: Sequence[Path]) -> str:
    """As short as tells it apart: below the one folder that was given, or the folder's own name."""
    if folder != root:
        return folder.relative_to(root).as_posix() if len(roots) == 1 else folder.as_posix()
    distinct = len({one.resolve().name for one in roots}) == len(roots)
    return root.resolve().name if distinct else folder.as_posix()


def find_folders(root: Path) -> Iterator[Path]:
    """Folders with a `config.yaml`, outermost ones: `best/config.yaml` belongs to its run."""
    seen = set()  # a link may lead back up
    for here, below, files in os.walk(root, followlinks=True):
        real = Path(here).resolve()
        below[:] = [] if real in seen else sorted(name for name in below if not name.startswith("."))
        seen.add(real)
        if "config.yaml" in files:
            below.clear()
            yield Path(here)


def find_strays(root: Path, folders: Sequence[Path]) -> list[Path]:
    """Folders just below `root` that hold no run."""
    inside = [path for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    is_run = root in folders
    return [] if is_run else [path for path in inside if not any(f.is_relative_to(path) for f in folders)]


def read_run(folder: Path, name: str) -> tuple[Run | None, str]:
    """The run, or None and why its config is none."""
    try:
        config, faults = read_config(folder / "config.yaml")
    except UserError as error:
        return None, f"{folder}: {error}"
    if config.get("task") not in TASKS:
        return None, f"{folder}: config.yaml is not that of a run (no task)"
    history = read_history(folder / "history.csv", faults)
    tables = {
        split: read_predictions(folder / f"predictions_{split}.csv", config, faults) for split in SPLITS
    }
    written = {split: read_record(folder / f"metrics_{split}.json", METRICS, faults) for split in SPLITS}
    facts = read_record(folder / "best" / "facts.json", FACTS, faults)
    run = Run(
        folder,
        name,
        config,
        read_record(folder / "environment.json", ENVIRONMENT, faults),
        facts or read_record(folder / POOLED_FACTS, FACTS, faults),
        history,
        {split: table for split, table in tables.items() if table is not None},
        {split: content for split, content in written.items() if content},
        tuple(faults),
    )
    return run, ""


def read_predictions(path: Path, config: Mapping[str, Any], faults: list[str]) -> pd.DataFrame | None:
    """Labelled clips sorted by clip; None where there are none or the table is damaged."""
    if not path.is_file():
        return None
    try:
        table = read_run_table(path)
    except UserError as error:
        faults.append(str(error))
        return None
    if config["task"] == "classes":
        return choose_classified(table, path, faults)
    lacking = [name for name in NEEDED if name not in table]
    if lacking:
        faults.append(f"{path.name} has no column {', '.join(lacking)}")
        return None
    numbers = table[["label", "score"]].apply(pd.to_numeric, errors="coerce")
    table[["label", "score"]] = numbers
    known = table[table.label.notna()].sort_values("clip_id").reset_index(drop=True)
    bounds = (0, 1) if config["task"] == "binary" else (-np.inf, np.inf)
    good = np.isfinite(known.score) & known.score.between(*bounds)
    if known.empty or not good.all() or known.clip_id.duplicated().any():
        why = (
            "no clip has a label"
            if known.empty
            else "a score is not a number in range, or a clip is twice in it"
        )
        faults.append(f"{path.name} is not shown: {why}")
        return None
    return known


def choose_classified(table: pd.DataFrame, path: Path, faults: list[str]) -> pd.DataFrame | None:
    """As `read_predictions`, of a table of classes."""
    columns = name_probabilities(find_classes(list(table)))
    lacking = [name for name in (*NEEDED[:3], PREDICTED) if name not in table]
    if lacking or len(columns) < 2:
        faults.append(f"{path.name} has no column {', '.join(lacking) or 'p_<class>'}")
        return None
    known = table[table.label.notna()].sort_values("clip_id").reset_index(drop=True)
    try:
        check_classes(*read_class_table(known, find_classes(columns)), len(columns))
    except (KeyError, ValueError) as error:
        faults.append(f"{path.name} is not shown: {error}")
        return None
    return known
