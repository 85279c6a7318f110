"""Media files made on the spot, whose pictures tell their own number and whose sound tells its own time."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BLOCK = 32  # pixels; large flat blocks survive any encoder
COLUMNS, ROWS = 4, 3
BITS = 8
H264 = {"preset": "veryfast", "threads": "1"}


def draw_number(number: int) -> np.ndarray:
    """[96, 128, 3] uint8: eight blocks that spell `number`, below a row that tells which way is up."""
    blocks = np.zeros((ROWS, COLUMNS), np.uint8)
    blocks[0, 0] = 1
    blocks[1:] = (number >> np.arange(BITS)).reshape(2, COLUMNS) & 1
    return np.repeat(np.kron(blocks, np.full((BLOCK, BLOCK), 255, np.uint8))[..., None], 3, axis=2)


def read_number(picture: np.ndarray) -> int:
    """The number in a decoded picture; fails where the picture is turned or belongs to no frame."""
    assert picture.shape == (ROWS * BLOCK, COLUMNS * BLOCK, 3)
    centres = picture[BLOCK // 2 :: BLOCK, BLOCK // 2 :: BLOCK].mean(axis=2) > 128
    assert centres[0].tolist() == [True, False, False, False]
    return int((centres[1:].ravel() << np.arange(BITS)).sum())


def make_chirps(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    """[channels, S] float32: noise, the same at every rate, that shows a shift in time."""
    rng = np.random.default_rng(5)
    coarse = rng.normal(size=int(np.ceil(seconds * 4000)) + 2)
    time = np.arange(round(seconds * rate)) / rate
    sound = np.interp(time * 4000, np.arange(coarse.size), coarse)
    return np.repeat(0.2 * sound[None], channels, axis=0).astype(np.float32)


def find_lag_s(sound: np.ndarray, reference: np.ndarray, rate: int = 16_000) -> float:
    """By how many seconds `sound` comes later than `reference` where they are most similar."""
    size = 2 * max(len(sound), len(reference))
    spectrum = np.fft.rfft(sound, size) * np.conj(np.fft.rfft(reference, size))
    shift = int(np.fft.irfft(spectrum, size).argmax())
    return (shift if shift < size // 2 else shift - size) / rate


def make_tone(seconds: float, rate: int, pitch_hz: float) -> np.ndarray:
    """[1, S] float32: a harmonic tone, which pitch trackers take for a voice."""
    time = np.arange(round(seconds * rate)) / rate
    harmonics = sum(np.sin(2 * np.pi * pitch_hz * k * time) / k for k in range(1, 11))
    return (0.2 * harmonics / np.abs(harmonics).max())[None].astype(np.float32)


def write_clip(
    path: Path,
    pictures: Iterable[np.ndarray] = (),
    *,
    times_ms: Sequence[int] | None = None,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    rotation: int = 0,
    shape: Fraction | None = None,
    sound: np.ndarray | None = None,
    sample_rate: int = 44_100,
    audio_codec: str = "aac",
    sound_start_s: float = 0.0,
) -> Path:
    """Encode RGB pictures, 25 a second or at `times_ms`, and sound [channels, S], which may start late.

    `rotation`: degrees counter-clockwise by which players are asked to turn the pictures;
    `shape`: width of the pixels by their height.
    """
    pictures = list(pictures)
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as file:
        streams = []
        if pictures:
            video = file.add_stream(codec, rate=25, options=H264 if options is None else options)
            video.height, video.width, video.pix_fmt = *pictures[0].shape[:2], "yuv420p"
            video.codec_context.time_base = Fraction(1, 1000 if times_ms else 25)
            if shape:
                video.codec_context.sample_aspect_ratio = shape
            if rotation:
                video.set_display_rotation(rotation)
            streams.append((video, _video_frames(pictures, times_ms or range(len(pictures)))))
        if sound is not None:
            layout = "stereo" if len(sound) == 2 else "mono"
            audio = file.add_stream(audio_codec, rate=sample_rate, layout=layout)
            streams.append((audio, _audio_frames(sound, sample_rate, audio, sound_start_s)))
        for stream, frames in streams:
            for frame in frames:
                file.mux(stream.encode(frame))
            file.mux(stream.encode())
    return path


def find_packets(path: Path, kind: str) -> list[tuple[int, int]]:
    """Place and size in the file of the packets of its first stream of a kind, `audio` or `video`."""
    with av.open(str(path)) as file:
        return [(packet.pos, packet.size) for packet in file.demux(**{kind: 0}) if packet.size]


def overwrite(path: Path, packets: list[tuple[int, int]], byte: int) -> None:
    """Damage a file in some places."""
    data = bytearray(path.read_bytes())
    for start, size in packets:
        data[start : start + size] = bytes([byte]) * size
    path.write_bytes(data)


def _video_frames(pictures: list[np.ndarray], ticks: Iterable[int]) -> Iterable[av.VideoFrame]:
    for picture, tick in zip(pictures, ticks, strict=True):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts = tick
        yield frame


def _audio_frames(sound: np.ndarray, rate: int, stream, start_s: float) -> Iterable[av.AudioFrame]:
    resampler = av.AudioResampler(stream.format, stream.layout, rate)
    for start in range(0, sound.shape[1], 1024):
        layout = "stereo" if len(sound) == 2 else "mono"
        piece = np.ascontiguousarray(sound[:, start : start + 1024])
        frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, start + round(start_s * rate), Fraction(1, rate)
        yield from resampler.resample(frame)
    yield from resampler.resample(None)
