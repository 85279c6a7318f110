"""How well `preprocessing.faces.covers` notices covered mouths and eyes, on real clips with drawn covers.

    python benchmarks/covers.py --clips FOLDER

Per cover: AUC over clips against the same clips uncovered, and in how many clips the remark would stand. The
covers follow the landmarks of the uncovered picture; the landmarker then sees the covered one.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from preprocessing.config import DecodeConfig, FacesConfig, TrackConfig
from preprocessing.errors import UserError, command
from preprocessing.faces.covers import LEAST, LEFT_EYE, LIPS, RIGHT_EYE
from preprocessing.faces.landmarks import load_landmarker
from preprocessing.media.file import Media
from preprocessing.media.frames import pick_frames
from preprocessing.sets.media_files import MEDIA_EXTENSIONS, walk_files

LOWER_FACE = (127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152)
LOWER_FACE += (377, 400, 378, 379, 365, 397, 288, 361, 323, 454, 356, 6)
EYES = RIGHT_EYE + LEFT_EYE
Cover = Callable[[np.ndarray, np.ndarray], None]  # changes a frame [H, W, 3] with a face mesh [478, 2]


def fill_hull(part: tuple[int, ...], colour: tuple[int, int, int], grow: float = 1.0) -> Cover:
    def draw(frame: np.ndarray, points: np.ndarray) -> None:
        outline = points[list(part)]
        middle = outline.mean(axis=0)
        cv2.fillConvexPoly(
            frame, cv2.convexHull(((outline - middle) * grow + middle).astype(np.int32)), colour
        )

    return draw


def change_box(part: tuple[int, ...], grow: float, change: Callable[[np.ndarray], object]) -> Cover:
    def draw(frame: np.ndarray, points: np.ndarray) -> None:
        outline = points[list(part)]
        middle, reach = outline.mean(axis=0), grow / 2 * np.ptp(outline, axis=0)
        (x0, y0), (x1, y1) = np.maximum(middle - reach, 0).astype(int), (middle + reach).astype(int)
        if frame[y0:y1, x0:x1].size:
            frame[y0:y1, x0:x1] = change(frame[y0:y1, x0:x1])

    return draw


def wear_glasses(frame: np.ndarray, points: np.ndarray) -> None:
    for eye in (RIGHT_EYE, LEFT_EYE):
        fill_hull(eye, (15, 15, 20), 2.2)(frame, points)


def blur(part: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(part, (0, 0), max(part.shape[:2]) / 5)


def coarsen(part: np.ndarray) -> np.ndarray:
    small = cv2.resize(part, (5, 5), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, part.shape[1::-1], interpolation=cv2.INTER_NEAREST)


def draw_noise(part: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, part.shape, np.uint8)


COVERS: dict[str, tuple[str, Cover]] = {
    "blue mask": ("mouth", fill_hull(LOWER_FACE, (150, 190, 220))),
    "black mask": ("mouth", fill_hull(LOWER_FACE, (25, 25, 28))),
    "black box": ("mouth", change_box(LIPS, 1.6, lambda part: 0)),
    "box as the skin": ("mouth", change_box(LIPS, 1.6, lambda part: part[0, 0])),
    "blur": ("mouth", change_box(LIPS, 1.8, blur)),
    "mosaic": ("mouth", change_box(LIPS, 1.6, coarsen)),
    "noise": ("mouth", change_box(LIPS, 1.6, draw_noise)),
    "black bar": ("eyes", change_box(EYES, 1.4, lambda part: 0)),
    "dark glasses": ("eyes", wear_glasses),
    "blurred eyes": ("eyes", change_box(EYES, 1.4, blur)),
}


def read_frames(path: Path, count: int) -> Iterator[np.ndarray]:
    reader = Media(path, DecodeConfig()).frames
    index = pick_frames(reader.time, FacesConfig.rate)
    places = np.unique(np.linspace(0, len(index) - 1, count).round().astype(int))
    yield from (frame for _, frame in reader.frames(index[places]))


def measure_clip(path: Path, count: int) -> dict[tuple[str, str], float]:
    """The median detail per (cover, part); "" is no cover."""
    landmarker, crop = load_landmarker(TrackConfig(max_faces=1)), FacesConfig()
    found: dict[tuple[str, str], list[float]] = {}
    for frame in read_frames(path, count):
        for face in landmarker(frame, crop):
            for part in LEAST:
                found.setdefault(("", part), []).append(face.detail[part])
            for name, (part, draw) in COVERS.items():
                covered = frame.copy()
                draw(covered, face.points)
                for seen in landmarker(covered, crop):
                    found.setdefault((name, part), []).append(seen.detail[part])
    return {key: float(np.median(values)) for key, values in found.items()}


def describe_cover(name: str, part: str, clips: list[dict[tuple[str, str], float]]) -> str:
    covered = np.array([clip[name, part] for clip in clips if (name, part) in clip])
    bare = np.array([clip["", part] for clip in clips if ("", part) in clip])
    auc = (covered[:, None] < bare).mean()
    return f"{part:8}{name:18}{auc:8.2f}{(covered < LEAST[part]).sum():10} of {len(covered)}"


@command
def main(argv: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/covers.py",
        description="Measure how well covered mouths and eyes are noticed.",
        epilog="example: python benchmarks/covers.py --clips talking --frames 8",
    )
    parser.add_argument("--clips", type=Path, nargs="+", required=True, help="clips of one face each")
    parser.add_argument("--frames", type=int, default=8, help="of each clip; default: 8")
    args = parser.parse_args(argv)
    paths = [p for folder in args.clips for p in walk_files(folder) if p.suffix.lower() in MEDIA_EXTENSIONS]
    if not paths:
        raise UserError("there are no clips; type --clips FOLDER with clips of one face each")
    clips = [measure_clip(path, args.frames) for path in tqdm(paths, unit="clip")]
    print(f"{'part':8}{'cover':18}{'AUC':>8}{'remark':>12}, {len(clips)} clips")
    for part in LEAST:
        alarms = sum(clip["", part] < LEAST[part] for clip in clips if ("", part) in clip)
        print(f"{part:8}{'none':18}{'':8}{alarms:10} of {len(clips)}")
    print("\n".join(describe_cover(name, part, clips) for name, (part, _) in COVERS.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
