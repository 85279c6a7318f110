"""Who is followed through a clip: by size, by place, and by who speaks."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from kit.made_clips import write_clip
from kit.one_clip import extract

from preprocessing.config import DecodeConfig, PreprocessConfig
from preprocessing.faces.landmarks import Face
from preprocessing.faces.tracks import (
    JAW,
    LEAST_SPEAKING,
    choose_speaker,
    choose_track,
    measure_loudness,
    measure_speaking,
)
from preprocessing.media.file import Media
from preprocessing.settings import load_config

RATE = 10
SPEAKERS = ("sample_01_2", "sample_02_2")  # clips of the sample set whose mouths move visibly


def make_face(x: float, y: float, height: float = 100, jaw: float = 0.0) -> Face:
    """A face whose box is centred at (x, y)."""
    points = np.array([(x, y)] * 2) + np.array([(-0.4, -0.5), (0.4, 0.5)]) * height
    blendshapes = np.zeros(52, np.float32)
    blendshapes[JAW] = jaw
    return Face(points, blendshapes, np.eye(4), None)


def follow(*frames: list[Face], loudness: np.ndarray | None = None) -> list[int | None]:
    """Which face of each frame is chosen, by its place in the frame's list."""
    return [
        None if face is None else [other is face for other in found].index(True)
        for face, found in zip(choose_track(list(frames), loudness), frames, strict=True)
    ]


def test_one_person_is_followed_while_moving_and_after_a_loss():
    moving = [[make_face(100 + 10 * i, 100)] for i in range(10)]
    assert follow(*moving) == [0] * 10
    lost = [[] if i in (3, 4) else frame for i, frame in enumerate(moving)]
    assert follow(*lost) == [0, 0, 0, None, None, 0, 0, 0, 0, 0]


def test_a_large_passer_by_is_not_the_speaker():
    speaker, passer_by = make_face(100, 200), make_face(400, 200, height=180)
    frames = [[passer_by, speaker] if i in (4, 5) else [speaker] for i in range(12)]
    assert follow(*frames) == [1 if i in (4, 5) else 0 for i in range(12)]


def test_of_two_people_side_by_side_the_nearer_is_followed_whatever_their_order():
    near, far = make_face(100, 200, height=120), make_face(400, 200, height=100)
    frames = [[far, near] if i % 2 else [near, far] for i in range(8)]
    assert follow(*frames) == [i % 2 for i in range(8)]


def test_when_one_of_two_leaves_nobody_takes_the_place():
    near, far = make_face(100, 200, height=160), make_face(200, 200, height=100)
    frames = [[near, far]] * 6 + [[far]] * 3
    assert follow(*frames) == [0] * 6 + [None] * 3


def test_a_single_person_is_followed_across_a_jump_cut():
    frames = (
        [[make_face(100, 200)]] * 5 + [[make_face(220, 210, height=120)]] * 6 + [[make_face(90, 200)]] * 3
    )
    assert follow(*frames) == [0] * 14


@pytest.mark.parametrize(
    "after",
    [make_face(300, 200), make_face(190, 200, height=45), make_face(100, 420)],
    ids=["elsewhere", "much smaller", "far below"],
)
def test_a_jump_to_a_different_view_is_no_jump_cut(after):
    assert follow(*[[make_face(100, 200)]] * 5, *[[after]] * 4) == [0] * 5 + [None] * 4


def test_a_jump_cut_to_somebody_else_is_not_followed_where_two_were_seen():
    speaker, second = make_face(100, 200), make_face(220, 200)
    frames = [[speaker]] * 5 + [[speaker, second]] + [[second]] * 4
    assert follow(*frames) == [0] * 6 + [None] * 4


def test_nobody_in_sight():
    assert choose_track([]) == []
    assert choose_track([[], []]) == [None, None]


