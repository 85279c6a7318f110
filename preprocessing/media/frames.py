"""Frames of a clip with their real times.

PyAV reads them. Only frames that are asked for are converted, and pictures that no other one is built upon
are not even decoded where nobody asks for them: what comes out is the same to the bit. decord may read them
instead: see `decord_frames.py`.
"""

from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
from av.error import FFmpegError

from preprocessing.media.clock import MISSING, Packets, order_pictures
from preprocessing.media.container import open_media
from preprocessing.media.decode import MediaError, MediaInfo, check_decoder, video_stream
from preprocessing.media.decord_frames import open_decord, read_decord
from preprocessing.media.pictures import PictureMaker, Size, find_canvas, is_believable, is_square

ROUNDING_S = 1e-9  # of times in double precision
EMPTY_PICTURE = 19  # bytes; below, an MPEG-4 packet stands for a picture that came packed with another one


class FrameReader:
    """Sequential access to the frames of one clip.

    Attributes:
        time: [N] float64, seconds on the clip's clock, of every frame in presentation order.
        span_s: seconds from the first frame's start to the last one's end, as the packets have it.
        canvas: (width, height) of the pictures before they are turned upright; None: that of the first one.
        remark: what is odd about the pictures, or nothing.
        has_square_pixels: as they are stored.
    """

    def __init__(self, info: MediaInfo, reader: str = "pyav"):
        self._info = info
        self.canvas, shape = _look_into(info)
        self.has_square_pixels = is_square(shape)
        self.remark = (
            "" if is_believable(shape) else f"pixels of shape {shape} are not believed: taken as square"
        )
        packets = self._packets = _order_guessed(info)
        self._ticks = np.sort(packets.stamps[packets.stamps != MISSING])
        if not len(self._ticks):
            raise MediaError("the video stream has no decodable frame")
        own = (self._ticks - self._ticks[0]) * packets.base_s
        self.span_s = _measure_span(packets, own)
        self._decord = open_decord(info, own, self.canvas) if reader == "decord" else None
        self.time = own + info.video_start_s

    def frames(self, index: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the frames at the increasing positions `index` of `time`: (position, [H, W, 3] uint8 RGB).

        They stand upright, have square pixels and one size. Those that do not decode are left out.
        """
        last = -1
        for last, frame in read_decord(self._decord, index) if self._decord is not None else ():
            yield last, frame
        rest = index[index > last]
        if len(rest):
            yield from self._from_pyav(rest)

    def find_time(self, frame: av.VideoFrame, number: int) -> float | None:
        """Seconds of the decoded frame that comes as the `number`th of all; None where nobody knows."""
        if self._packets.is_ordered:
            return float(self.time[number]) if number < len(self.time) else None
        return None if frame.time is None else frame.time - self._info.start_s

    def _from_pyav(self, index: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        with open_media(self._info.path) as container:
            stream = video_stream(container)
            stream.codec_context.thread_count = 1  # as many workers as cores already
            packets = self._info.clock.list_packets(container, stream)
            make_picture = PictureMaker(stream, self.canvas)
            for position, frame in self._pick(packets, stream, index):
                yield position, make_picture(frame)
                self.canvas = make_picture.canvas

    def _pick(self, packets: Iterator, stream, index: np.ndarray) -> Iterator:
        if self._packets.is_ordered:
            chosen = set(index.tolist())
            for position, frame in enumerate(_decode(packets, stream, None)):
                if position in chosen:
                    yield position, frame
                if position >= index[-1]:
                    return
            return
        wanted = {int(self._ticks[position]): int(position) for position in index}
        last = max(wanted)
        for frame in _decode(packets, stream, wanted):
            if frame.pts in wanted:
                yield wanted[frame.pts], frame
            if frame.pts is not None and frame.pts >= last:
                return


def _decode(packets: Iterator, stream, wanted: dict[int, int] | None) -> Iterator:
    """Frames of the video stream in presentation order, at least those whose time stamps are wanted.

    A picture that is no reference to others can be left out without changing any other. Packets that do not
    decode are passed over.
    """
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            needed = wanted is None or packet.pts is None or packet.pts in wanted
            stream.codec_context.skip_frame = "DEFAULT" if needed else "NONREF"
            frames = packet.decode()
        except FFmpegError:
            continue
        yield from frames


def _look_into(info: MediaInfo) -> tuple[Size | None, Fraction | None]:
    """The canvas of the clip and the shape of its pixels."""
    with open_media(info.path) as container:
        stream = video_stream(container)
        check_decoder(stream, "picture")
        shape = stream.sample_aspect_ratio
        return find_canvas(container, stream, info.clock.video), shape


def _order_guessed(info: MediaInfo) -> Packets:
    """The packets of the picture, in order where the times of showing were guessed, and wrongly.

    AVI counts packets and knows no times of showing; old ones even hold two pictures in one packet and a
    place holder after it. What FFmpeg then guesses is checked: it has to rise from picture to picture.
    """
    packets = info.clock.video
    holds_places = (packets.sizes[packets.sizes > 0] <= EMPTY_PICTURE).any()
    if packets.is_ordered or not packets.is_delayed or not (info.container == "avi" or holds_places):
        return packets
    with open_media(info.path) as container:
        stream = video_stream(container)
        if info.container != "avi" and stream.codec_context.name != "mpeg4":
            return packets
        frames = _decode(info.clock.list_packets(container, stream), stream, None)
        stamps = [frame.pts for frame in frames]
        if None not in stamps and stamps == sorted(stamps):
            return packets
    return order_pictures(packets, packets.stamps, None)[0]


def _measure_span(packets: Packets, own: np.ndarray) -> float:
    start_s, end_s = packets.span_s
    step = float(np.median(np.diff(own))) if len(own) > 1 else 0.0  # some containers have no durations
    return max(end_s - start_s, own[-1] + step)


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
