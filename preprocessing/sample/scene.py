"""A portrait in front of a camera: framed, mirrored, lit and tinted as a video's `Filming` says."""

import cv2
import numpy as np

from preprocessing.sample.face import FaceRig
from preprocessing.sample.plan import Filming
from preprocessing.sample.portraits import PORTRAITS, Portrait

WIDTH, HEIGHT = 480, 360


def build_rig(look: Filming) -> FaceRig:
    """The rig of one video: its still picture, [360, 480, 3], and the landmarks in it."""
    portrait = PORTRAITS[look.portrait]
    matrix = _frame(portrait, look)
    still = cv2.warpAffine(
        portrait.read(),
        matrix,
        (WIDTH, HEIGHT),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    points = {name: matrix[:, :2] @ np.array(at) + matrix[:, 2] for name, at in portrait.points.items()}
    if look.mirror:
        points = {_swap_sides(name): at for name, at in points.items()}
    return FaceRig(_light(still, points, look), points, portrait, portrait.zoom * look.zoom)


def _frame(portrait: Portrait, look: Filming) -> np.ndarray:
    """The 2 x 3 matrix from portrait to frame: eyes level, face where `look.position` says."""
    points = {name: np.array(at) for name, at in portrait.points.items()}
    across = points["eye_out_right"] + points["eye_in_right"] - points["eye_out_left"] - points["eye_in_left"]
    cos, sin = across / np.linalg.norm(across)
    upright = np.array([[cos, sin], [-sin, cos]])
    zoom = portrait.zoom * look.zoom
    scale = np.diag([zoom * look.stretch * (-1 if look.mirror else 1), zoom / look.stretch])
    turn = scale @ upright
    middle = (points["side_left"] + points["side_right"]) / 2
    target = np.array(look.position) * (WIDTH, HEIGHT)
    return np.column_stack([turn, target - turn @ middle])


def _swap_sides(name: str) -> str:
    """The landmark's name in the mirror."""
    if "left" in name:
        return name.replace("left", "right")
    return name.replace("right", "left")


def _light(still: np.ndarray, points: dict[str, np.ndarray], look: Filming) -> np.ndarray:
    """Brightness, warmth, light from one side, and a tint on what is behind the person."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    unit = (points["side_right"][0] - points["side_left"][0]) / 2
    middle, chin = points["chin"][0], points["chin"][1]
    head = np.hypot((x - middle) / (1.75 * unit), (y - points["nose"][1] + 0.55 * unit) / (1.95 * unit))
    torso = np.hypot((x - middle) / (2.6 * unit), (y - chin - 2.2 * unit) / (2.0 * unit))
    behind = np.clip((np.minimum(head, torso) - 0.85) / 0.35, 0, 1)[..., None] * look.tint
    picture = still.astype(np.float32)
    grey = picture.mean(axis=2, keepdims=True)
    tinted = grey / 128 * np.float32(look.tint_bgr)
    picture = picture + behind * (tinted - picture)
    picture *= look.gain * np.float32([1 - look.warmth, 1, 1 + look.warmth])
    picture *= (1 + look.side_light * (2 * x / WIDTH - 1))[..., None]
    return np.clip(picture, 0, 255).round().astype(np.uint8)
