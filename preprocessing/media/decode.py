"""Media file → what the container promises, on one clock.

Sound: see `sound.py`; frames: `frames.py`. One clock for everything: 0 is the start of the clip, that is, of
its earliest stream.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
from av.error import FFmpegError
from av.stream import Disposition

from preprocessing.media.clock import Clock, Packets, read_clock
from preprocessing.media.container import UNKNOWN_FORMAT, open_media

TOLERANCE, TOLERANCE_S = 0.02, 0.2  # of a promised duration: rounding, a few frames of a short clip
UNLIKE, UNLIKE_S = 0.2, 1.0  # of the longer of picture and sound: more than encoders leave over


class MediaError(Exception):
    """A clip that cannot be used; the message is the reason."""


@dataclass(frozen=True)
class MediaInfo:
    """What the container promises. Times in seconds on the clip's clock; a promise of 0 is none."""

    path: Path
    duration_s: float
    has_video: bool
    has_audio: bool
    video_start_s: float
    video_duration_s: float
    audio_duration_s: float
    container: str  # FFmpeg's name of the format, such as "mov,mp4,m4a,3gp,3g2,mj2"
    start_s: float  # of the clip on the container's clock
    clock: Clock = field(repr=False, compare=False)
    remark: str = ""  # what is odd about its times


