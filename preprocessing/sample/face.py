"""The rig that moves the face of a still portrait.

A rig turns a `FacePose` (smile, brows, jaw, lids, head) into a picture by backward warping: smooth
fields of displacement, anchored at facial landmarks, carry mouth corners, brows and head; lips and
eyelids, where skin slides over what lies behind it, are moved by piecewise maps along their own edges.
"""

from typing import NamedTuple

import cv2
import numpy as np

from preprocessing.sample.portraits import Portrait

FIELD_STEP = 4  # smooth fields are summed on every fourth pixel, then enlarged
CAVITY_BGR = np.array([30.0, 26.0, 62.0], np.float32)
TEETH_BGR = np.array([130.0, 165.0, 190.0], np.float32)
LIP_EDGE = 0.6  # pixels of each lip's edge left out: they mix with what shows between the lips
TURN = 0.12  # how far the nose goes at turn = 1 or nod = 1, in half face widths
OPEN_MOUTH = 0.26  # gap between the lips at jaw = 1, in half face widths


class FacePose(NamedTuple):
    """What a face does at one moment; with arrays in place of numbers, what it does over time.

    Smile -1 (frown) to 1, brow -1 (knit) to 1 (raised), jaw and lid 0 (closed mouth, open eye) to 1;
    turn -1 to 1 and head shifts in half face widths; tilt in degrees; zoom as a factor.
    """

    smile: float
    brow: float
    jaw: float
    lid: float
    turn: float
    nod: float
    shift_x: float
    shift_y: float
    tilt: float
    zoom: float


# Where a movement acts: landmark (of either side, where it has two), radius, displacement (x away from
# the face's middle, y down). Radius and displacement are in half face widths.
MOVES = {
    "smile": [
        ("mouth", 0.30, (0.10, -0.13)),
        ("lips", 0.22, (0.0, 0.03)),
        ("eye_low", 0.25, (0.0, -0.025)),
    ],
    "frown": [("mouth", 0.30, (-0.02, 0.13)), ("lips", 0.22, (0.0, -0.03))],
    "relax": [("mouth", 0.30, (-0.07, 0.10))],
    "raise": [
        ("brow_in", 0.24, (0.0, -0.07)),
        ("brow", 0.26, (0.0, -0.10)),
        ("brow_out", 0.24, (0.0, -0.07)),
    ],
    "knit": [
        ("brow_in", 0.24, (-0.05, 0.11)),
        ("brow", 0.24, (-0.02, 0.08)),
        ("brow_out", 0.20, (0.0, 0.03)),
    ],
    "nod": [("nose", 0.60, (0.0, 1.0)), ("mouth", 0.28, (0.0, 0.3))],  # the mouth goes along, level
    "turn": [("nose", 0.55, (1.0, 0.0))],
}
SINGLE = ("nose", "lips", "chin", "top")  # landmarks in the middle of the face


def bump(distance: np.ndarray) -> np.ndarray:
    """A smooth hill: 1 at distance 0, exactly 0 from distance 1 on."""
    return np.square(np.clip(1 - np.square(distance), 0, 1))


