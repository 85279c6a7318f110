"""The video again, with the running score drawn into the picture and its sound kept."""

import errno
import itertools
import secrets
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError

from mosi_e2e.predict.panel import Panel
from mosi_e2e.predict.result import VideoResult
from preprocessing.errors import UserError
from preprocessing.media.container import name_file, open_media
from preprocessing.media.decode import MediaError, MediaInfo, decodable_frames, probe, video_stream
from preprocessing.media.frames import FrameReader
from preprocessing.media.pictures import PictureMaker

TICKS = 90_000  # per second, of the written video
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
GAP_S = 0.1  # without sound, from which on the copy has the gap, too
QUALITY = {"preset": "veryfast", "crf": "23"}
THREADS = 4  # of the encoder, by frames; a fixed number, so that every machine writes the same picture


def write_overlay(result: VideoResult, video: Path, path: Path) -> None:
    """Write an MP4 (H.264, AAC); it appears whole.

    Raises:
        UserError: there is no picture to draw into, or it cannot be decoded.
        OSError: the folder cannot be written into, or is full.
    """
    beside = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.mp4")
    try:
        info = probe(video)
        with open_media(video) as source, av.open(name_file(beside), "w") as target:
            _copy(info, source, target, result)
        beside.replace(path)
    except (FFmpegError, MediaError) as error:
        if getattr(error, "errno", None) in DISK_ERRORS:
            raise OSError(error.errno, error.strerror) from error
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"the overlay of {video} cannot be written: {reason}; leave out --overlay") from error
    finally:
        beside.unlink(missing_ok=True)


def _copy(info: MediaInfo, source, target, result: VideoResult) -> None:
    if not info.has_video:
        raise UserError(f"{result.video} has no picture to draw a score into; leave out --overlay")
    pictures, reader = video_stream(source), FrameReader(info)
    sounds = next(iter(source.streams.audio), None) if len(result.waveform) else None
    # Times are the source's, not 25 a second.
    out_video = target.add_stream("libx264", rate=25, options=QUALITY)
    out_video.pix_fmt, out_video.codec_context.time_base = "yuv420p", Fraction(1, TICKS)
    out_video.codec_context.thread_count, out_video.codec_context.thread_type = THREADS, "FRAME"
    make_picture, numbers, last = PictureMaker(pictures, reader.canvas), itertools.count(), -1
    panel = Panel(result)
    sound = SoundCopy(target, sounds.rate, info.start_s) if sounds else None
    streams = [stream for stream in (pictures, sounds) if stream is not None]
    for frame in decodable_frames(info, source, *streams):
        if isinstance(frame, av.AudioFrame):
            sound.write(frame)
            continue
        time = reader.find_time(frame, next(numbers))
        if time is None:
            continue
        time = max(time, 0.0)
        drawn = _draw(make_picture(frame), time, panel)
        if last < 0:
            out_video.width, out_video.height = drawn.width, drawn.height
        drawn.pts = last = max(round(time * TICKS), last + 1)
        drawn.time_base = Fraction(1, TICKS)
        target.mux(out_video.encode(drawn))
        if sound:
            sound.release()
    if last < 0:
        raise UserError(f"no frame of {result.video} can be decoded; leave out --overlay")
    target.mux(out_video.encode(None))
    if sound:
        sound.finish()


class SoundCopy:
    """The sound of the written video, AAC.

    Packets are held until `release`: the first one that is written fixes the size of the picture, which is
    known only once there is one. Samples follow each other without the small steps that the source's rounded
    times would make; where sound is missing for longer, it is missing in the copy.

    Args:
        target: container that is written.
        rate: Hz.
        start_s: time of the source that is 0 in the copy.
    """

    def __init__(self, target, rate: int, start_s: float):
        self.target, self.rate, self.start_s = target, rate, start_s
        self.stream = target.add_stream("aac", rate=rate, layout="stereo")
        self.resampler, self.form = av.AudioResampler("fltp", "stereo", rate), None
        self.held: list[av.Packet] = []
        self.next = 0  # sample that comes next

    def write(self, frame: av.AudioFrame) -> None:
        """Take a decoded frame."""
        if frame.pts is not None:
            frame.pts -= round(self.start_s / frame.time_base)
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self.form not in (None, form):  # the source goes over to another one
            self._encode(self.resampler.resample(None))
            self.resampler = av.AudioResampler("fltp", "stereo", self.rate)
        self.form = form
        self._encode(self.resampler.resample(frame))

    def release(self) -> None:
        """Write what is held."""
        self.target.mux(self.held)
        self.held = []

    def finish(self) -> None:
        """Write the end."""
        self._encode(self.resampler.resample(None))
        self.held += self.stream.encode(None)
        self.release()

    def _encode(self, pieces: list[av.AudioFrame]) -> None:
        for piece in pieces:
            place = self.next if piece.pts is None else round(piece.pts * piece.time_base * self.rate)
            if place - self.next < GAP_S * self.rate:
                place = self.next
            piece.pts, piece.time_base = place, Fraction(1, self.rate)
            self.next = place + piece.samples
            self.held += self.stream.encode(piece)


def _draw(picture: np.ndarray, time: float, panel: Panel) -> av.VideoFrame:
    height, width = (side - side % 2 for side in picture.shape[:2])
    picture = np.ascontiguousarray(picture[:height, :width])
    panel.draw(picture, time)
    return av.VideoFrame.from_ndarray(picture, format="rgb24")
