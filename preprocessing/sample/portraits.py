"""The two public-domain portraits that the sample set is made from, and where their faces are."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from preprocessing.errors import UserError


@dataclass(frozen=True)
class Portrait:
    """A still portrait and what must be known to move its face.

    Attributes:
        package: the module that ships the picture as `file`; `distribution` is what pip calls it.
        points: landmarks in pixels of the picture; left and right are the viewer's.
        lips_apart: how far upper and lower lip stand below the line through the mouth's corners, pixels.
        relax: how much of the move `relax` brings this mouth to neutral: one cue must look the same on all.
        lid_room: height of the skin above the eye that a blink draws down, in half face widths.
        zoom: enlargement that makes the face as large in the frame as the others are.
    """

    package: str
    distribution: str
    file: str
    credit: str
    points: dict[str, tuple[float, float]]
    lips_apart: tuple[float, float]
    relax: float
    lid_room: float
    zoom: float

    def read(self) -> np.ndarray:
        """The picture, [height, width, 3] BGR uint8.

        Raises:
            UserError: the package that ships the picture is not installed.
        """
        spec = find_spec(self.package)
        path = Path(spec.origin).parent / self.file if spec else Path(self.file)
        picture = cv2.imread(str(path)) if path.is_file() else None
        if picture is None:
            raise UserError(
                f"the sample set is made from {self.file} of {self.package}, which is missing: "
                f"type `pip install --force-reinstall {self.distribution}`"
            )
        return picture


PORTRAITS = {
    "astronaut": Portrait(
        package="skimage",
        distribution="scikit-image",
        file="data/astronaut.png",
        credit="Eileen Collins, NASA, public domain (scikit-image: astronaut.png)",
        points={
            "mouth_left": (203.0, 139.4), "mouth_right": (243.6, 140.8), "lips": (223.2, 146.2),
            "chin": (221.4, 177.4), "nose": (223.5, 131.1),
            "brow_in_left": (216.3, 94.9), "brow_left": (197.5, 86.6), "brow_out_left": (187.9, 90.7),
            "brow_in_right": (234.4, 95.5), "brow_right": (254.2, 89.6), "brow_out_right": (263.7, 94.9),
            "eye_out_left": (195.3, 100.6), "eye_in_left": (213.6, 103.6),
            "eye_top_left": (203.2, 97.8), "eye_low_left": (204.2, 104.2),
            "eye_in_right": (236.4, 104.9), "eye_out_right": (255.3, 103.8),
            "eye_top_right": (247.0, 100.0), "eye_low_right": (246.0, 106.5),
            "side_left": (180.9, 109.9), "side_right": (269.8, 114.4), "top": (226.0, 72.2),
        },
        lips_apart=(3.1, 9.1),
        relax=1.3,
        lid_room=0.12,
        zoom=1.45,
    ),
    "hopper": Portrait(
        package="matplotlib",
        distribution="matplotlib",
        file="mpl-data/sample_data/grace_hopper.jpg",
        credit="Grace Hopper, U.S. Navy, public domain (matplotlib: grace_hopper.jpg)",
        points={
            "mouth_left": (235.5, 279.1), "mouth_right": (301.0, 276.8), "lips": (266.6, 279.3),
            "chin": (270.1, 334.6), "nose": (266.4, 246.3),
            "brow_in_left": (244.7, 177.0), "brow_left": (204.3, 165.9), "brow_out_left": (185.3, 178.0),
            "brow_in_right": (281.7, 174.2), "brow_right": (320.5, 158.3),
            "brow_out_right": (340.4, 168.2),
            "eye_out_left": (207.4, 193.5), "eye_in_left": (240.6, 195.4),
            "eye_top_left": (222.0, 186.8), "eye_low_left": (223.4, 196.8),
            "eye_in_right": (288.5, 192.5), "eye_out_right": (321.7, 186.5),
            "eye_top_right": (307.0, 181.2), "eye_low_right": (305.7, 192.0),
            "side_left": (174.0, 217.8), "side_right": (354.5, 207.0), "top": (260.6, 133.4),
        },
        lips_apart=(1.3, 1.3),
        relax=0.0,
        lid_room=0.1,
        zoom=0.98,
    ),
}  # fmt: skip
