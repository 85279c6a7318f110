"""What OpenFace makes of one clip: behaviour tokens and, if asked for, its own aligned faces as crops."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from preprocessing.cache.store import Arrays
from preprocessing.config import PreprocessConfig
from preprocessing.media.decode import check_duration, join_remarks
from preprocessing.media.file import Media
from preprocessing.media.frames import pick_frames
from preprocessing.openface.columns import describe_columns
from preprocessing.openface.program import ALIGNED, extract_openface, list_aligned_faces
from preprocessing.openface.table import (
    OpenFaceTable,
    behaviour_from_openface,
    find_openface_csv,
    pick_columns,
    read_openface_csv,
)
from preprocessing.stages import StageResult, find_stage

if TYPE_CHECKING:
    from preprocessing.stages.clip import Clip

SQUEEZED = "pixels are not square, and OpenFace takes them for square: convert the clip to square pixels"
LANDMARKS = "landmarks_2d"  # what the box around a face is measured by


def run_openface_stages(clip: "Clip") -> dict[str, StageResult]:
    """`behaviour` of one clip and, with `faces.source=openface`, `faces`, from one run of the program."""
    media, config = clip.media, clip.config
    options, time = config.behaviour.openface, media.frames.time
    if config.behaviour.backend == "openface_csv":
        table = read_openface_csv(find_openface_csv(options.csv_dir, clip.clip_id, clip.path.stem), options)
        return {"behaviour": _pack_tokens(table, media, config)}
    with tempfile.TemporaryDirectory(prefix="openface-") as name:
        folder = Path(name)
        if config.faces.source != "openface":
            table = extract_openface(clip.path, folder, options, len(time))
            return {"behaviour": _pack_tokens(table, media, config)}
        wider = replace(options, groups=list(dict.fromkeys((*options.groups, LANDMARKS))))
        table = extract_openface(clip.path, folder, wider, len(time), config.faces.size)
        return {
            "behaviour": _pack_tokens(table, media, config),
            "faces": _pack_faces(table, folder / ALIGNED, clip),
        }


def _pack_tokens(table: OpenFaceTable, media: Media, config: PreprocessConfig) -> StageResult:
    options = config.behaviour.openface
    table = pick_columns(table, list(describe_columns(options.groups)))
    arrays = behaviour_from_openface(table, media.frames.time, options)
    state = "ok" if arrays["behaviour_valid"].any() else "no_face"
    return StageResult(arrays, state, _describe(arrays, media, config))


def _pack_faces(table: OpenFaceTable, images: Path, clip: "Clip") -> StageResult:
    """Aligned faces at the rate of the crops.

    Only those of valid rows, since images are written at any confidence.
    """
    media, config = clip.media, clip.config
    options, time = config.behaviour.openface, media.frames.time
    arrays = behaviour_from_openface(pick_columns(table, list(describe_columns([LANDMARKS]))), time, options)
    points = arrays["behaviour"].reshape(len(time), 2, -1)  # [T, x and y, 68]
    boxes = np.concatenate([points.min(axis=2), points.max(axis=2)], axis=1)
    written = list_aligned_faces(images) if images.is_dir() else {}
    rows = pick_frames(time, config.faces.rate)
    valid = np.array([arrays["behaviour_valid"][row] and row + 1 in written for row in rows], dtype=bool)
    if not valid.any():
        return find_stage("faces").absent(clip, "no_face", _describe(arrays, media, config))
    crops = [written[row + 1].read_bytes() if ok else b"" for row, ok in zip(rows, valid, strict=True)]
    faces = {
        "face_jpeg": np.frombuffer(b"".join(crops), dtype=np.uint8),
        "face_offset": np.cumsum([0, *map(len, crops)]).astype(np.int64),
        "face_time": time[rows],
        "face_valid": valid,
        "face_box": np.where(valid[:, None], boxes[rows], 0).astype(np.float32),
    }
    return StageResult(faces, "ok", _describe(arrays, media, config))


def _describe(arrays: Arrays, media: Media, config: PreprocessConfig) -> dict[str, object]:
    promised_s, decoded_s = media.info.video_duration_s, media.frames.span_s
    missing = check_duration("picture", promised_s, decoded_s, config.decode.max_missing)
    squeezed = "" if media.frames.has_square_pixels else SQUEEZED
    return {
        "duration_s": round(media.info.duration_s, 3),
        "n_frames": len(media.frames.time),
        "face_ratio": round(float(arrays["behaviour_valid"].mean()), 4),
        "remark": join_remarks(missing, media.frames.remark, squeezed, media.info.remark),
    }
