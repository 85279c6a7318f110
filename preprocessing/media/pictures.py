"""Decoded frame → the picture that is looked at: square pixels, one size throughout the clip, upright.

Pixels are not square on DV, DVD, HDV and some recorders: what is stored 720 wide is shown 1024 wide. The
shorter side is stretched, so that nothing is lost. Where the size changes within a clip, as in video calls,
all frames are brought to the largest one, with black bars where the shape differs: faces are followed by
their place in the picture.
"""

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter

from preprocessing.media.clock import Packets

SQUARE = 0.02  # differences from 1 up to this are rounding: containers store the shown size in whole pixels
MAX_SHAPE = 4.0  # wider or narrower pixels are no camera's: such a header is not believed
LOOKED_AT = 8  # key pictures whose size is compared
ONE_SIZE = ("mov", "avi")  # containers with one header for the whole clip
Size = tuple[int, int]  # width, height


def upright(frame: np.ndarray, quarter_turns: int) -> np.ndarray:
    """Turn a frame counter-clockwise."""
    return np.ascontiguousarray(np.rot90(frame, quarter_turns)) if quarter_turns else frame


def square_size(width: int, height: int, shape: Fraction | None) -> Size:
    """Size in square pixels of a picture whose pixels are `shape` times as wide as high.

    >>> square_size(720, 576, Fraction(64, 45)), square_size(720, 480, Fraction(8, 9))
    ((1024, 576), (720, 540))
    """
    if is_square(shape):
        return width, height
    ratio = float(shape)
    return (round(width * ratio), height) if ratio > 1 else (width, round(height / ratio))


def is_square(shape: Fraction | None) -> bool:
    """Whether pixels count as square, for lack of a believable shape too."""
    return not shape or abs(float(shape) - 1) <= SQUARE or not is_believable(shape)


def is_believable(shape: Fraction | None) -> bool:
    """Whether pixels may have this shape; an unknown one counts as square."""
    return not shape or 1 / MAX_SHAPE <= shape <= MAX_SHAPE


class PixelShape:
    """Width of a stream's pixels by their height, now.

    What the container says counts more than what the decoder says, unless that changes on the way, as where
    television goes over to another format.
    """

    def __init__(self, stream):
        self._codec = stream.codec_context
        self._first = self._codec.sample_aspect_ratio
        self._stream = stream.sample_aspect_ratio

    def __call__(self) -> Fraction | None:
        """The shape of pixels: the codec's where it changed within the clip, else the stream's."""
        now = self._codec.sample_aspect_ratio
        return now if self._first and now and now != self._first else self._stream


class PictureMaker:
    """Makes pictures of the frames of one stream.

    A converter that is made anew for each frame, as `frame.to_ndarray(format=...)` does, and its threads take
    three to seven times as long.

    Args:
        stream: that is being decoded.
        canvas: size of all pictures before they are turned upright; that of the first one by default.
    """

    def __init__(self, stream, canvas: Size | None = None):
        self._shape, self._converter = PixelShape(stream), VideoReformatter()
        self.canvas = canvas

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        """[H, W, 3] uint8 RGB. Phones store an upright picture lying down plus a rotation."""
        size = square_size(frame.width, frame.height, self._shape())
        self.canvas = self.canvas or size
        if size != self.canvas:
            scale = min(whole / side for whole, side in zip(self.canvas, size, strict=True))
            size = tuple(max(round(side * scale), 1) for side in size)
        # Without a change of size no method is named: the plain conversion.
        resized = {} if size == (frame.width, frame.height) else {"width": size[0], "height": size[1]}
        converted = self._converter.reformat(frame, format="rgb24", threads=1, **resized)
        picture = np.ascontiguousarray(converted.to_ndarray())
        if size != self.canvas:
            picture = _put_on(self.canvas, picture)
        return upright(picture, round(frame.rotation / 90) % 4)


def _put_on(canvas: Size, picture: np.ndarray) -> np.ndarray:
    width, height = canvas
    whole = np.zeros((height, width, 3), np.uint8)
    top, left = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
    whole[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return whole


def find_canvas(container, stream, packets: Packets) -> Size | None:
    """The size of a clip's pictures: the largest of some key pictures, all over the clip.

    None where the first picture decides: the container has one header for all, or there is one key picture.

    Args:
        container: just opened; its packets are used up.
        stream: of pictures.
        packets: of the stream.
    """
    count = int(packets.keys.sum())
    if container.format.name.startswith(ONE_SIZE) or count < 2:
        return None
    few = set(np.linspace(0, count - 1, LOOKED_AT).astype(int).tolist())
    shape, sizes = PixelShape(stream), []
    for frame in _decode_keys(container, stream, few):
        sizes.append(square_size(frame.width, frame.height, shape()))
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


def _decode_keys(container, stream, places: set[int]) -> Iterator[av.VideoFrame]:
    """Some key pictures, by their number among all of them, decoded without what lies between."""
    stream.codec_context.thread_count = 1
    keys = (packet for packet in container.demux(stream) if packet.is_keyframe and not packet.is_discard)
    with suppress(FFmpegError, EOFError):
        for packet in (packet for number, packet in enumerate(keys) if number in places):
            with suppress(FFmpegError):
                yield from packet.decode()
        yield from stream.codec_context.decode(None)