def test_who_walks_into_the_place_of_another_is_not_taken_for_them():
    stays = [[make_face(300, 200)]] * 6
    leaves = [[]] * 3
    enters = [[make_face(10 + 30 * step, 200)] for step in range(10)]
    assert follow(*stays, *leaves, *enters) == [None] * 9 + [0] * 10
    crossing = [
        [make_face(100 + 40 * step, 200), make_face(500 - 40 * step, 200, height=80)] for step in range(10)
    ]
    assert follow(*crossing) == [0] * 10
    assert follow(*[[far, near] for near, far in crossing]) == [1] * 10


ALTERNATING = np.tile([1.0, 1.0, -1.0, -1.0], 5)  # loud, loud, quiet, quiet ...


def talk(loudness: np.ndarray, size: float, x: float, height: float) -> list[Face]:
    """A jaw that moves by `size` from frame to frame where it is loud."""
    jaw = np.cumsum(np.where(loudness > 0, size, 0.0))
    return [make_face(x, 200, height, value) for value in jaw]


@pytest.mark.parametrize(
    ("small", "large", "chosen"),
    [
        ((ALTERNATING, 0.1), (ALTERNATING, 0.0), 0),  # the small face speaks, the large one listens
        ((ALTERNATING, 0.1), (-ALTERNATING, 0.1), 0),  # the large one talks in the breaks
        ((ALTERNATING, 0.1), (ALTERNATING, 0.06), 1),  # both: not clearly the small one
        ((ALTERNATING, 0.0), (-ALTERNATING, 0.1), 1),  # the small one is silent
        ((-ALTERNATING, 0.1), (ALTERNATING, 0.0), 1),
    ],
)
def test_a_smaller_face_is_followed_where_it_clearly_speaks(small, large, chosen):
    faces = [talk(*small, 100, 80), talk(*large, 400, 160)]
    frames = [list(pair) for pair in zip(*faces, strict=True)]
    assert follow(*frames, loudness=ALTERNATING) == [chosen] * 20
    assert follow(*frames) == [1] * 20


@pytest.mark.parametrize(
    ("first", "second", "speaker"),
    [
        ((ALTERNATING, 0.1), (ALTERNATING, 0.0), 0),
        ((ALTERNATING, 0.0), (ALTERNATING, 0.1), 1),
        ((ALTERNATING, 0.1), (ALTERNATING, 0.06), None),  # both
        ((-ALTERNATING, 0.1), (ALTERNATING, LEAST_SPEAKING), None),  # a silent face's noise is no speech
        ((ALTERNATING, 0.0), (ALTERNATING, LEAST_SPEAKING), None),
        ((ALTERNATING, 0.0), (ALTERNATING, 0.0), None),
        ((-ALTERNATING, 0.1), (-ALTERNATING, 0.1), None),
    ],
)
def test_the_voice_is_that_of_who_clearly_speaks_or_of_nobody(first, second, speaker):
    people = [talk(*first, 100, 160), talk(*second, 400, 80)]
    assert choose_speaker(people, ALTERNATING) == speaker
    assert choose_speaker(people[::-1], ALTERNATING) == (None if speaker is None else 1 - speaker)


def test_the_voice_is_that_of_the_only_person_in_sight():
    still, absent = talk(ALTERNATING, 0.0, 100, 160), [None] * 20
    assert choose_speaker([absent, still], ALTERNATING) == 1
    assert choose_speaker([still, absent], ALTERNATING) == 0
    assert choose_speaker([absent, absent], ALTERNATING) == 0
    assert choose_speaker([absent, still], None) == 1
    assert choose_speaker([still, still], None) is None  # an even sound tells nothing


def test_a_small_silent_face_does_not_take_the_place_of_the_largest():
    """However little the largest one speaks."""
    faces = [talk(ALTERNATING, LEAST_SPEAKING, 100, 80), talk(-ALTERNATING, 0.1, 400, 160)]
    assert follow(*[list(pair) for pair in zip(*faces, strict=True)], loudness=ALTERNATING) == [1] * 20


