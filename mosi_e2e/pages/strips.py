"""Pictures along the time axis: the cached crops, and frames of the raw clip with the face box."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from mosi_e2e.pages.page import embed
from mosi_e2e.pages.tracks import Axis, Tile, Track, absent
from preprocessing.cache.crops import split_crops
from preprocessing.cache.store import Arrays

MOST = 9  # pictures in a strip
CROP_SIDE, FRAME_WIDTH = 112, 200  # pixels
QUALITY = 78
BOX_COLOUR = (240, 228, 66)  # of Okabe and Ito's, the one that shows on skin and on most backgrounds


def track_crops(arrays: Arrays, axis: Axis) -> Track:
    """The crops as the models get them; a place without a face stays empty."""
    crops = split_crops(arrays["face_jpeg"], arrays["face_offset"])
    rows = choose_rows(len(crops))
    pictures = [
        shrink(cv2.imdecode(crops[row], cv2.IMREAD_COLOR), CROP_SIDE) if arrays["face_valid"][row] else None
        for row in rows
    ]
    return make_strip("face crops", pictures, arrays["face_time"][rows], axis)


def track_frames(path: Path, arrays: Arrays, axis: Axis) -> Track:
    """Frames of the raw clip with the box of the face that the crops show.

    Args:
        path: the raw clip; it is decoded.
        arrays: of the stage `faces`.
        axis: of the clip.
    """
    from preprocessing.media.decode import MediaError, probe
    from preprocessing.media.frames import FrameReader

    rows = choose_rows(len(arrays["face_time"]))
    try:
        reader = FrameReader(probe(path))
        index = np.abs(reader.time[None] - arrays["face_time"][rows][:, None]).argmin(axis=1)
        frames = dict(reader.frames(index))
    except MediaError as error:
        return absent("frames", str(error))
    rows = [row for row, position in zip(rows, index, strict=True) if position in frames]
    pictures = [
        shrink(draw_box(frame, arrays["face_box"][row] if arrays["face_valid"][row] else None), FRAME_WIDTH)
        for frame, row in zip(frames.values(), rows, strict=True)
    ]
    return make_strip("frames", pictures, arrays["face_time"][rows], axis)


def choose_rows(count: int) -> np.ndarray:
    """At most `MOST` rows at equal steps from the first."""
    return np.arange(0, count, max(-(-count // MOST), 1))


def draw_box(frame: np.ndarray, box: np.ndarray | None) -> np.ndarray:
    """[H, W, 3] blue, green, red, with the box [4] around the face."""
    picture = np.ascontiguousarray(frame[..., ::-1])
    if box is not None:
        corners = [round(float(edge)) for edge in box]
        thickness = max(frame.shape[1] // 120, 2)
        cv2.rectangle(picture, corners[:2], corners[2:], BOX_COLOUR[::-1], thickness)
    return picture


def shrink(picture: np.ndarray, width: int) -> np.ndarray:
    """A picture of a width in pixels, its proportions kept."""
    height = max(round(picture.shape[0] * width / picture.shape[1]), 1)
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


def make_strip(name: str, pictures: Sequence[np.ndarray | None], time: np.ndarray, axis: Axis) -> Track:
    """A strip whose pictures begin at their time, as wide as the step between them."""
    shapes = [picture.shape for picture in pictures if picture is not None]
    if not shapes:
        return absent(name, "no face")
    step = float(np.median(np.diff(time))) if len(time) > 1 else axis.end_s / MOST
    width = min(axis.percent(step), 100.0)
    stills = [
        Tile(
            embed(
                cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes(), "image/jpeg"
            ),
            f"{name} at {second:.2f} s",
            axis.percent(second),
            width,
        )
        for picture, second in zip(pictures, time, strict=True)
        if picture is not None
    ]
    height, across = shapes[0][:2]
    return Track(
        name,
        f"every {step:.1f} s" if len(time) > 1 else "",
        "strip",
        stills=stills,
        aspect=round(100 / width * across / height, 3),
        alt=f"{name} every {step:.1f} s",
    )
