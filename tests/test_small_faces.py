"""Faces that the detector misses in the whole picture."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from kit.made_clips import write_clip
from kit.made_predictor import PORTRAIT
from kit.one_clip import extract

from preprocessing.config import PreprocessConfig, TrackConfig
from preprocessing.faces.behaviour import BLENDSHAPES, face_row
from preprocessing.faces.landmarks import load_landmarker
from preprocessing.faces.small_faces import (
    LOOKS,
    Square,
    find_squares,
    list_squares,
    look_at_squares,
    overlap,
    spread_looks,
)
from preprocessing.stages import look

SIZE = (1920, 1080)
TIMES = (0, 200, 400, 600, 800)
BOTH = frozenset({"faces", "behaviour"})


def draw_scene(width: float, x: int, y: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A picture with the portrait's face of a given width in pixels, its corner at (x, y)."""
    (face,) = load_landmarker(TrackConfig())(PORTRAIT, None)
    scale = width / (face.box[2] - face.box[0])
    small = cv2.resize(PORTRAIT, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    scene = np.full((size[1], size[0], 3), 120, np.uint8)
    scene[y : y + len(small), x : x + small.shape[1]] = small
    return scene


def look_at(path: Path) -> dict:
    return extract(path, PreprocessConfig(), BOTH)


def test_a_face_of_54_pixels_in_1920_is_found_and_followed(tmp_path):
    frames = [draw_scene(54, 1200 + 4 * number, 420) for number in range(9)]
    assert load_landmarker(TrackConfig())(frames[0], None) == []
    results = look_at(write_clip(tmp_path / "a.mp4", frames, times_ms=range(0, 1800, 200)))
    faces = results["faces"].arrays
    assert results["faces"].state == results["behaviour"].state == "ok"
    assert faces["face_valid"].all() and results["faces"].facts["people"] == 1
    width = faces["face_box"][:, 2] - faces["face_box"][:, 0]
    assert (abs(width - 54) < 6).all()
    moved = faces["face_box"][-1, 0] - faces["face_box"][0, 0]
    assert 4 * 6 < moved < 4 * 9 and 1200 < faces["face_box"][0, 0] < 1300


def test_two_small_faces_far_apart_are_both_found(tmp_path):
    scene = draw_scene(60, 100, 100)
    scene[600:] = draw_scene(80, 1600, 700)[600:]
    results = look_at(write_clip(tmp_path / "a.mp4", [scene] * 3, times_ms=(0, 200, 400)))
    assert results["faces"].facts["people"] == 2


def test_where_there_is_nobody_it_stays_so_at_a_bounded_price():
    noise = np.random.default_rng(0).integers(0, 255, (90, 160, 3), np.uint8)
    scene = cv2.resize(noise, SIZE, interpolation=cv2.INTER_CUBIC)
    calls = []

    def landmarker(part, crop):
        calls.append(part.shape)
        return load_landmarker(TrackConfig())(part, crop)

    assert find_squares([scene] * LOOKS, landmarker, 3) == []
    assert len(calls) == LOOKS * 34 and min(min(shape[:2]) for shape in calls) == 480
    assert find_squares([scene[:240, :320]], landmarker, 3) == [] and len(calls) == LOOKS * 34


def test_a_clip_with_a_face_in_one_frame_is_not_looked_at_again(tmp_path, monkeypatch):
    def fail(*_):
        raise AssertionError("looked closer")

    monkeypatch.setattr(look, "find_squares", fail)
    wall = np.full((300, 300, 3), 120, np.uint8)
    results = look_at(write_clip(tmp_path / "a.mp4", [wall] * 4 + [PORTRAIT], times_ms=TIMES))
    assert results["faces"].facts["face_ratio"] == 0.2
    with pytest.raises(AssertionError, match="looked closer"):
        look_at(write_clip(tmp_path / "b.mp4", [wall] * 5, times_ms=TIMES))


def test_a_face_in_a_part_has_its_place_in_the_whole():
    scene, landmarker = draw_scene(120, 300, 150, (900, 700)), load_landmarker(TrackConfig())
    (whole,) = landmarker(scene, None)
    for square in (Square(250, 60, 600), Square(200, 0, 640), Square(300, 50, 560)):
        (part,) = look_at_squares(scene, [square], landmarker, None)
        assert overlap(part.box, whole.box) > 0.95
        assert abs(part.points - whole.points).mean() < 2
        one, other = face_row(part), face_row(whole)
        pose = slice(len(BLENDSHAPES), len(BLENDSHAPES) + 6)  # x, y, z in cm, pitch, yaw, roll
        assert (abs(one - other)[pose] < (1.0, 1.0, 2.0, 0.1, 0.1, 0.1)).all()


def test_a_face_in_several_squares_counts_once():
    scene = draw_scene(100, 500, 300, (1280, 720))
    squares = list_squares(scene.shape[:2])
    assert len(look_at_squares(scene, squares, load_landmarker(TrackConfig()), None)) == 1


@pytest.mark.parametrize("shape", [(1080, 1920), (720, 1280), (1920, 1080), (600, 600)])
def test_the_squares_cover_the_picture_and_overlap_by_half(shape):
    squares = list_squares(shape)
    for side in {square.side for square in squares}:
        seen = np.zeros(shape, int)
        for square in squares:
            if square.side == side:
                seen[square.y : square.y + side, square.x : square.x + side] += 1
        assert seen.min() >= 1
        middle = seen[side // 2 : -(side // 2) or None, side // 2 : -(side // 2) or None]
        assert middle.size == 0 or middle.min() >= 2


def test_the_searched_frames_are_spread():
    assert spread_looks(np.arange(0, 70, 10)).tolist() == [10, 20, 30, 40, 50]
    assert spread_looks(np.arange(3)).tolist() == [0, 1, 2]
