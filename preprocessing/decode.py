"""Media file → what the container promises, and the sound. Frames: see `frames.py`.

Sound and header are read with PyAV: decord's audio reader leaves out a late start and ends at the first
damaged packet.

One clock for everything: 0 is the start of the clip, that is, of its earliest stream.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from av.stream import Disposition

from preprocessing.store import SAMPLE_RATE

READERS = ("pyav", "decord")
TOLERANCE, TOLERANCE_S = 0.02, 0.2  # of a promised duration: rounding, a few frames of a short clip

av.logging.set_level(av.logging.PANIC)


class MediaError(Exception):
    """A clip that cannot be used; the message is the reason."""


@dataclass(frozen=True)
class DecodeConfig:
    """How media files are read.

    Attributes:
        max_missing: the largest share of the promised duration that may fail to decode.
        reader: of the frames, `pyav` or `decord` (see `frames.py`).
        max_minutes: longer clips are refused; it bounds a worker's memory, which grows with the sound that
            openSMILE takes in one piece.
    """

    max_missing: float = 0.1
    reader: str = "pyav"
    max_minutes: float = 20.0


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


@dataclass(frozen=True)
class Sound:
    """A clip's sound.

    Attributes:
        waveform: [S] int16, mono, 16 kHz; sample n lies n / 16000 s from the clip's start.
        decoded_s: how much of it was decoded; the rest is silence put in for what is not there.
    """

    waveform: np.ndarray
    decoded_s: float


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
        with av.open(str(path)) as container:
            return _read_header(path, container)
    except (FFmpegError, OSError) as error:
        raise MediaError(f"not a readable media file: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    """FFmpeg's own last word names the fault ("moov atom not found"), the error only its class."""
    last = getattr(error, "log", None)
    return f"{error.strerror} ({last[2].strip()})" if last else str(error.strerror or error)


def _read_header(path: Path, container) -> MediaInfo:
    video, audio = video_stream(container), next(iter(container.streams.audio), None)
    streams = [stream for stream in (video, audio) if stream is not None]
    if not streams:
        raise MediaError("the file has neither a video nor an audio stream")
    start = clip_start_s(container)
    duration = (container.duration or 0) / av.time_base
    if not duration:  # what a browser records says nowhere how long it is
        duration = max(_last_packet_s(container, streams) - start, 0.0)
    promised = _read_promises(container, streams)
    return MediaInfo(
        path=path,
        duration_s=duration,
        has_video=video is not None,
        has_audio=audio is not None,
        video_start_s=0.0 if video is None else _start_s(video) - start,
        video_duration_s=0.0 if video is None else promised[video.index],
        audio_duration_s=0.0 if audio is None else promised[audio.index],
        container=container.format.name,
    )


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


def _start_s(stream) -> float:
    return 0.0 if stream.start_time is None else float(stream.start_time * stream.time_base)


def _read_promises(container, streams: list) -> dict[int, float]:
    """Seconds that each stream promises to last, by its index.

    Where only the container says how long it is (FLV, Matroska without tags), some stream has to reach that
    end; which one is open, so none is suspected as long as one does.
    """
    promised = {stream.index: _own_promise(stream) for stream in streams}
    if all(promised.values()):
        return promised
    end = clip_start_s(container) + (container.duration or 0) / av.time_base
    kept = _last_packet_s(container, streams) >= end - _tolerance(end)
    return {
        stream.index: promised[stream.index] or (0.0 if kept else max(end - _start_s(stream), 0.0))
        for stream in streams
    }


def _own_promise(stream) -> float:
    if stream.duration:
        return float(stream.duration * stream.time_base)
    tag = stream.metadata.get("DURATION", "")  # Matroska; the place of the stream's end
    try:
        hours, minutes, seconds = map(float, tag.split(":"))
    except ValueError:
        return 0.0
    return max(3600 * hours + 60 * minutes + seconds - _start_s(stream), 0.0)


def _last_packet_s(container, streams: list) -> float:
    """Where the last packet of the streams ends: all are read, none is decoded."""
    last = 0.0
    try:
        for packet in container.demux(streams):
            if packet.pts is not None:
                last = max(last, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    except FFmpegError:
        pass
    return last


def upright(frame: np.ndarray, quarter_turns: int) -> np.ndarray:
    """Turn a frame counter-clockwise."""
    return np.ascontiguousarray(np.rot90(frame, quarter_turns)) if quarter_turns else frame


def read_sound(info: MediaInfo) -> Sound:
    """Decode the first audio stream as mono at 16 kHz.

    A stream that starts late is preceded by silence, so that sample n always lies n / 16000 s from the
    clip's start. Damaged packets are replaced by silence of their length.

    Returns:
        An empty waveform where the clip has no audio stream or no decodable sound.

    Raises:
        MediaError: there is no decoder for it.
    """
    mono = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
    pieces: list[np.ndarray] = []
    decoded = written = 0
    if not info.has_audio:
        return Sound(np.zeros(0, np.int16), 0.0)
    with av.open(str(info.path)) as container:
        start, stream = clip_start_s(container), container.streams.audio[0]
        check_decoder(stream, "sound")
        for frame in decodable_frames(container, stream):
            if frame.time is not None:
                gap = round((frame.time - start) * SAMPLE_RATE) - written
                if gap > SAMPLE_RATE // 50:  # 20 ms: below is rounding, above is missing sound
                    pieces.append(np.zeros(gap, np.int16))
                    written += gap
            frame.pts = None
            for piece in mono.resample(frame):
                pieces.append(piece.to_ndarray().reshape(-1))
                written += piece.samples
                decoded += piece.samples
        for piece in mono.resample(None) if pieces else ():
            pieces.append(piece.to_ndarray().reshape(-1))
    waveform = np.concatenate(pieces) if pieces else np.zeros(0, np.int16)
    return Sound(waveform, decoded / SAMPLE_RATE)


def decodable_frames(container, *streams) -> Iterator:
    """Frames of the streams as they come, passing over packets that do not decode."""
    packets = container.demux(*streams)
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
