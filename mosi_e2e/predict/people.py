"""Who is who in a video: names by place, and one picture with everybody's box."""

from collections.abc import Sequence

import cv2
import numpy as np

from mosi_e2e.predict.lettering import colour_person, draw_tag
from mosi_e2e.predict.pictures import PersonPictures, Still, find_box
from mosi_e2e.predict.result import VideoResult

APART = 0.12  # of the picture's width: people whose faces are nearer than this are not told apart by place
PLACES = {2: ("left", "right"), 3: ("left", "middle", "right")}
QUALITY = 85


def name_people(portraits: Sequence[PersonPictures]) -> list[str]:
    """A name for everybody: `person 1 (left)`; without the place where it would tell nobody apart.

    Args:
        portraits: of everybody, the first person's first.
    """
    names = [f"person {number}" for number in range(1, len(portraits) + 1)]
    places = PLACES.get(len(portraits))
    middles = [_find_middle(portrait) for portrait in portraits]
    if places is None or any(middle is None for middle in middles):
        return names
    order = np.argsort(middles)
    if np.diff(np.array(middles)[order]).min() < APART:
        return names
    for place, row in zip(places, order, strict=True):
        names[row] += f" ({place})"
    return names


def _find_middle(portrait: PersonPictures) -> float | None:
    """Where the face usually is: 0 the left edge of the picture, 1 the right one."""
    boxes = portrait.box[np.isfinite(portrait.box).all(axis=1)] if len(portrait.box) else portrait.box
    if not len(boxes) or not portrait.stills:
        return None
    width = _decode(portrait.stills[0]).shape[1] / portrait.stills[0].scale
    return float(np.median(boxes[:, 0] + boxes[:, 2]) / 2 / width)


def draw_people(result: VideoResult) -> bytes | None:
    """JPEG of the moment at which most people are in sight, each with a box and their name.

    None where no still shows a face.
    """
    still = choose_still(result)
    if still is None:
        return None
    picture = np.ascontiguousarray(_decode(still)[..., ::-1])
    thick = max(picture.shape[1] // 160, 2)
    for person in reversed(result.people):
        box = find_box(person.portrait, still)
        if box is None:
            continue
        x0, y0, x1, y1 = (round(float(edge)) for edge in box)
        colour = colour_person(person.number)
        cv2.rectangle(picture, (x0, y0), (x1, y1), colour, thick, cv2.LINE_AA)
        draw_tag(picture, person.name, (x0 - thick // 2, y0), max(picture.shape[1] // 28, 11), colour)
    return cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()


def choose_still(result: VideoResult) -> Still | None:
    """The still that shows most people, and of those the one with the largest faces."""
    best, most = None, (0, 0.0)
    for still in result.people[0].portrait.stills:
        boxes = [find_box(person.portrait, still) for person in result.people]
        areas = [float((box[2] - box[0]) * (box[3] - box[1])) for box in boxes if box is not None]
        if areas and (len(areas), sum(areas)) > most:
            best, most = still, (len(areas), sum(areas))
    return best


def _decode(still: Still) -> np.ndarray:
    """[H, W, 3] uint8 blue, green, red."""
    return cv2.imdecode(np.frombuffer(still.jpeg, np.uint8), cv2.IMREAD_COLOR)
