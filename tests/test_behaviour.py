"""Behaviour tokens: MediaPipe's names and order, angles and gaze of made and of real faces."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from skimage.data import astronaut
from skimage.transform import rotate

from preprocessing.config import TrackConfig
from preprocessing.faces.behaviour import (
    BLENDSHAPES,
    GAZE,
    IRIS_LEFT,
    IRIS_RIGHT,
    MEDIAPIPE_COLUMNS,
    POSE,
    face_row,
    pack_behaviour,
)
from preprocessing.faces.landmarks import EYE_LEFT, EYE_RIGHT, Face, load_landmarker

SHAPES = np.linspace(0, 1, 52, dtype=np.float32)


def make_face(pose=None, iris_right=(0, 0), iris_left=(0, 0), degrees: float = 0) -> Face:
    """A face with eyes 20 px wide, each iris off its eye's middle, in a picture turned by `degrees`."""
    places = np.zeros(478, complex)
    for eye, iris, middle, offset in (
        (EYE_RIGHT, IRIS_RIGHT, 100 + 100j, iris_right),
        (EYE_LEFT, IRIS_LEFT, 160 + 100j, iris_left),
    ):
        places[list(eye)] = middle - 10, middle + 10
        places[iris] = middle + complex(*offset)
    places *= np.exp(1j * np.deg2rad(degrees))
    points = np.column_stack([places.real, places.imag])
    return Face(points, SHAPES, np.eye(4) if pose is None else pose, None)


def pick(face: Face) -> dict[str, float]:
    return dict(zip(MEDIAPIPE_COLUMNS, face_row(face).tolist(), strict=True))


def test_columns_are_mediapipes_names_in_its_order():
    import mediapipe

    image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=astronaut())
    result = load_landmarker(TrackConfig())._landmarker.detect(image)
    assert [shape.category_name for shape in result.face_blendshapes[0]] == BLENDSHAPES
    assert len(MEDIAPIPE_COLUMNS) == len(set(MEDIAPIPE_COLUMNS)) == 52 + 6 + 4
    assert MEDIAPIPE_COLUMNS[52:] == POSE + GAZE


def test_a_row_holds_shapes_position_angles_and_gaze():
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("ZYX", [0.3, -0.2, 0.1]).as_matrix()
    pose[:3, 3] = 1.5, -2.5, -40
    row = face_row(make_face(pose))
    assert row.dtype == np.float32
    assert np.array_equal(row[:52], SHAPES)
    named = pick(make_face(pose))
    assert [named[name] for name in POSE[:3]] == [1.5, -2.5, -40]
    assert np.allclose([named[name] for name in POSE[3:]], [0.1, -0.2, 0.3], atol=1e-6)


@pytest.mark.parametrize("angles", [(0, 0, 0), (0.4, 0, 0), (0, 0.9, 0), (0, 0, -2.5), (-0.3, -1.2, 0.6)])
def test_angles_are_those_of_the_rotation(angles):
    pitch, yaw, roll = angles
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("ZYX", [roll, yaw, pitch]).as_matrix()
    named = pick(make_face(pose))
    assert np.allclose([named[name] for name in POSE[3:]], angles, atol=1e-6)


@pytest.mark.parametrize("degrees", [0, 35, 180])
def test_gaze_is_positive_to_the_right_and_down_in_eye_widths(degrees):
    ahead = pick(make_face(degrees=degrees))
    assert np.allclose([ahead[name] for name in GAZE], 0, atol=1e-6)
    aside = pick(make_face(iris_right=(4, 0), iris_left=(-2, 3), degrees=degrees))
    assert np.allclose([aside[name] for name in GAZE], [0.2, 0, -0.1, 0.15], atol=1e-6)


def test_rows_without_a_face_are_zero_and_not_valid():
    packed = pack_behaviour(np.array([0.0, 0.1, 0.2]), [make_face(), None, make_face(iris_left=(2, 0))])
    assert packed["behaviour"].shape == (3, 62)
    assert packed["behaviour"].dtype == np.float32
    assert packed["behaviour_valid"].tolist() == [True, False, True]
    assert packed["behaviour_time"].tolist() == [0.0, 0.1, 0.2]
    assert not packed["behaviour"][1].any()
    assert np.array_equal(packed["behaviour"][2], face_row(make_face(iris_left=(2, 0))))


def test_a_turned_and_a_mirrored_face_have_turned_and_mirrored_angles():
    landmarker = load_landmarker(TrackConfig())
    straight = astronaut()[:300, 75:375]
    turned = rotate(straight, 20, mode="edge", preserve_range=True).astype(np.uint8)  # counter-clockwise
    pictures = (straight, turned, turned[:, ::-1])
    plain, turned, mirrored = (pick(landmarker(np.ascontiguousarray(p), None)[0]) for p in pictures)
    assert abs(turned["pose_roll_rad"] - plain["pose_roll_rad"] - np.deg2rad(20)) < 0.06
    for name in ("pose_roll_rad", "pose_yaw_rad"):
        assert abs(turned[name] + mirrored[name]) < 0.06
    assert abs(turned["pose_tx_cm"] + mirrored["pose_tx_cm"]) < 0.5
    assert abs(turned["pose_pitch_rad"] - mirrored["pose_pitch_rad"]) < 0.06
    assert abs(turned["gaze_right_x"] + mirrored["gaze_left_x"]) < 0.06
    assert plain["mouthSmileLeft"] > 0.5
    assert plain["browDownLeft"] < 0.2
    assert -80 < plain["pose_tz_cm"] < -20
