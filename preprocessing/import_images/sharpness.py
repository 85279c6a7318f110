"""Whether the pictures of all splits are about as sharp: what blurred ones teach misses the others."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np

from preprocessing.sets.labels import SPLITS, ClipEntry

SAMPLE = 200  # pictures that are looked at, of each split
FEWEST = 10  # pictures of a split of which anything is said
SIDE = 48  # pixels at which pictures are compared
UNLIKE = 10.0  # times; medians of splits that were drawn from one set differ by less than 2


def list_unlike(entries: Sequence[ClipEntry]) -> list[str]:
    """A note on splits whose pictures are far less sharp than those of another.

    Sharpness is the variance of the Laplacian (Pech-Pacheco et al., ICPR 2000), at 48 pixels a side.
    """
    found = {split: measure_split([one.path for one in entries if one.split == split]) for split in SPLITS}
    medians = {split: np.median(values) for split, values in found.items() if len(values) >= FEWEST}
    notes = []
    for one, other in combinations(medians, 2):
        soft, sharp = sorted((one, other), key=lambda split: medians[split])
        if medians[sharp] > UNLIKE * medians[soft]:
            notes.append(
                f"pictures of {soft} are much less sharp than those of {sharp} (median variance of the "
                f"Laplacian {medians[soft]:.1f} against {medians[sharp]:.1f}): look at them; what is learned "
                "from one does not serve for the other"
            )
    return notes


def measure_split(paths: Sequence[Path]) -> list[float]:
    """Sharpness of evenly chosen pictures; damaged ones are left out."""
    chosen = paths[:: max(1, len(paths) // SAMPLE)]
    return [value for path in chosen if (value := measure_sharpness(path)) is not None]


def measure_sharpness(path: Path) -> float | None:
    """Variance of the Laplacian of a picture; None, if it cannot be decoded."""
    content = np.frombuffer(path.read_bytes(), np.uint8)
    try:
        picture = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE) if content.size else None
    except cv2.error:
        return None
    if picture is None:
        return None
    small = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(small, cv2.CV_64F).var())
