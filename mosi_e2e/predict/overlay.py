"""The video again, with the running score drawn into the picture and its sound kept."""

import itertools
import secrets
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.error import FFmpegError

from mosi_e2e.predict.result import REACH, PersonResult, VideoResult
from preprocessing.container import name_file, open_media
from preprocessing.decode import MediaError, MediaInfo, decodable_frames, probe, video_stream
from preprocessing.errors import UserError
from preprocessing.frames import FrameReader
from preprocessing.pictures import PictureMaker

TICKS = 90_000  # per second, of the written video
BOX_LASTS_S = 0.35  # crops come five times a second: a box older than this is not shown
GAP_S = 0.1  # without sound, from which on the copy has the gap, too
PLUS, MINUS, NOTHING = (
    (0, 114, 178),
    (213, 94, 0),
    (190, 190, 190),
)  # Okabe and Ito's blue and vermilion, grey
INK, PAPER = (255, 255, 255), (20, 24, 30)
QUALITY = {"preset": "veryfast", "crf": "23"}
THREADS = 4  # of the encoder, by frames; a fixed number, so that every machine writes the same picture


def write_overlay(result: VideoResult, video: Path, path: Path) -> None:
    """Write an MP4 (H.264, AAC); it appears whole.

    Raises:
        UserError: there is no picture to draw into, or it cannot be decoded.
    """
    beside = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.mp4")
    try:
        info = probe(video)
        with open_media(video) as source, av.open(name_file(beside), "w") as target:
            _copy(info, source, target, result)
        beside.replace(path)
    except (FFmpegError, MediaError) as error:
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
    sound = Sound(target, sounds.rate, info.start_s) if sounds else None
    streams = [stream for stream in (pictures, sounds) if stream is not None]
    for frame in decodable_frames(info, source, *streams):
        if isinstance(frame, av.AudioFrame):
            sound.write(frame)
            continue
        time = reader.find_time(frame, next(numbers))
        if time is None:
            continue
        time = max(time, 0.0)
        drawn = _draw(make_picture(frame), time, result)
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


class Sound:
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


def _draw(picture: np.ndarray, time: float, result: VideoResult) -> av.VideoFrame:
    height, width = (side - side % 2 for side in picture.shape[:2])
    picture = np.ascontiguousarray(picture[:height, :width])
    draw_score(picture, time, result)
    return av.VideoFrame.from_ndarray(picture, format="rgb24")


def draw_score(picture: np.ndarray, time: float, result: VideoResult) -> None:
    """Draw everybody's box and score, and a scale for the first person, into [H, W, 3] uint8 RGB."""
    for person in reversed(result.people):
        box, score = find_box(person, time), find_score(person, time)
        if box is not None:
            _draw_box(picture, box, score)
    _draw_scale(picture, find_score(result.people[0], time))


def find_score(person: PersonResult, time: float) -> float | None:
    """The score of the window that covers this moment."""
    found = (one.score for one in person.timeline if one.start_s <= time < one.end_s + 1e-3)
    return next(found, None)


def find_box(person: PersonResult, time: float) -> np.ndarray | None:
    """The face's box [4] in pixels, of the nearest frame that was looked at."""
    times = person.portrait.box_time
    if not len(times):
        return None
    row = int(np.abs(times - time).argmin())
    box = person.portrait.box[row]
    return box if abs(times[row] - time) <= BOX_LASTS_S and np.isfinite(box).all() else None


def _draw_box(picture: np.ndarray, box: np.ndarray, score: float | None) -> None:
    x0, y0, x1, y1 = (round(float(edge)) for edge in box)
    thick = max(picture.shape[1] // 320, 1)
    cv2.rectangle(picture, (x0, y0), (x1, y1), _colour(score), thick, cv2.LINE_AA)
    if score is not None:
        text = f"{round(score, 1) + 0.0:+.1f}"  # no "-0.0"
        _write(picture, text, (x0, max(y0 - 3 * thick, 14)), picture.shape[1] / 900, _colour(score))


def _draw_scale(picture: np.ndarray, score: float | None) -> None:
    """A strip along the lower edge: from -3 to 3, a bar from 0 to the score, the number."""
    height, width = picture.shape[:2]
    strip = max(round(0.085 * height), 22)
    part = picture[-strip:]
    cv2.addWeighted(part, 0.3, np.full_like(part, PAPER), 0.7, 0, dst=part)
    left, right, middle = round(0.32 * width), round(0.96 * width), height - strip // 2
    thick = max(strip // 12, 1)

    def place(value: float) -> int:
        return round(left + (value + REACH) / (2 * REACH) * (right - left))

    cv2.line(picture, (left, middle), (right, middle), NOTHING, thick, cv2.LINE_AA)
    for mark in range(-3, 4):
        size = strip // 4 if mark == 0 else strip // 8
        cv2.line(picture, (place(mark), middle - size), (place(mark), middle + size), NOTHING, thick)
    if score is not None:
        bar = sorted((place(0), place(score)))
        cv2.rectangle(
            picture, (bar[0], middle - strip // 6), (bar[1], middle + strip // 6), _colour(score), cv2.FILLED
        )
        cv2.circle(picture, (place(score), middle), strip // 4, INK, cv2.FILLED, cv2.LINE_AA)
    text = "no score" if score is None else f"{round(score, 2) + 0.0:+.2f}"  # no "-0.00"
    _write(picture, text, (round(0.03 * width), middle + strip // 5), strip / 42, INK)


def _write(picture: np.ndarray, text: str, corner: tuple[int, int], size: float, colour: tuple) -> None:
    """Text with a dark edge, so that it shows on anything."""
    thick = max(round(2 * size), 1)
    for pen, width in ((PAPER, thick + 2), (colour, thick)):
        cv2.putText(picture, text, corner, cv2.FONT_HERSHEY_SIMPLEX, max(size, 0.4), pen, width, cv2.LINE_AA)


def _colour(score: float | None) -> tuple[int, int, int]:
    if score is None:
        return NOTHING
    return PLUS if score >= 0 else MINUS
