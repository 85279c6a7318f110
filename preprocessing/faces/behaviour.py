"""Behaviour tokens from MediaPipe: what a face does, frame by frame.

52 blendshape activations (ARKit's names, [0, 1]), head pose from the facial transformation matrix and the
position of the iris between the corners of each eye. OpenFace gives action units: `openface/table.py`.
"""

import numpy as np

from preprocessing.faces.landmarks import EYE_LEFT, EYE_RIGHT, Face

IRIS_RIGHT, IRIS_LEFT = 468, 473

BLENDSHAPES = """
    _neutral browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff
    cheekSquintLeft cheekSquintRight eyeBlinkLeft eyeBlinkRight eyeLookDownLeft eyeLookDownRight
    eyeLookInLeft eyeLookInRight eyeLookOutLeft eyeLookOutRight eyeLookUpLeft eyeLookUpRight
    eyeSquintLeft eyeSquintRight eyeWideLeft eyeWideRight jawForward jawLeft jawOpen jawRight
    mouthClose mouthDimpleLeft mouthDimpleRight mouthFrownLeft mouthFrownRight mouthFunnel mouthLeft
    mouthLowerDownLeft mouthLowerDownRight mouthPressLeft mouthPressRight mouthPucker mouthRight
    mouthRollLower mouthRollUpper mouthShrugLower mouthShrugUpper mouthSmileLeft mouthSmileRight
    mouthStretchLeft mouthStretchRight mouthUpperUpLeft mouthUpperUpRight noseSneerLeft
    noseSneerRight
""".split()
POSE = ("pose_tx_cm", "pose_ty_cm", "pose_tz_cm", "pose_pitch_rad", "pose_yaw_rad", "pose_roll_rad")
GAZE = ("gaze_right_x", "gaze_right_y", "gaze_left_x", "gaze_left_y")
MEDIAPIPE_COLUMNS = (*BLENDSHAPES, *POSE, *GAZE)


def pack_behaviour(time: np.ndarray, track: list[Face | None]) -> dict[str, np.ndarray]:
    """The `behaviour` stage's arrays.

    These are `behaviour` float32 [T, 62], `behaviour_time` and `behaviour_valid` [T]. Rows without a face are
    zero and not valid.
    """
    blank = np.zeros(len(MEDIAPIPE_COLUMNS), np.float32)
    rows = [face_row(face) if face else blank for face in track]
    return {
        "behaviour": np.stack(rows),
        "behaviour_time": np.asarray(time, dtype=np.float64),
        "behaviour_valid": np.array([face is not None for face in track], dtype=bool),
    }


def face_row(face: Face) -> np.ndarray:
    """[62] float32: one token, columns as in `MEDIAPIPE_COLUMNS`."""
    rotation = face.pose[:3, :3]
    pitch = np.arctan2(rotation[2, 1], rotation[2, 2])
    yaw = np.arctan2(-rotation[2, 0], np.hypot(rotation[0, 0], rotation[1, 0]))
    roll = np.arctan2(rotation[1, 0], rotation[0, 0])
    gaze = [*_iris(face, IRIS_RIGHT, EYE_RIGHT), *_iris(face, IRIS_LEFT, EYE_LEFT)]
    return np.concatenate([face.blendshapes, face.pose[:3, 3], [pitch, yaw, roll], gaze]).astype(np.float32)


def _iris(face: Face, iris: int, corners: tuple[int, int]) -> tuple[float, float]:
    """Iris centre relative to the middle of the eye, in eye widths, along and across the eye's axis."""
    left, right = face.points[list(corners)] @ [1, 1j]
    offset = (face.points[iris] @ [1, 1j] - (left + right) / 2) / (right - left)
    return float(offset.real), float(offset.imag)
