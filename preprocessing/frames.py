"""Frames of a clip with their real times.

decord reads them one after another, and only those that are asked for are copied. Cases were seen in which
decord 3.4 gives wrong frames or none, all without a word; there PyAV reads instead:

- MPEG program streams: the first group of pictures is lost, every frame comes half a second early;
- an edit list that discards frames: at the front, times and pictures are shifted against each other, at the
  end, the last picture comes twice;
- a decoder that asks to be emptied first (HEVC with B frames): the reader stops in mid-file.

Its `skip_frames` is not used: it jumps to key frames, and lands elsewhere where groups of pictures are open
(H.264, HEVC) or the container seeks inexactly (WMV).
"""

from collections.abc import Iterator
from contextlib import suppress

import av
import numpy as np
from av.error import FFmpegError

from preprocessing.decode import MediaError, MediaInfo, upright
from preprocessing.decord_import import decord

SAME_PICTURE = 1.0  # mean absolute difference of 8-bit values; converters round differently by less
SAME_TIME_S = 1e-3  # decord keeps times in single precision
ROUNDING_S = 1e-9  # of times in double precision


class FrameReader:
    """Sequential access to the frames of one clip.

    Attributes:
        time: [N] float64, seconds on the clip's clock, of every frame in presentation order.
    """

    def __init__(self, info: MediaInfo):
        self._info = info
        own = _packet_times(info)
        self._decord = _open_decord(info, own)
        self.time = own + info.video_start_s
        if not len(self.time):
            raise MediaError("the video stream has no decodable frame")

    def frames(self, index: np.ndarray) -> Iterator[np.ndarray]:
        """Yield frames [H, W, 3] uint8 RGB, upright, at the increasing positions `index` of `time`.

        Ends early where the rest of the file does not decode: the caller gets fewer frames than asked for.
        """
        done = 0
        if self._decord is not None:
            for frame in self._from_decord(index):
                yield frame
                done += 1
        if done < len(index):
            yield from self._from_pyav(index[done:])

    def _from_decord(self, index: np.ndarray) -> Iterator[np.ndarray]:
        position = 0
        for target in map(int, index):
            with suppress(RuntimeError, StopIteration, decord.DECORDError):
                for _ in range(target - position):
                    self._decord.next()
                frame = self._decord.next().asnumpy()
                position = target + 1
                yield frame
                continue
            return

    def _from_pyav(self, index: np.ndarray) -> Iterator[np.ndarray]:
        wanted = set(map(int, index))
        last = int(index[-1])
        with av.open(str(self._info.path)) as container, suppress(FFmpegError):
            for number, frame in enumerate(container.decode(video=0)):
                if number in wanted:
                    yield upright(frame.to_ndarray(format="rgb24"), self._info.quarter_turns)
                if number >= last:
                    return


def _open_decord(info: MediaInfo, time: np.ndarray) -> "decord.VideoReader | None":
    """A decord reader at frame 0, or None where decord is known or seen to be wrong."""
    if info.first_frame is None or info.container.startswith("mpeg"):
        return None
    try:
        reader = decord.VideoReader(str(info.path), num_threads=1)
        own = _decord_times(reader)
        if own.shape != time.shape or not np.allclose(own, time, rtol=0, atol=SAME_TIME_S):
            return None
        first = reader.next().asnumpy()
        reader.seek(0)
    except (RuntimeError, StopIteration, ValueError, decord.DECORDError):
        return None
    if first.shape != info.first_frame.shape:
        return None
    same = np.abs(first.astype(np.int16) - info.first_frame).mean() < SAME_PICTURE
    return reader if same else None


def _decord_times(reader: "decord.VideoReader") -> np.ndarray:
    """The same as decord has it."""
    stamps = np.asarray(reader.get_frame_timestamp(range(len(reader))), dtype=np.float64)
    return stamps.reshape(-1, 2)[:, 0]


def _packet_times(info: MediaInfo) -> np.ndarray:
    """[N] start of each frame in seconds after the first one's, as the container has it, without decoding."""
    try:
        with av.open(str(info.path)) as container, suppress(FFmpegError):
            stream = container.streams.video[0]
            ticks = [p.pts for p in container.demux(stream) if p.pts is not None and not p.is_discard]
            own = np.sort(np.asarray(ticks, dtype=np.float64)) * float(stream.time_base)
            return own - own[0] if len(own) else own
    except (FFmpegError, OSError) as error:
        raise MediaError(f"not a readable video stream: {error}") from error
    return np.zeros(0)


def pick_frames(time: np.ndarray, rate: float) -> np.ndarray:
    """Positions of the frames nearest to a regular grid of `rate` per second; each at most once.

    Of two that are equally near the earlier is taken, as on every second point at 10 of 25 per second.

    >>> pick_frames(np.arange(10) / 10, rate=5)
    array([0, 2, 4, 6, 8])
    """
    if len(time) == 1:
        return np.zeros(1, dtype=np.int64)
    grid = np.arange(time[0], time[-1] + ROUNDING_S, 1.0 / rate)
    right = np.clip(np.searchsorted(time, grid), 1, len(time) - 1)
    left = right - 1
    nearer_left = grid - time[left] <= time[right] - grid + ROUNDING_S
    return np.unique(np.where(nearer_left, left, right))
