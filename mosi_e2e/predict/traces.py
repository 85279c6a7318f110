"""What the pages of a result have in common: which stills and which traces are shown."""

from collections.abc import Sequence

import cv2
import numpy as np

from mosi_e2e.data.streams import name_stream
from mosi_e2e.pages.strips import draw_box, shrink
from mosi_e2e.pages.tracks import pair_sides
from mosi_e2e.predict.pictures import PersonPictures, Still, find_box

WIDTH = 240  # pixels, of a still in a strip


def name_streams(streams: Sequence[str]) -> str:
    """Several, for people: `face, voice and expression`."""
    names = [name_stream(stream) for stream in streams]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def choose_stills(stills: Sequence[Still], most: int, end_s: float) -> list[Still]:
    """At most so many, each the nearest to the middle of its equal part of the video."""
    count = min(most, len(stills))
    times = np.array([still.time for still in stills])
    middles = (np.arange(count) + 0.5) / max(count, 1) * end_s
    return [stills[int(np.abs(times - middle).argmin())] for middle in middles]


def draw_still(still: Still, portrait: PersonPictures, aspect: float | None = None) -> np.ndarray:
    """[H, W, 3] uint8 blue, green, red, with the box around the person's face.

    Args:
        still: frame.
        portrait: of the person.
        aspect: width / height that the picture is cut to, around the face; None leaves it whole.
    """
    picture = cv2.imdecode(np.frombuffer(still.jpeg, np.uint8), cv2.IMREAD_COLOR)
    box = find_box(portrait, still)
    boxed = draw_box(picture[..., ::-1], box)
    if aspect is not None:
        boxed = cut_around(boxed, box, aspect)
    return shrink(boxed, min(WIDTH, boxed.shape[1]))


def cut_around(picture: np.ndarray, box: np.ndarray | None, aspect: float) -> np.ndarray:
    """As much of a picture [H, W, 3] as `aspect` leaves, its middle as near to that of the box as can be."""
    height, width = picture.shape[:2]
    wide, high = min(width, round(height * aspect)), min(height, round(width / aspect))
    x, y = (width / 2, height / 2) if box is None else ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    left, top = (int(np.clip(m - s / 2, 0, e - s)) for m, s, e in ((x, wide, width), (y, high, height)))
    return np.ascontiguousarray(picture[top : top + high, left : left + wide])


def choose_traces(portrait: PersonPictures, most: int) -> dict[str, np.ndarray]:
    """The expression traces [T] that move most in this video, by name."""
    rows = portrait.behaviour
    if not len(rows) or not np.isfinite(rows).any():
        return {}
    pairs = pair_sides(portrait.columns)
    traces = {name: np.mean([rows[:, i] for i in columns], axis=0) for name, columns in pairs.items()}
    lively = sorted(traces, key=lambda name: (-np.nanstd(traces[name]), name))[:most]
    return {name: traces[name] for name in sorted(lively)}
