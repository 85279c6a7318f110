"""Media file → what the container promises, and the waveform. Frames: see `frames.py`.

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

from preprocessing.store import SAMPLE_RATE

av.logging.set_level(av.logging.PANIC)


class MediaError(Exception):
    """A clip that cannot be used; the message is the reason."""


@dataclass(frozen=True)
class DecodeConfig:
    """`max_missing`: the largest share of the promised duration that may fail to decode."""

    max_missing: float = 0.1


@dataclass(frozen=True)
class MediaInfo:
    """What the container promises. Times in seconds on the clip's clock."""

    path: Path
    duration_s: float
    has_video: bool
    has_audio: bool
    video_start_s: float
    video_duration_s: float
    quarter_turns: int  # counter-clockwise, to bring a decoded frame upright
    first_frame: np.ndarray | None  # [H, W, 3] uint8 RGB, upright; None where no frame decodes
    container: str  # FFmpeg's name of the format, such as "mov,mp4,m4a,3gp,3g2,mj2"


def probe(path: Path) -> MediaInfo:
    """Open a file and read its header and first frame.

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
        raise MediaError(f"not a readable media file: {error}") from error


def _read_header(path: Path, container) -> MediaInfo:
    video = next(iter(container.streams.video), None)
    audio = next(iter(container.streams.audio), None)
    if video is None and audio is None:
        raise MediaError("the file has neither a video nor an audio stream")
    start = (container.start_time or 0) / av.time_base
    duration = (container.duration or 0) / av.time_base
    video_start = video_duration = 0.0
    turns, first = 0, None
    if video is not None:
        video_start = _seconds(video.start_time, video.time_base) - start
        video_duration = _seconds(video.duration, video.time_base) or max(duration - video_start, 0.0)
        turns, first = _first_frame(container, video)
    return MediaInfo(
        path=path,
        duration_s=duration,
        has_video=video is not None,
        has_audio=audio is not None,
        video_start_s=video_start,
        video_duration_s=video_duration,
        quarter_turns=turns,
        first_frame=first,
        container=container.format.name,
    )


def _seconds(ticks: int | None, time_base) -> float:
    return 0.0 if ticks is None or time_base is None else float(ticks * time_base)


def _first_frame(container, video) -> tuple[int, np.ndarray | None]:
    """Phones store an upright picture lying down plus a rotation, which FFmpeg gives with each frame."""
    try:
        first = next(container.decode(video), None)
    except FFmpegError:
        first = None
    if first is None:
        return 0, None
    turns = round(first.rotation / 90) % 4
    return turns, upright(first.to_ndarray(format="rgb24"), turns)


def upright(frame: np.ndarray, quarter_turns: int) -> np.ndarray:
    """Turn a frame counter-clockwise."""
    return np.ascontiguousarray(np.rot90(frame, quarter_turns)) if quarter_turns else frame


def read_waveform(info: MediaInfo) -> np.ndarray:
    """Decode the first audio stream as mono at 16 kHz.

    A stream that starts late is preceded by silence, so that sample n always lies n / 16000 s from the
    clip's start. Damaged packets are replaced by silence of their length.

    Returns:
        [S] int16; empty where the stream holds no decodable sound.
    """
    mono = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
    pieces: list[np.ndarray] = []
    with av.open(str(info.path)) as container:
        stream = container.streams.audio[0]
        start = (container.start_time or 0) / av.time_base
        written = 0
        for frame in _decodable(container, stream):
            if frame.time is not None:
                gap = round((frame.time - start) * SAMPLE_RATE) - written
                if gap > SAMPLE_RATE // 50:  # 20 ms: below is rounding, above is missing sound
                    pieces.append(np.zeros(gap, np.int16))
                    written += gap
            frame.pts = None
            for piece in mono.resample(frame):
                pieces.append(piece.to_ndarray().reshape(-1))
                written += piece.samples
        for piece in mono.resample(None) if pieces else ():
            pieces.append(piece.to_ndarray().reshape(-1))
    return np.concatenate(pieces) if pieces else np.zeros(0, np.int16)


def _decodable(container, stream) -> Iterator:
    """Frames of a stream, passing over packets that do not decode."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            frames = packet.decode() if packet is not None else None
        except FFmpegError:
            continue
        if frames is None:
            return
        yield from frames


def check_duration(info: MediaInfo, decoded_s: float, limit: float) -> str:
    """Compare what was decoded with what the header promises.

    Returns:
        A remark for the clip's record, empty where nothing is missing.

    Raises:
        MediaError: more than `limit` of the promised duration is missing.
    """
    promised = info.video_duration_s
    missing = promised - decoded_s
    if promised <= 0 or missing <= max(0.02 * promised, 0.2):
        return ""
    text = f"{decoded_s:.2f} s of the promised {promised:.2f} s can be decoded"
    if missing > limit * promised:
        raise MediaError(f"truncated or damaged: {text}; raise decode.max_missing to accept it")
    return text
