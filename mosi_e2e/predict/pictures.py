"""Small pictures that are kept of a video while it is decoded, for its page: nothing is decoded twice."""

from dataclasses import dataclass, field

import cv2
import numpy as np

WIDTH = 480  # pixels: a name beside a face stays readable
QUALITY = 80
MOST = 96  # kept of one video: twice as many are thinned out to every second one
SAME_FRAME_S = 0.02


@dataclass(frozen=True)
class Still:
    """A frame, made small.

    Attributes:
        time: seconds.
        jpeg: the picture.
        scale: its width as a share of the frame's.
    """

    time: float
    jpeg: bytes
    scale: float


@dataclass(frozen=True)
class PersonPictures:
    """What the page shows of a person.

    Attributes:
        stills: of the whole video, the same for everybody.
        box_time: [T] seconds of the frames that were looked at.
        box: [T, 4] x0, y0, x1, y1 in pixels of the frame; NaN where the face was not found.
        behaviour: [T, D] behaviour tokens; NaN where there is none.
        behaviour_time: [T].
        columns: their names.
    """

    stills: list[Still] = field(default_factory=list)
    box_time: np.ndarray = field(default_factory=lambda: np.zeros(0))
    box: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    behaviour: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    behaviour_time: np.ndarray = field(default_factory=lambda: np.zeros(0))
    columns: list[str] = field(default_factory=list)


def find_box(portrait: PersonPictures, still: Still) -> np.ndarray | None:
    """The face's box [4] in a still, in its own pixels; None where the face was not found."""
    if not len(portrait.box_time):
        return None
    row = int(np.abs(portrait.box_time - still.time).argmin())
    near = abs(portrait.box_time[row] - still.time) < SAME_FRAME_S
    return portrait.box[row] * still.scale if near and np.isfinite(portrait.box[row]).all() else None


class Album:
    """Keeps stills at equal steps of a video whose length is not known before."""

    def __init__(self) -> None:
        self.stills: list[Still] = []
        self._step, self._seen = 1, 0

    def offer(self, time: float, frame: np.ndarray) -> None:
        """Keep every so manyth frame [H, W, 3] uint8 RGB."""
        if self._seen % self._step == 0:
            self.stills.append(_shrink(time, frame))
        self._seen += 1
        if len(self.stills) >= 2 * MOST:
            self.stills, self._step = self.stills[::2], 2 * self._step


def _shrink(time: float, frame: np.ndarray) -> Still:
    scale = min(WIDTH / frame.shape[1], 1.0)
    small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    jpeg = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
    return Still(time, jpeg, small.shape[1] / frame.shape[1])