class FaceRig:
    """A still portrait, its landmarks and the fields that move it.

    Attributes:
        still: [height, width, 3] BGR uint8, face upright.
        points: landmark name to (x, y) in pixels of `still`.
        unit: half the face's width in pixels; all movements scale with it.
    """

    def __init__(self, still: np.ndarray, points: dict[str, np.ndarray], portrait: Portrait, scale: float):
        """Builds the fields once; `scale` is the enlargement from `portrait` to `still`."""
        self.still = still
        self.points = points
        self.lips_apart = (scale * portrait.lips_apart[0], scale * portrait.lips_apart[1])
        self.relax = portrait.relax
        self.unit = float(points["side_right"][0] - points["side_left"][0]) / 2
        self.middle = float(points["eye_in_left"][0] + points["eye_in_right"][0]) / 2
        height, width = still.shape[:2]
        top = points["brow_left"][1] - 0.8 * self.unit
        bottom = points["lips"][1] + 1.45 * self.unit
        self.face = _window(self.middle, 1.45 * self.unit, top, bottom, width, height)
        self.face_x, self.face_y = _grid(self.face)
        lips = int(points["lips"][1] - 0.5 * self.unit) - self.face[0].start
        self.lower = (
            slice(lips, None),
            slice(int(0.2 * self.unit), -int(0.2 * self.unit)),
        )  # part of the face
        self.fields = {name: self._build_field(moves) for name, moves in MOVES.items()}
        self.lids = [self._build_lid(side, portrait.lid_room * self.unit) for side in ("left", "right")]
        self._build_head(width, height)

    def render(self, pose: FacePose) -> np.ndarray:
        """The portrait in that pose, [height, width, 3] BGR uint8."""
        picture = self.still.copy()
        picture[self.face] = self._express(pose)
        picture[self.head] = self._move_head(picture, pose)
        return picture

    def _build_field(self, moves: list) -> np.ndarray:
        """Displacement over the face window, [rows, columns, 2] on the coarse grid, pixels."""
        x, y = _grid(self.face, FIELD_STEP)
        field = np.zeros((*x.shape, 2), np.float32)
        for name, radius, (outwards, down) in moves:
            sides = {name: 1} if name in SINGLE else {f"{name}_left": -1, f"{name}_right": 1}
            for point, side in sides.items():
                distance = np.hypot(x - self.points[point][0], y - self.points[point][1])
                hill = np.exp(-np.square(distance / (radius * self.unit)))
                field += hill[..., None] * np.float32([side * outwards * self.unit, down * self.unit])
        return field

    def _build_lid(self, side: str, room: float) -> tuple:
        """One eye: its part of the face window, the open lid's edge, the opening, the skin above."""
        inner, outer = self.points[f"eye_in_{side}"], self.points[f"eye_out_{side}"]
        upper, lower = self.points[f"eye_top_{side}"][1], self.points[f"eye_low_{side}"][1]
        centre, reach = (inner + outer) / 2, 1.1 * abs(outer[0] - inner[0]) / 2
        rows, columns = self.face
        inside = (
            slice(int(upper - 1.5 * room) - rows.start, int(lower + room) - rows.start),
            slice(int(centre[0] - reach) - columns.start, int(centre[0] + reach) + 1 - columns.start),
        )
        x = self.face_x[inside]
        arch = np.clip(1 - np.square((x - centre[0]) / reach), 0, 1)
        slope = (outer[1] - inner[1]) / (outer[0] - inner[0])
        line = centre[1] + slope * (x - centre[0]) + (upper - centre[1]) * arch
        return inside, np.float32(line), np.float32((lower - upper) * arch), np.float32(room)

    def _build_head(self, width: int, height: int) -> None:
        """The head's window and how far each of its pixels goes along with the head."""
        chin, top = self.points["chin"][1], self.points["top"][1]
        middle_y = (chin + top) / 2 - 0.2 * self.unit
        reach_x, reach_y = 2.6 * self.unit, 2.5 * self.unit
        self.head = _window(self.middle, reach_x, middle_y - reach_y, middle_y + reach_y, width, height)
        self.head_x, self.head_y = _grid(self.head)
        distance = np.hypot((self.head_x - self.middle) / reach_x, (self.head_y - middle_y) / reach_y)
        ramp = np.clip((1.0 - distance) / 0.5, 0, 1)
        self.head_weight = np.float32(ramp * ramp * (3 - 2 * ramp))
        self.head_right = self.head_weight * (self.head_x - np.float32(self.middle))  # of the neck
        self.head_down = self.head_weight * (self.head_y - np.float32(chin + 0.3 * self.unit))

    def _express(self, pose: FacePose) -> np.ndarray:
        """The face window with the pose's expression, head unmoved."""
        weights = {
            "smile": max(pose.smile, 0.0),
            "frown": max(-pose.smile, 0.0),
            "relax": self.relax,
            "raise": max(pose.brow, 0.0),
            "knit": max(-pose.brow, 0.0),
            "turn": TURN * pose.turn,
            "nod": TURN * pose.nod,
        }
        field = sum(np.float32(weight) * self.fields[name] for name, weight in weights.items())
        field = cv2.resize(field, self.face_x.shape[::-1], interpolation=cv2.INTER_LINEAR)
        x, y = self.face_x - field[..., 0], self.face_y - field[..., 1]
        for lid in self.lids:
            _close_lid(lid, pose.lid, y)
        cavity, teeth = self._part_lips(pose.jaw, x[self.lower], y[self.lower])
        face = cv2.remap(self.still, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        inside = CAVITY_BGR + teeth[..., None] * (TEETH_BGR - CAVITY_BGR)
        lower = face[self.lower]
        lower[:] = np.rint(lower + cavity[..., None] * (inside - lower))
        return face

    def _part_lips(self, jaw: float, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Moves lips and chin apart by changing the source rows `y` of the lower face in place.

        Returns:
            Where the mouth's inside shows and where teeth show in it, 0 to 1, both shaped like `y`.
        """
        left, right = self.points["mouth_left"], self.points["mouth_right"]
        middle, reach = (left[0] + right[0]) / 2, (right[0] - left[0]) / 2
        arch = np.clip(1 - np.square((x - np.float32(middle)) / np.float32(reach)), 0, 1)
        slope = (right[1] - left[1]) / (right[0] - left[0])
        corner = np.float32(left[1] - slope * left[0]) + np.float32(slope) * x
        up, down = self.lips_apart  # of the still; at rest the lower lip is brought to the upper
        gap = jaw * OPEN_MOUTH * self.unit
        over = corner + np.float32(up - 0.2 * gap) * arch - y  # distance from the upper lip's edge, upwards
        under = y - corner - np.float32(up + 0.8 * gap) * arch  # from the lower lip's edge, downwards

        lift = np.float32(0.2 * gap - LIP_EDGE) * arch * bump(over / np.float32(0.33 * self.unit))
        sideways = bump((x - np.float32(middle)) / np.float32(1.2 * self.unit))
        depth = np.clip(under / np.float32(0.4 * self.unit), 0, 1)
        close = np.float32(down + LIP_EDGE - up) * arch * bump(under / np.float32(0.5 * self.unit))
        drop = (
            np.float32(0.8 * gap)
            * bump(under / np.float32(1.35 * self.unit))
            * (arch + (sideways - arch) * depth)
        )
        y += np.where(under > 0, close - drop, np.where(over >= 0, lift, 0))
        cavity = np.clip(over / -1.5, 0, 1) * np.clip(under / -1.5, 0, 1) * (arch > 0)
        wide = np.clip(gap / (0.12 * self.unit) - 0.3, 0, 1)  # a narrow gap shows no teeth
        teeth = np.float32(0.6 * wide) * np.clip(1.5 + over / np.float32(0.045 * self.unit), 0, 1)
        return cavity, teeth * np.sqrt(arch)

    def _move_head(self, picture: np.ndarray, pose: FacePose) -> np.ndarray:
        """The head window after the head's own movement: tilt and zoom about the neck, then shift."""
        angle = np.deg2rad(pose.tilt)
        cos, sin = np.float32(np.cos(angle) / pose.zoom), np.float32(np.sin(angle) / pose.zoom)
        weight, right, down = self.head_weight, self.head_right, self.head_down
        shift_x, shift_y = np.float32(pose.shift_x * self.unit), np.float32(pose.shift_y * self.unit)
        x = self.head_x + (cos - 1) * right + sin * down - (cos * shift_x + sin * shift_y) * weight
        y = self.head_y + (cos - 1) * down - sin * right - (cos * shift_y - sin * shift_x) * weight
        return cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def _close_lid(lid: tuple, closed: float, y: np.ndarray) -> None:
    """Draws the skin above one eye down over it by changing the source rows `y` of the face in place."""
    inside, line, opening, room = lid
    part = y[inside]
    drop = np.float32(closed) * opening
    above = (part > line - room) & (part < line + drop) & (drop > 0.3)
    stretched = line - room + (part - line + room) * room / (room + drop)
    part[above] = stretched[above]


def _window(
    middle: float, reach: float, top: float, bottom: float, width: int, height: int
) -> tuple[slice, slice]:
    """Rows and columns of a window, cut to the picture."""
    rows = slice(max(int(top), 0), min(int(bottom), height))
    columns = slice(max(int(middle - reach), 0), min(int(middle + reach), width))
    return rows, columns


def _grid(window: tuple[slice, slice], step: int = 1) -> list[np.ndarray]:
    """Pixel coordinates x and y of a window, or of the middles of its blocks of `step` pixels."""
    rows, columns = window
    middle = np.float32((step - 1) / 2)
    y = np.arange(rows.start, rows.stop, step, dtype=np.float32) + middle
    x = np.arange(columns.start, columns.stop, step, dtype=np.float32) + middle
    return list(np.meshgrid(x, y))
