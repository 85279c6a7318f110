"""Frames by decord, `decode.reader=decord`, where it is right and bounded.

decord decodes and converts every frame and keeps them all until the clip ends. Cases were seen in which
decord 3.4 gives wrong frames or none, all silently; there PyAV reads instead:

- MPEG program streams: the first group of pictures is lost, every frame comes half a second early;
- an edit list that discards frames: at the front, times and pictures are shifted against each other, at the
  end, the last picture comes twice;
- a decoder that asks to be emptied first (HEVC with B frames): the reader stops in mid-file;
- pixels that are not square, sizes that change, time stamps that start again or are missing: it knows nothing
  of them.

Its `skip_frames` is not used: it jumps to key frames, and lands elsewhere where groups of pictures are open
(H.264, HEVC) or the container seeks inexactly (WMV).
"""

from collections.abc import Iterator
from contextlib import suppress

import numpy as np
from av.error import FFmpegError

from preprocessing.media.clock import Clock
from preprocessing.media.container import name_file, open_media
from preprocessing.media.decode import MediaInfo, video_stream
from preprocessing.media.decord_import import decord
from preprocessing.media.pictures import PictureMaker, Size

SAME_PICTURE = 1.0  # mean absolute difference of 8-bit values; converters round differently by less
SAME_TIME_S = 1e-3  # decord keeps times in single precision
MAX_BYTES = 256 << 20  # of all frames of a clip together: 7.5 s of 720p; a clip of CMU-MOSI has about 83 MB


def open_decord(info: MediaInfo, time: np.ndarray, canvas: Size | None) -> "decord.VideoReader | None":
    """A decord reader, or None where it would keep too much, or is known or seen to be wrong.

    Args:
        info: the clip.
        time: [N] seconds of all frames after the first one.
        canvas: see `find_canvas`.
    """
    if info.container.startswith("mpeg") or _needs_pyav(info.clock):
        return None
    expected, stored = _first_picture(info, canvas)
    if expected is None or expected.size != stored or len(time) * stored > MAX_BYTES:
        return None
    try:
        reader = decord.VideoReader(name_file(info.path), num_threads=1)
        own = _list_times(reader)
        if own.shape != time.shape or not np.allclose(own, time, rtol=0, atol=SAME_TIME_S):
            return None
        first = reader.next().asnumpy()
    except (RuntimeError, StopIteration, ValueError, decord.DECORDError):
        return None
    if first.shape != expected.shape:
        return None
    same = np.abs(first.astype(np.int16) - expected).mean() < SAME_PICTURE
    return reader if same else None


def read_decord(reader: "decord.VideoReader", index: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """The frames at the increasing positions `index`, up to where decord stops."""
    reader.seek(0)
    position = 0
    for target in map(int, index):
        with suppress(RuntimeError, StopIteration, decord.DECORDError):
            for _ in range(target - position):
                reader.next()
            frame = reader.next().asnumpy()
            position = target + 1
            yield target, frame
            continue
        return


def _needs_pyav(clock: Clock) -> bool:
    return clock.is_corrected or clock.video.is_ordered


def _first_picture(info: MediaInfo, canvas: Size | None) -> tuple[np.ndarray | None, int]:
    """PyAV's first picture, and how many values it has as it is stored."""
    with open_media(info.path) as container, suppress(FFmpegError):
        stream = video_stream(container)
        frame = next(container.decode(stream), None)
        if frame is not None:
            return PictureMaker(stream, canvas)(frame), frame.width * frame.height * 3
    return None, 0


def _list_times(reader: "decord.VideoReader") -> np.ndarray:
    """[N] seconds of the frames as decord has them."""
    stamps = np.asarray(reader.get_frame_timestamp(range(len(reader))), dtype=np.float64)
    return stamps.reshape(-1, 2)[:, 0]
