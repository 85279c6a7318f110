"""How a model of pictures of faces takes what cameras and uploads do to them.

    python benchmarks/face_robustness.py runs/faces_fer2013 --out robustness.json

Each picture of a split is changed in one way at a time, all in the same way, and scored again: blur, JPEG,
light, roll, a warp like a turned head, and fewer pixels. The table has accuracy, unweighted average recall,
and how well happy faces are separated from sad, angry, fearful and disgusted ones; its first row is that of
the unchanged pictures.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from accelerate import Accelerator
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from mosi_e2e.config import SPLITS
from mosi_e2e.data.dataset import ClipDataset
from mosi_e2e.data.folds import apply_folds
from mosi_e2e.data.labels import label_clips
from mosi_e2e.data.loaders import build_loader
from mosi_e2e.data.sampler import SweepSampler
from mosi_e2e.engine.loop import predict_split
from mosi_e2e.engine.losses import build_objective
from mosi_e2e.models import list_streams
from mosi_e2e.runs.checkpoint import check_run, load_model
from preprocessing.cache.packed import open_store
from preprocessing.cache.store import write_atomic
from preprocessing.errors import UserError

Change = Callable[[np.ndarray], np.ndarray]  # [H, W, 3] uint8 → the same shape
NEGATIVE = ("sad", "angry", "fear", "fearful", "disgust")
TURN = 0.25  # share of the height by which the far side of a turned face is lower, at strength 1


def blur(sigma: float) -> Change:
    """Gaussian blur; sigma is a share of the side, in percent."""
    return lambda crop: cv2.GaussianBlur(crop, (0, 0), sigma / 100 * crop.shape[0])


def compress(quality: float) -> Change:
    """JPEG of a quality from 1 to 100."""

    def change(crop: np.ndarray) -> np.ndarray:
        _, data = cv2.imencode(".jpg", crop[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
        return cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)

    return change


def light(factor: float) -> Change:
    """Every value times a factor."""
    return lambda crop: np.clip(crop.astype(np.float32) * factor, 0, 255).astype(np.uint8)


def roll(degrees: float) -> Change:
    """Rotation about the middle."""

    def change(crop: np.ndarray) -> np.ndarray:
        height, width = crop.shape[:2]
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
        return cv2.warpAffine(crop, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)

    return change


def turn(strength: float) -> Change:
    """A perspective in which one side is farther away, as of a head that is turned."""

    def change(crop: np.ndarray) -> np.ndarray:
        height, width = crop.shape[:2]
        down, across = TURN * strength * height, TURN * strength * width
        before = np.float32([[0, 0], [width, 0], [width, height], [0, height]])
        after = np.float32([[0, 0], [width - across, down], [width - across, height - down], [0, height]])
        matrix = cv2.getPerspectiveTransform(before, after)
        return cv2.warpPerspective(crop, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)

    return change


def shrink(pixels: float) -> Change:
    """The face at so many pixels a side, and enlarged again; of a smaller picture nothing is changed."""

    def change(crop: np.ndarray) -> np.ndarray:
        side = int(pixels)
        if side >= crop.shape[0]:
            return crop
        few = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
        return cv2.resize(few, crop.shape[1::-1], interpolation=cv2.INTER_CUBIC)

    return change


CHANGES: dict[str, tuple[Callable[[float], Change], tuple[float, ...]]] = {
    "blur, sigma in % of the side": (blur, (1, 2, 4, 6)),
    "JPEG quality": (compress, (80, 50, 30, 15)),
    "brightness, factor": (light, (0.3, 0.6, 1.4, 1.8)),
    "roll, degrees": (roll, (-30, -15, 15, 30)),
    "yaw-like warp, strength": (turn, (0.25, 0.5, 1.0)),
    "face size, pixels": (shrink, (224, 112, 64, 48, 36, 24, 16)),
}


class ChangedDataset(ClipDataset):
    """A split whose crops are changed as they are read."""

    change: Change = staticmethod(lambda crop: crop)

    def _read(self, clip_id: str) -> dict:
        streams = super()._read(clip_id)
        face = streams["face"]
        crops = [self.change(crop) for crop in face["values"]]
        return streams | {"face": face | {"values": np.stack(crops) if crops else face["values"]}}


def measure(run: Path, split: str, cache: str | None = None) -> list[dict]:
    """One row for each change: kind, strength, n, acc, uar and valence_auc.

    Raises:
        UserError: no model of classes that reads faces.
    """
    check_run(run)
    accelerator = Accelerator()
    model, config, facts = load_model(run / "best")
    streams = list_streams(config.model)
    if "face" not in streams or not facts.classes:
        raise UserError(f"{run}: its model must read face and know classes; it reads {', '.join(streams)}")
    store = open_store(cache or config.data.cache, "" if cache else config.data.source)
    if not cache:
        apply_folds(store, config.data.folds)
    label_clips(store, config, facts.classes)
    data = ChangedDataset(store, split, streams, config.data)
    labels = np.array(facts.train_label)
    objective = build_objective(config.task, config.zero_label, config.loss, labels, facts.classes)
    sampler = SweepSampler(len(data), config.data.eval_batch, 0, 1)
    trials = [("as they are", 0.0, lambda crop: crop)]
    trials += [(kind, value, make(value)) for kind, (make, values) in CHANGES.items() for value in values]
    rows = []
    for kind, strength, change in tqdm(trials, unit="change"):
        data.change = change
        table = predict_split(accelerator, model, build_loader(data, sampler, 0), objective)
        scores = objective.score(table)
        row = {"change": kind, "strength": strength, **{key: scores[key] for key in ("n", "acc", "uar")}}
        rows.append(row | {"valence_auc": score_valence(table)})
    return rows


def score_valence(table: pd.DataFrame) -> float | None:
    """Area under the ROC curve of happy pictures among negative ones, by the share of their probabilities."""
    negative = [name for name in NEGATIVE if f"p_{name}" in table]
    kept = table[table.label.isin(["happy", *negative])]
    if kept.label.eq("happy").all() or not kept.label.eq("happy").any():
        return None
    share = kept.p_happy / (kept.p_happy + kept[[f"p_{name}" for name in negative]].sum(axis=1))
    return float(roc_auc_score(kept.label == "happy", share))


def format_rows(rows: Sequence[dict]) -> str:
    """The table in Markdown."""
    lines = ["| change | strength | accuracy | UAR | valence AUC |", "|---|---|---|---|---|"]
    for row in rows:
        scores = [row[key] for key in ("acc", "uar", "valence_auc")]
        cells = ["-" if score is None else f"{score:.3f}" for score in scores]
        lines.append(f"| {row['change']} | {row['strength']:g} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--split", default="test", choices=SPLITS)
    parser.add_argument("--cache", help="another cache than the one it was trained on")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rows = measure(args.run, args.split, args.cache)
    print(format_rows(rows), end="")
    if args.out:
        write_atomic(args.out, (json.dumps(rows, indent=1) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
