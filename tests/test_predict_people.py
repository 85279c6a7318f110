"""Several people: who is who, by place in words and by a box in a picture."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from kit.demo_models import make_result

from mosi_e2e.predict.lettering import colour_person, draw_tag, fit_size, measure_text, write_text
from mosi_e2e.predict.people import choose_still, draw_people, name_people
from mosi_e2e.predict.pictures import Album, PersonPictures
from mosi_e2e.predict.windows import Stretch, describe_voices

WIDTH, HEIGHT = 640, 360


def make_portrait(middle: float, seen: tuple[float, ...] = (0.0, 1.0, 2.0)) -> PersonPictures:
    """A face 100 pixels wide in a grey video of three stills, found at the given moments."""
    album = Album()
    for time in (0.0, 1.0, 2.0):
        album.offer(time, np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    left = middle * WIDTH - 50
    box = np.array([[left, 100, left + 100, 220]] * 3)
    box[[time not in seen for time in (0.0, 1.0, 2.0)]] = np.nan
    return PersonPictures(album.stills, np.array([0.0, 1.0, 2.0]), box)


def make_people(*portraits: PersonPictures):
    result, names = make_result(), name_people(portraits)
    people = [
        replace(result.people[0], number=number + 1, name=name, portrait=portrait)
        for number, (name, portrait) in enumerate(zip(names, portraits, strict=True))
    ]
    return replace(result, people=people)


@pytest.mark.parametrize(
    ("middles", "names"),
    [
        ((0.5,), ["person 1"]),
        ((0.7, 0.2), ["person 1 (right)", "person 2 (left)"]),
        ((0.5, 0.9, 0.1), ["person 1 (middle)", "person 2 (right)", "person 3 (left)"]),
        ((0.50, 0.55), ["person 1", "person 2"]),  # one after the other in the same place
        ((0.1, 0.3, 0.5, 0.9), ["person 1", "person 2", "person 3", "person 4"]),
    ],
)
def test_people_are_named_by_their_place(middles, names):
    assert name_people([make_portrait(middle) for middle in middles]) == names


def test_a_person_without_a_face_has_a_number_only():
    assert name_people([make_portrait(0.2), PersonPictures()]) == ["person 1", "person 2"]


def test_the_picture_shows_the_moment_with_everybody_and_a_box_for_each():
    result = make_people(make_portrait(0.7, seen=(0.0, 1.0)), make_portrait(0.2, seen=(1.0, 2.0)))
    assert choose_still(result).time == 1.0
    picture = cv2.imdecode(np.frombuffer(draw_people(result), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    height, width = picture.shape[:2]
    for person, middle in zip(result.people, (0.7, 0.2), strict=True):
        near = np.abs(picture.astype(int) - colour_person(person.number)).max(axis=-1) < 60
        columns = np.flatnonzero(near.any(axis=0))
        assert abs(columns.min() / width - (middle - 50 / WIDTH)) < 0.02
        assert near[: int(0.28 * height)].any()  # the name stands above the box
    assert draw_people(make_people(PersonPictures())) is None


@pytest.mark.parametrize(
    ("voices", "ending"),
    [
        (["1"], "(the mouth moves with the sound)"),
        (["1", "2"], "(the mouth moves with the sound)"),
        ([""], "In the only window nobody clearly speaks: there the voice counts for nobody"),
        (["1", ""], "In 1 of 2 windows nobody clearly speaks: there the voice counts for nobody"),
    ],
)
def test_windows_without_a_clear_speaker_are_told_where_there_are_any(voices, ending):
    stretches = [
        [Stretch(number, start, start + 1.0, voice == str(number)) for start, voice in enumerate(voices)]
        for number in (1, 2)
    ]
    text = describe_voices(stretches, has_voice=True)
    assert text.endswith(ending) and " 0 of" not in text
    assert "voice" not in describe_voices(stretches, has_voice=False)


def test_text_stays_in_the_picture_and_on_its_size():
    picture = np.zeros((40, 120, 3), np.uint8)
    draw_tag(picture, "person 1 (left) with a long name", (200, -5), 20, (255, 255, 0))
    assert picture.any() and measure_text("wide words", fit_size("wide words", 30, 80))[0] <= 80
    before = picture.copy()
    write_text(picture, "outside", (500, 500), 12)
    assert np.array_equal(picture, before)
