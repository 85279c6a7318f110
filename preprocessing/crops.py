"""Cached face crops made smaller: encoded again, scaled down, fewer of them."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from preprocessing.store import Arrays, ClipStore

SAMPLE = 512  # crops that are encoded again to predict the size of all: about 1 % of error


@dataclass(frozen=True)
class CropPlan:
    """How face crops are packed.

    Attributes:
        scale: of their side.
        quality: of the new JPEG; 0 leaves the bytes as they are.
        every: keep every so manyth crop.
    """

    scale: float = 1.0
    quality: int = 0
    every: int = 1

    def describe(self, size: int, rate: float) -> str:
        """For people; `size` in pixels and `rate` per second are the cache's."""
        if not self.quality:
            return f"crops as they are, {size} px"
        text = f"crops encoded again, {round(self.scale * size)} px, JPEG quality {self.quality}"
        if self.every > 1:
            text += f"; ONLY {rate / self.every:.3g} INSTEAD OF {rate:g} CROPS A SECOND"
        return text


# From the least loss to the most: first what an image model does not see, crops per second last.
LADDER = (
    CropPlan(),
    CropPlan(1.0, 85),
    CropPlan(1.0, 75),
    CropPlan(6 / 7, 75),
    CropPlan(5 / 7, 75),
    CropPlan(4 / 7, 75),
    CropPlan(1 / 2, 70),
    *(CropPlan(1 / 2, 70, every) for every in (2, 3, 5, 10)),
)


def take_sample(store: ClipStore, clips: Sequence[str]) -> list[np.ndarray]:
    """About `SAMPLE` crops, evenly over clips and within them."""
    sample = []
    chosen = np.unique(np.linspace(0, len(clips) - 1, min(SAMPLE, len(clips))).astype(int)) if clips else ()
    for number in chosen:
        arrays = store.read(clips[number], "faces", ["face_jpeg", "face_offset"])
        crops = split_crops(arrays["face_jpeg"], arrays["face_offset"])
        found = [crop for crop in crops if len(crop)]
        count = -(-SAMPLE // len(chosen))
        sample += [found[i] for i in np.unique(np.linspace(0, len(found) - 1, count + 2)[1:-1].astype(int))]
    return sample


def thin_crops(arrays: Arrays, plan: CropPlan, pool: ThreadPoolExecutor) -> Arrays:
    """The `faces` arrays of one clip, encoded again."""
    crops = split_crops(arrays["face_jpeg"], arrays["face_offset"])[:: plan.every]
    packed = encode_crops(crops, plan, pool)
    rows = {key: arrays[key][:: plan.every] for key in ("face_time", "face_valid", "face_box")}
    return {
        "face_jpeg": np.concatenate([*packed, np.zeros(0, np.uint8)]),
        "face_offset": np.cumsum([0, *map(len, packed)]).astype(np.int64),
        **rows,
    }


def split_crops(jpeg: np.ndarray, offset: np.ndarray) -> list[np.ndarray]:
    """[bytes] uint8 per crop; empty where there is no face."""
    return [jpeg[start:end] for start, end in pairwise(offset)]


def encode_crops(crops: Iterable[np.ndarray], plan: CropPlan, pool: ThreadPoolExecutor) -> list[np.ndarray]:
    """JPEG → JPEG by the plan; never larger than it was."""
    return list(pool.map(lambda crop: encode_crop(crop, plan), crops))


def encode_crop(crop: np.ndarray, plan: CropPlan) -> np.ndarray:
    """One crop; empty stays empty."""
    if not len(crop) or not plan.quality:
        return crop
    picture = cv2.imdecode(crop, cv2.IMREAD_COLOR)
    if plan.scale < 1:
        side = tuple(max(round(plan.scale * length), 1) for length in picture.shape[1::-1])
        picture = cv2.resize(picture, side, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, plan.quality])
    return data if plan.scale < 1 or len(data) < len(crop) else crop
