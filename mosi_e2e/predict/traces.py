"""What the pages of a result have in common: which stills and which traces are shown."""

from collections.abc import Sequence

import cv2
import numpy as np

from mosi_e2e.explore.strips import draw_box, shrink
from mosi_e2e.explore.tracks import pair_sides
from mosi_e2e.predict.pictures import Portrait, Still, find_box

WIDTH = 240  # pixels, of a still in a strip
STREAM_NAMES = {
    "face": "face",
    "speech": "voice",
    "behaviour": "expression and head",
    "acoustics": "voice, descriptors",
    "functionals": "voice, functionals",
    "visual": "what is seen",
    "acoustic": "what is heard",
}


def name_stream(stream: str) -> str:
    """For people."""
    return STREAM_NAMES.get(stream, stream.replace("_", " "))


def choose_stills(stills: Sequence[Still], most: int) -> list[Still]:
    """At most so many at equal steps."""
    return list(stills[:: max(-(-len(stills) // most), 1)])


def draw_still(still: Still, portrait: Portrait) -> np.ndarray:
    """[H, W, 3] uint8 blue, green, red, with the box around the person's face."""
    picture = cv2.imdecode(np.frombuffer(still.jpeg, np.uint8), cv2.IMREAD_COLOR)
    boxed = draw_box(picture[..., ::-1], find_box(portrait, still))
    return shrink(boxed, min(WIDTH, boxed.shape[1]))


def choose_traces(portrait: Portrait, most: int) -> dict[str, np.ndarray]:
    """The expression traces [T] that move most in this video, by name."""
    rows = portrait.behaviour
    if not len(rows) or not np.isfinite(rows).any():
        return {}
    pairs = pair_sides(portrait.columns)
    traces = {name: np.mean([rows[:, i] for i in columns], axis=0) for name, columns in pairs.items()}
    lively = sorted(traces, key=lambda name: (-np.nanstd(traces[name]), name))[:most]
    return {name: traces[name] for name in sorted(lively)}