def test_a_glimpse_of_a_talking_face_is_not_enough():
    quiet, talking = talk(ALTERNATING, 0.02, 400, 160), talk(ALTERNATING, 0.1, 100, 80)
    frames = [
        [large, small] if number < 3 else [large]
        for number, (large, small) in enumerate(zip(quiet, talking, strict=True))
    ]
    assert follow(*frames, loudness=ALTERNATING) == [0] * 20


def test_somebody_shown_at_another_time_is_no_rival():
    first, second = talk(ALTERNATING, 0.0, 100, 160), talk(ALTERNATING, 0.1, 500, 80)
    frames = [[first[number]] if number < 12 else [second[number]] for number in range(20)]
    assert follow(*frames, loudness=ALTERNATING) == [0] * 12 + [None] * 8


def test_loudness_is_that_between_the_frames():
    time = np.arange(20) / RATE
    sound = np.repeat(np.where(np.arange(20) == 10, 10_000, 100), 1600)  # loud from 1.0 to 1.1 s
    loudness = measure_loudness(sound.astype(np.int16), time)
    assert abs(loudness.mean()) < 1e-9 and abs(loudness.std() - 1) < 1e-9
    assert set(np.flatnonzero(loudness > 0)) == {10, 11, 12}
    assert measure_loudness(np.zeros(32_000, np.int16), time) is None
    assert measure_loudness(np.zeros(0, np.int16), time) is None
    assert measure_loudness(sound.astype(np.int16), time[:1]) is None


def test_a_listener_does_not_speak():
    track = dict(enumerate(talk(ALTERNATING, 0.1, 100, 100)))
    assert measure_speaking(track, ALTERNATING) == pytest.approx(0.1 * 9 / 20)  # nine steps where it is loud
    still = dict(enumerate(talk(ALTERNATING, 0.0, 100, 100)))
    assert measure_speaking(still, ALTERNATING) == 0
    gaps = {number: face for number, face in track.items() if number % 2}
    assert measure_speaking(gaps, ALTERNATING) == 0  # nothing is known between frames that are no neighbours


def put_side_by_side(left: Media, right: Media, scale: float) -> list[np.ndarray]:
    """Pictures of both clips in one, the right one smaller."""
    count = min(len(left.frames.time), len(right.frames.time))
    pictures = []
    for (_, one), (_, other) in zip(*(m.frames.frames(np.arange(count)) for m in (left, right)), strict=True):
        shrunk = cv2.resize(other, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        canvas = np.zeros_like(one)
        canvas[: shrunk.shape[0], : shrunk.shape[1]] = shrunk
        pictures.append(np.hstack([one, canvas]))
    return pictures


@pytest.mark.parametrize("speaker", ["large", "small"])
def test_of_two_synthetic_people_the_speaker_is_followed(sample_cache, tmp_path, speaker):
    """Two clips of the sample set in one picture, with the sound of one of them."""
    raw = sample_cache.parent / "raw"
    left, right = (Media(next(raw.rglob(f"{name}.*4")), DecodeConfig()) for name in SPEAKERS)
    sound = (left if speaker == "large" else right).sound.waveform[None].astype(np.float32) / 32768
    pictures = put_side_by_side(left, right, scale=0.7)
    path = write_clip(tmp_path / "both.mp4", pictures, sound=sound, sample_rate=16_000)
    boxes = {choose: find_boxes(path, choose) for choose in ("speaking", "largest")}
    half = pictures[0].shape[1] / 2
    assert (boxes["largest"][:, 2] < half).all()
    assert ((boxes["speaking"][:, 0] > half) == (speaker == "small")).all()


def find_boxes(path: Path, choose: str) -> np.ndarray:
    # The drawn people speak four syllables a second and more, both of them: 7.5 pictures do not tell them
    # apart.
    config = load_config(PreprocessConfig, None, [f"track.choose={choose}", "track.rate=10", "faces.rate=2"])
    result = extract(path, config, ["faces"])["faces"]
    assert result.facts["people"] == 2
    return result.arrays["face_box"]
