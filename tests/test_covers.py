"""Covered mouths and eyes, drawn over a portrait."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from kit.made_clips import write_clip
from kit.made_predictor import PORTRAIT
from kit.one_clip import extract

from preprocessing.config import FacesConfig, PreprocessConfig, TrackConfig
from preprocessing.faces.covers import LEFT_EYE, LIPS, RIGHT_EYE, describe_covers
from preprocessing.faces.landmarks import load_landmarker

LOWER = (
    127,
    234,
    93,
    132,
    58,
    172,
    136,
    150,
    149,
    176,
    148,
    152,
    377,
    400,
    378,
    379,
    365,
    397,
    288,
    361,
    323,
    454,
    356,
    6,
)
EYES = RIGHT_EYE + LEFT_EYE
Draw = Callable[[np.ndarray, np.ndarray], np.ndarray]


def draw_mask(colour: tuple[int, int, int]) -> Draw:
    """From the tip of the nose down."""

    def draw(frame: np.ndarray, points: np.ndarray) -> np.ndarray:
        hull = cv2.convexHull(points[list(LOWER)].astype(np.int32))
        return cv2.fillConvexPoly(frame.copy(), hull, colour)

    return draw


def change_box(part: tuple[int, ...], change: Callable[[np.ndarray], np.ndarray | float]) -> Draw:
    """In a box half as large again as the part."""

    def draw(frame: np.ndarray, points: np.ndarray) -> np.ndarray:
        outline, frame = points[list(part)], frame.copy()
        middle, reach = outline.mean(axis=0), 0.75 * np.ptp(outline, axis=0)
        (x0, y0), (x1, y1) = np.maximum(middle - reach, 0).astype(int), (middle + reach).astype(int)
        frame[y0:y1, x0:x1] = change(frame[y0:y1, x0:x1])
        return frame

    return draw


def blur(part: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(part, (0, 0), len(part) / 3)


DRAWN = {
    "blue mask": (draw_mask((150, 190, 220)), "the mouth seems"),
    "black mask": (draw_mask((25, 25, 28)), "the mouth "),
    "black box": (change_box(LIPS, lambda part: 0), "the mouth seems"),
    "mouth in the skin's colour": (change_box(LIPS, lambda part: part[0, 0]), "the mouth seems"),
    "blurred mouth": (change_box(LIPS, blur), "the mouth seems"),
    "bar over the eyes": (change_box(EYES, lambda part: 0), "the eyes seem"),
    "blurred eyes": (change_box(EYES, blur), "the eyes seem"),
    "brighter": (lambda frame, points: np.clip(frame * 1.3, 0, 255).astype(np.uint8), ""),
    "coarse": (lambda frame, points: cv2.resize(frame[::4, ::4], frame.shape[1::-1]), ""),
    "nothing": (lambda frame, points: frame, ""),
}


def detail_of(frame: np.ndarray) -> dict[str, float]:
    (face,) = load_landmarker(TrackConfig())(frame, FacesConfig())
    return face.detail


@pytest.mark.parametrize("name", DRAWN)
def test_a_cover_is_remarked_and_nothing_else_is(name):
    draw, remark = DRAWN[name]
    (face,) = load_landmarker(TrackConfig())(PORTRAIT, None)
    said = describe_covers([detail_of(draw(PORTRAIT, face.points))])
    assert said.startswith(remark) and bool(said) == bool(remark)


def test_most_of_the_crops_decide():
    bare, covered = {"mouth": 0.5, "eyes": 0.9}, {"mouth": -3.0, "eyes": -2.0}
    assert describe_covers([bare, covered, bare, None]) == ""
    assert describe_covers([covered, bare, covered]).startswith("the mouth and the eyes seem covered")
    assert describe_covers([None]) == describe_covers([]) == ""


def test_the_remark_is_stored_with_the_clip(tmp_path):
    (face,) = load_landmarker(TrackConfig())(PORTRAIT, None)
    masked = DRAWN["blue mask"][0](PORTRAIT, face.points)
    for frame, expected in ((PORTRAIT, False), (masked, True)):
        path = write_clip(tmp_path / "a.mp4", [frame] * 3, times_ms=(0, 200, 400))
        facts = extract(path, PreprocessConfig(), ["faces"])["faces"].facts
        assert facts["face_ratio"] == 1.0 and ("the mouth seems covered" in facts["remark"]) == expected
