"""Whether a mask, a hand, a bar or a blur hides a mouth or eyes, of which the landmarker says nothing.

It places all points in any face, and its tokens of what it cannot see are guesses. Lips and eyes have more
detail than the skin around them; what covers them mostly has less. Measured: docs/preprocessing.md.
"""

from collections.abc import Iterable

import cv2
import numpy as np

SIZE = 128  # pixels of the aligned face that detail is measured in
LEAST = {"mouth": -0.7, "eyes": -0.35}  # of `measure_detail`; uncovered faces have 0 and more
RIGHT_EYE = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
LEFT_EYE = (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249)
LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)


def measure_detail(aligned: np.ndarray, points: np.ndarray) -> dict[str, float]:
    """How much finer mouth and eyes are drawn than the skin.

    Args:
        aligned: [SIZE, SIZE, 3] uint8 RGB, the face upright.
        points: [478, 2] the face mesh in it.

    Returns:
        Per part the logarithm of the median gradient there over the mean gradient of the skin.
    """
    grey = cv2.cvtColor(aligned, cv2.COLOR_RGB2GRAY)
    across, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    gradient = cv2.magnitude(across, down)
    lips, right, left = (points[list(part)] for part in (LIPS, RIGHT_EYE, LEFT_EYE))
    skin = _fill(points, 0.9) & ~_fill(lips, 2.2) & ~_fill(right, 1.9) & ~_fill(left, 1.9)
    parts = {"mouth": _fill(lips, 1.1), "eyes": _fill(right, 1.2) | _fill(left, 1.2)}
    level = 1 + (gradient[skin].mean() if skin.any() else 0.0)
    return {
        name: float(np.log((1 + np.median(gradient[part])) / level)) if part.any() else 0.0
        for name, part in parts.items()
    }


def describe_covers(details: Iterable[dict[str, float] | None]) -> str:
    """A remark where mouth or eyes are hidden in most of a person's crops; else empty."""
    known = [detail for detail in details if detail is not None]
    hidden = [name for name, least in LEAST.items() if known and np.median([d[name] for d in known]) < least]
    if not hidden:
        return ""
    seem = "seem" if hidden[-1] == "eyes" else "seems"
    return f"the {' and the '.join(hidden)} {seem} covered, so the expression tokens of that part are guesses"


def _fill(outline: np.ndarray, grow: float) -> np.ndarray:
    """[SIZE, SIZE] bool: the hull of points, grown about its middle."""
    middle = outline.mean(axis=0)
    hull = cv2.convexHull(((outline - middle) * grow + middle).astype(np.int32))
    mask = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillConvexPoly(mask, hull, 1)
    return mask.astype(bool)
