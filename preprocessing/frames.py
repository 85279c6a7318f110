"""Frames of a clip with their real times.

PyAV reads them. Only frames that are asked for are converted, and pictures that no other one is built upon
are not even decoded where nobody asks for them: what comes out is the same to the bit.

decord, `decode.reader=decord`, decodes and converts every frame. Cases were seen in which decord 3.4 gives
wrong frames or none, all without a word; there PyAV reads instead:

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
from av.video.reformatter import VideoReformatter

from preprocessing.decode import MediaError, MediaInfo, check_decoder, upright, video_stream
from preprocessing.decord_import import decord

SAME_PICTURE = 1.0  # mean absolute difference of 8-bit values; converters round differently by less
SAME_TIME_S = 1e-3  # decord keeps times in single precision
ROUNDING_S = 1e-9  # of times in double precision


class FrameReader:
    """Sequential access to the frames of one clip.

    Attributes:
        time: [N] float64, seconds on the clip's clock, of every frame in presentation order.
        span_s: seconds from the first frame's start to the last one's end, as the packets have it.
    """

    def __init__(self, info: MediaInfo, reader: str = "pyav"):
        self._info = info
        self._ticks, own, self.span_s = _read_packets(info)
        if not len(own):
            raise MediaError("the video stream has no decodable frame")
        self._decord = _open_decord(info, own) if reader == "decord" else None
        self.time = own + info.video_start_s

    def frames(self, index: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the frames at the increasing positions `index` of `time`: (position, [H, W, 3] uint8 RGB).

        They stand upright. Those that do not decode are left out.
        """
        last = -1
        for last, frame in self._from_decord(index) if self._decord is not None else ():
            yield last, frame
        rest = index[index > last]
        if len(rest):
            yield from self._from_pyav(rest)

    def _from_decord(self, index: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        position = 0
        for target in map(int, index):
            with suppress(RuntimeError, StopIteration, decord.DECORDError):
                for _ in range(target - position):
                    self._decord.next()
                frame = self._decord.next().asnumpy()
                position = target + 1
                yield target, frame
                continue
            return

    def _from_pyav(self, index: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        wanted = {int(self._ticks[position]): int(position) for position in index}
        last = max(wanted)
        converter = VideoReformatter()
        with av.open(str(self._info.path)) as container:
            for frame in _decode_wanted(container, wanted):
                if frame.pts in wanted:
                    yield wanted[frame.pts], to_picture(frame, converter)
                if frame.pts is not None and frame.pts >= last:
                    return


def _decode_wanted(container, wanted: dict[int, int]) -> Iterator:
    """Frames of the video stream in presentation order, at least those whose time stamps are wanted.

    A picture that is no reference to others can be left out without changing any other. Packets that do not
    decode are passed over.
    """
    stream = video_stream(container)
    stream.codec_context.thread_count = 1  # as many workers as cores already
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            needed = packet.pts is None or packet.pts in wanted
            stream.codec_context.skip_frame = "DEFAULT" if needed else "NONREF"
            frames = packet.decode()
        except FFmpegError:
            continue
        yield from frames


def to_picture(frame: av.VideoFrame, converter: VideoReformatter) -> np.ndarray:
    """[H, W, 3] uint8 RGB. Phones store an upright picture lying down plus a rotation.

    A converter that is made anew for each frame, as `frame.to_ndarray(format=...)` does, and its threads
    take three to seven times as long.
    """
    picture = np.ascontiguousarray(converter.reformat(frame, format="rgb24", threads=1).to_ndarray())
    return upright(picture, round(frame.rotation / 90) % 4)


def _open_decord(info: MediaInfo, time: np.ndarray) -> "decord.VideoReader | None":
    """A decord reader at frame 0, or None where decord is known or seen to be wrong."""
    if info.container.startswith("mpeg"):
        return None
    expected = _first_picture(info)
    try:
        reader = decord.VideoReader(str(info.path), num_threads=1)
        own = _decord_times(reader)
        if own.shape != time.shape or not np.allclose(own, time, rtol=0, atol=SAME_TIME_S):
            return None
        first = reader.next().asnumpy()
        reader.seek(0)
    except (RuntimeError, StopIteration, ValueError, decord.DECORDError):
        return None
    if expected is None or first.shape != expected.shape:
        return None
    same = np.abs(first.astype(np.int16) - expected).mean() < SAME_PICTURE
    return reader if same else None


def _first_picture(info: MediaInfo) -> np.ndarray | None:
    with av.open(str(info.path)) as container, suppress(FFmpegError):
        first = next(container.decode(video_stream(container)), None)
        return None if first is None else to_picture(first, VideoReformatter())
    return None


def _decord_times(reader: "decord.VideoReader") -> np.ndarray:
    """The same as decord has it."""
    stamps = np.asarray(reader.get_frame_timestamp(range(len(reader))), dtype=np.float64)
    return stamps.reshape(-1, 2)[:, 0]


def _read_packets(info: MediaInfo) -> tuple[np.ndarray, np.ndarray, float]:
    """What the container says of each frame, without decoding.

    Returns:
        [N] time stamps, [N] seconds after the first one, and the seconds from the first frame's start to the
        last one's end.
    """
    ticks, end = [], 0
    with av.open(str(info.path)) as container:
        stream = video_stream(container)
        check_decoder(stream, "picture")
        with suppress(FFmpegError):
            for packet in container.demux(stream):
                if packet.pts is not None and not packet.is_discard:
                    ticks.append(packet.pts)
                    end = max(end, packet.pts + (packet.duration or 0))
        base = float(stream.time_base)
    stamps = np.sort(np.asarray(ticks, dtype=np.int64))
    own = (stamps - stamps[:1]) * base
    if not len(own):
        return stamps, own, 0.0
    step = float(np.median(np.diff(own))) if len(own) > 1 else 0.0  # some containers have no durations
    return stamps, own, max((end - int(stamps[0])) * base, own[-1] + step)


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
