"""How far a model errs on held-out clips, as an interval around the score of a new one.

Hierarchical conformal prediction (Lee, Barber and Willett 2023, arXiv:2306.06342; after Vovk, Gammerman and
Shafer 2005, Lei et al. 2018, and Dunn, Wasserman and Ramdas 2023). The clips of a video resemble each other,
so each of the K held-out videos counts once: its clips share its weight 1 / (K + 1), and the last 1 / (K + 1)
lies at infinity, for the new video. The quantile of the absolute errors under these weights covers the label
of a clip of a new video with at least the stated probability, whatever the distribution of the errors, if the
new video is like the held-out ones. K videos allow a level of K / (K + 1) at most.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mosi_e2e.scores.predictions import read_run_table
from preprocessing.cache.store import write_atomic

if TYPE_CHECKING:
    import pandas as pd

NAME = "calibration.json"
SPLITS = ("test", "valid")  # the better one first: valid has chosen the best epoch
REACH = 3.0  # sentiment lies in [-REACH, REACH]
TOLERANCE = 1e-9  # of summed weights
PLACES = 4
SAME = 0.01  # errors that differ by less are those of one model on two machines


@dataclass(frozen=True)
class Calibration:
    """Errors of one model on one split that it was not trained on.

    Attributes:
        split: test | valid.
        clips: digest of which clips with which labels, in order: errors of several runs on the same ones can
            be averaged.
        errors: per video [n_clips] label less score, both in [-3, 3]. Of a binary model the label is -3 or 3,
            the score 6 p - 3.
    """

    split: str
    clips: str
    errors: list[list[float]]

    @property
    def videos(self) -> int:
        """Number of held-out videos."""
        return len(self.errors)

    @property
    def highest_level(self) -> float:
        """The highest level that so few videos can state."""
        return self.videos / (self.videos + 1)

    def half_width(self, level: float) -> float | None:
        """How far around a score its label lies, at the given level; None where there are too few videos."""
        if not self.errors:
            return None
        size = np.concatenate([np.abs(one) for one in self.errors])
        weight = np.concatenate([np.full(len(one), 1 / len(one)) for one in self.errors]) / (self.videos + 1)
        order = np.argsort(size, kind="stable")
        reached = np.cumsum(weight[order]) >= level - TOLERANCE
        return float(size[order][reached.argmax()]) if reached.any() else None

    def explain_lack(self, level: float) -> str:
        """Why no interval of this level can be given."""
        needed = math.ceil(level / (1 - level) - TOLERANCE)
        count = f"only {self.videos} video{'s' * (self.videos != 1)}"
        return (
            f"no {100 * level:g} % interval: the model was tried on {count} of its {self.split} split, which "
            f"allow {100 * self.highest_level:.0f} % at most; {needed} videos are needed"
        )


def calibrate(table: "pd.DataFrame", split: str, task: str) -> Calibration:
    """The errors of a prediction table (columns video_id, label, score).

    Clips without a label are left out, for the binary task also those labelled 0, which are neither.
    """
    known = table[table.label.notna()]
    label, score = known.label.clip(-REACH, REACH), known.score.clip(-REACH, REACH)
    if task == "binary":
        known = known[known.label != 0]
        label, score = REACH * np.sign(known.label), REACH * (2 * known.score - 1)
    error = (label - score).round(PLACES)
    videos = error.groupby(known.video_id.astype(str), sort=False)
    errors = [[float(value) for value in values] for _, values in videos]
    ids = known.clip_id if "clip_id" in known else known.index
    rows = "\n".join(f"{clip} {value:.4f}" for clip, value in zip(ids, known.label, strict=True))
    return Calibration(split, hashlib.sha256(rows.encode()).hexdigest()[:16], errors)


def average(calibrations: Sequence[Calibration]) -> Calibration | None:
    """That of the mean score of several runs; None where they were not scored on the same clips."""
    first = calibrations[0]
    if len({(one.split, one.clips, tuple(map(len, one.errors))) for one in calibrations}) > 1:
        return None
    errors = [
        np.mean(rows, axis=0).tolist() for rows in zip(*(one.errors for one in calibrations), strict=True)
    ]
    return Calibration(first.split, first.clips, errors)


def record(folder: Path, split: str, table: "pd.DataFrame", task: str, synthetic: bool) -> None:
    """Keep a split's errors in a run's `calibration.json`.

    Nothing is kept of synthetic clips, whose errors say nothing about people, of the train split, and of
    classes, which have no distance from one another. Where the errors on valid change, the weights have
    changed, and the test split's errors are forgotten.
    """
    if synthetic or split not in SPLITS or task == "classes":
        return
    path = folder / NAME
    found = calibrate(table, split, task)
    if not found.errors:
        return
    entry = {"clips": found.clips, "errors": found.errors}
    kept = json.loads(path.read_text()) if path.is_file() else {}
    if split == "valid" and not _are_close(kept.get("valid"), entry):
        kept = {}
    write_atomic(path, (json.dumps(kept | {split: entry}) + "\n").encode())


def _are_close(old: dict | None, new: dict) -> bool:
    """Whether two entries are of the same weights: numbers differ a little between machines."""
    if old is None or old["clips"] != new["clips"]:
        return False
    return bool(np.allclose(np.concatenate(old["errors"]), np.concatenate(new["errors"]), atol=SAME))


def read(content: bytes) -> Calibration | None:
    """Of a `calibration.json`, the split that was not used to choose anything, if it is there."""
    kept: Mapping[str, dict] = json.loads(content)
    split = next((name for name in SPLITS if name in kept), None)
    return None if split is None else Calibration(split, kept[split]["clips"], kept[split]["errors"])


def recover(folder: Path, task: str) -> bytes | None:
    """A run's `calibration.json`, for an older run made of its prediction tables; None without them."""
    if task == "classes":
        return None
    if (folder / NAME).is_file():
        return (folder / NAME).read_bytes()
    kept = {}
    for split in SPLITS:
        table, scores = folder / f"predictions_{split}.csv", folder / f"metrics_{split}.json"
        if not (table.is_file() and scores.is_file()) or json.loads(scores.read_text()).get("synthetic"):
            continue
        found = calibrate(read_run_table(table), split, task)
        if found.errors:
            kept[split] = {"clips": found.clips, "errors": found.errors}
    return (json.dumps(kept) + "\n").encode() if kept else None