def probe(path: Path) -> MediaInfo:
    """Open a file and read its header.

    Raises:
        MediaError: missing, empty or unreadable file, or neither picture nor sound in it.
    """
    if not path.is_file():
        raise MediaError(f"there is no file {path}")
    if path.stat().st_size == 0:
        raise MediaError("the file is empty (0 bytes)")
    try:
        with open_media(path) as container:
            return _read_header(path, container)
    except (FFmpegError, OSError) as error:
        raise MediaError(f"not a readable media file: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    """FFmpeg's own last word names the fault ("moov atom not found"), the error only its class."""
    last = getattr(error, "log", None)
    if last and UNKNOWN_FORMAT in last[2]:
        return "its form is none of a clip, such as a list of other files"
    return f"{error.strerror} ({last[2].strip()})" if last else str(error.strerror or error)


def _read_header(path: Path, container) -> MediaInfo:
    video, audio = video_stream(container), next(iter(container.streams.audio), None)
    streams = [stream for stream in (video, audio) if stream is not None]
    if not streams:
        raise MediaError("the file has neither a video nor an audio stream")
    clock = read_clock(container, video, audio)
    start, promised = clip_start_s(container), _read_promises(container, streams, clock)
    return MediaInfo(
        path=path,
        duration_s=_measure_clip(container, clock),
        has_video=video is not None,
        has_audio=audio is not None,
        video_start_s=0.0 if video is None else _start_s(video, clock.video) - start,
        video_duration_s=0.0 if video is None else promised[video.index],
        audio_duration_s=0.0 if audio is None else max(promised[audio.index] - clock.hole_s, 0.0),
        container=container.format.name,
        start_s=start,
        clock=clock,
        remark=join_remarks(clock.remark, _compare_lengths(clock)),
    )


def _measure_clip(container, clock: Clock) -> float:
    """Seconds that the clip lasts: as promised, or as its packets have it where they last longer.

    What a browser records says nowhere how long it is.
    """
    promised = (container.duration or 0) / av.time_base
    spans = [one.span_s for one in (clock.video, clock.audio) if one is not None and one.span_s]
    found = max((end_s for _, end_s in spans), default=0.0) - clip_start_s(container)
    if clock.is_corrected or found > promised + _tolerance(promised):
        return max(found, 0.0)
    return promised


def _compare_lengths(clock: Clock) -> str:
    """A remark where picture and sound last unlike long, or nothing."""
    spans = [one.span_s if one is not None else None for one in (clock.video, clock.audio)]
    if None in spans:
        return ""
    picture_s, sound_s = (end_s - start_s for start_s, end_s in spans)
    if abs(picture_s - sound_s) <= max(UNLIKE * max(picture_s, sound_s), UNLIKE_S):
        return ""
    return f"the picture lasts {picture_s:.2f} s, the sound {sound_s:.2f} s"


def join_remarks(*remarks: str) -> str:
    """One remark of several, each once.

    >>> join_remarks("late", "", "late; loud")
    'late; loud'
    """
    parts = [part for remark in remarks for part in remark.split("; ") if part]
    return "; ".join(dict.fromkeys(parts))


def video_stream(container):
    """The stream of moving pictures, or None; the cover of a sound file is no video."""
    moving = (s for s in container.streams.video if not s.disposition & Disposition.attached_pic)
    return next(moving, None)


def check_decoder(stream, what: str) -> None:
    """Refuse a stream in a form that FFmpeg does not know.

    Raises:
        MediaError: names the stream.
    """
    if stream.codec_context is None:
        raise MediaError(
            f"there is no decoder for the form of the clip's {what}: convert it to H.264 and AAC"
        )


def clip_start_s(container) -> float:
    """Where the clip's clock starts on the container's."""
    return (container.start_time or 0) / av.time_base


def _start_s(stream, packets: Packets) -> float:
    if stream.start_time is not None:
        return float(stream.start_time * stream.time_base)
    return packets.span_s[0] if packets.span_s else 0.0


def _read_promises(container, streams: list, clock: Clock) -> dict[int, float]:
    """Seconds that each stream promises to last, by its index.

    Where only the container says how long it is (FLV, Matroska without tags), some stream has to reach that
    end; which one is open, so no stream is suspected as long as one does. Where the time stamps had to be
    corrected, the header was made of the wrong ones: nothing is promised but what the packets say.
    """
    packets = {one.index: one for one in (clock.video, clock.audio) if one is not None}
    spans = {index: one.span_s or (0.0, 0.0) for index, one in packets.items()}
    if clock.is_corrected:
        return {index: end_s - start_s for index, (start_s, end_s) in spans.items()}
    promised = {stream.index: _own_promise(stream, packets[stream.index]) for stream in streams}
    if all(promised.values()):
        return promised
    end = clip_start_s(container) + (container.duration or 0) / av.time_base
    kept = max(end_s for _, end_s in spans.values()) >= end - _tolerance(end)
    return {
        stream.index: promised[stream.index]
        or (0.0 if kept else max(end - _start_s(stream, packets[stream.index]), 0.0))
        for stream in streams
    }


def _own_promise(stream, packets: Packets) -> float:
    if stream.duration:
        return float(stream.duration * stream.time_base)
    tag = stream.metadata.get("DURATION", "")  # Matroska; the place of the stream's end
    try:
        hours, minutes, seconds = map(float, tag.split(":"))
    except ValueError:
        return 0.0
    return max(3600 * hours + 60 * minutes + seconds - _start_s(stream, packets), 0.0)


def decodable_frames(info: MediaInfo, container, *streams) -> Iterator:
    """Frames of the streams as they come, on the clip's clock, passing over packets that do not decode.

    Args:
        info: of the clip.
        container: of the clip, just opened.
        streams: those that are wanted.
    """
    packets = info.clock.list_packets(container, *streams)
    while True:
        try:
            packet = next(packets, None)
            frames = packet.decode() if packet is not None else None
        except FFmpegError:
            continue
        if frames is None:
            return
        yield from frames


def check_duration(what: str, promised_s: float, decoded_s: float, limit: float) -> str:
    """Compare what was decoded of a stream with what its header promises.

    Args:
        what: the stream's name in messages.
        promised_s: 0 where nothing is promised.
        decoded_s: seconds that were decoded.
        limit: share of the promise that may be missing.

    Returns:
        A remark for the clip's record, empty where nothing is missing.

    Raises:
        MediaError: more than `limit` of the promised duration is missing.
    """
    missing = promised_s - decoded_s
    if promised_s <= 0 or missing <= _tolerance(promised_s):
        return ""
    text = f"{decoded_s:.2f} s of the promised {promised_s:.2f} s of {what} can be decoded"
    if missing > limit * promised_s:
        raise MediaError(f"truncated or damaged: {text}; raise decode.max_missing to accept it")
    return text


def _tolerance(promised_s: float) -> float:
    return max(TOLERANCE * promised_s, TOLERANCE_S)
