"""A second look for faces that are small in the picture, at parts of it.

The detector sees 128 x 128 pixels of every picture: a face narrower than about a tenth of the longer side
escapes it, one of 120 pixels in 1920 included. Where a whole clip shows no face, a few of its frames are
looked at in overlapping squares; around what is found there, all sampled frames are looked at again. Clips
with a face anywhere are not touched. Measured: docs/preprocessing.md.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from preprocessing.config import FacesConfig
from preprocessing.faces.landmarks import Face, FaceLandmarker

LOOKS = 5  # frames of a clip that are searched, evenly spread
SHARES = (2, 4)  # squares are so many times smaller than the picture's longer side
LEAST_SIDE = 256  # pixels of a square: a face in a smaller one has too few pixels for its expression
AROUND = 6.0  # sides of a square per width of the face that it was made for
SAME = 0.3  # intersection over union of two squares' sights of one face
HALF_VIEW = math.tan(math.radians(63 / 2))  # the landmarker takes the picture's height for 63 degrees


@dataclass(frozen=True)
class Square:
    """Part of a picture, in pixels."""

    x: int
    y: int
    side: int

    def cut(self, frame: np.ndarray) -> np.ndarray:
        """[H, W, 3] up to `side` each way; less where the picture is smaller."""
        return np.ascontiguousarray(frame[self.y : self.y + self.side, self.x : self.x + self.side])


def spread_looks(index: np.ndarray) -> np.ndarray:
    """Which of the sampled frames are searched."""
    places = np.linspace(0, len(index) - 1, LOOKS + 2)[1:-1] if len(index) > LOOKS else np.arange(len(index))
    return index[np.unique(np.round(places).astype(int))]


def find_squares(frames: Iterable[np.ndarray], landmarker: FaceLandmarker, most: int) -> list[Square]:
    """Where to look for the faces of a clip, at most `most` places; none where no frame shows a face.

    Args:
        frames: [H, W, 3] uint8 RGB, a few of the clip.
        landmarker: looks at each of their squares.
        most: people told apart.
    """
    boxes, shape = [], (0, 0)
    for frame in frames:
        shape = frame.shape[:2]
        boxes += [face.box for face in look_at_squares(frame, list_squares(shape), landmarker, None)]
    boxes.sort(key=lambda box: box[0] - box[2])  # the widest first
    squares: list[Square] = []
    for box in boxes:
        if not any(_is_central(box, square) for square in squares):
            squares.append(_put_around(box, shape))
    return squares[:most]


def list_squares(shape: tuple[int, int]) -> list[Square]:
    """Squares that overlap by half and cover a picture (height, width), the large ones first.

    >>> len(list_squares((1080, 1920))), list_squares((240, 320))
    (34, [])
    """
    height, width = shape
    sides = [max(shape) // share for share in SHARES]
    return [
        Square(x, y, side)
        for side in sides
        if side >= LEAST_SIDE
        for y in _spread(height, side)
        for x in _spread(width, side)
    ]


def look_at_squares(
    frame: np.ndarray, squares: Sequence[Square], landmarker: FaceLandmarker, crop: FacesConfig | None
) -> list[Face]:
    """Faces in parts of a frame, each once, as if they had been found in the whole."""
    found: list[Face] = []
    for square in squares:
        part = square.cut(frame)
        faces = [place_face(face, square, part.shape, frame.shape) for face in landmarker(part, crop)]
        found += [face for face in faces if all(overlap(face.box, other.box) < SAME for other in found)]
    return found


def place_face(face: Face, square: Square, part: tuple[int, ...], whole: tuple[int, ...]) -> Face:
    """A face seen in a part of a picture, with place and distance as in the whole picture."""
    pose = face.pose.copy()
    # Pixels from the middle of the whole picture to that of the part, right and up, at the face's distance.
    right = square.x + part[1] / 2 - whole[1] / 2
    up = whole[0] / 2 - square.y - part[0] / 2
    cm_per_pixel = -pose[2, 3] * 2 * HALF_VIEW / part[0]  # the camera looks along -z
    pose[0, 3] += right * cm_per_pixel
    pose[1, 3] += up * cm_per_pixel
    pose[2, 3] *= whole[0] / part[0]
    return replace(face, points=face.points + np.array([square.x, square.y]), pose=pose)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes [x0, y0, x1, y1]."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    common = np.prod(np.clip(high - low, 0, None))
    return float(common / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - common))


def _spread(length: int, side: int) -> list[int]:
    count = max(1, math.ceil((length - side) / (side / 2)) + 1)
    return np.linspace(0, max(length - side, 0), count).round().astype(int).tolist()


def _is_central(box: np.ndarray, square: Square) -> bool:
    """Whether a square sees the face well away from its edges and large enough."""
    middle = (box[:2] + box[2:]) / 2 - (square.x, square.y)
    return bool((abs(middle / square.side - 0.5) < 0.25).all() and (box[2] - box[0]) * 8 > square.side)


def _put_around(box: np.ndarray, shape: tuple[int, int]) -> Square:
    side = round(AROUND * (box[2] - box[0]))
    corner = (box[:2] + box[2:]) / 2 - side / 2
    x, y = (int(np.clip(round(c), 0, max(n - side, 0))) for c, n in zip(corner, shape[::-1], strict=True))
    return Square(x, y, side)
