"""A clip's sound as an outline, a spectrogram and a player."""

import io
import wave

import cv2
import matplotlib
import numpy as np

from mosi_e2e.pages.page import embed
from mosi_e2e.pages.tracks import BOX_WIDTH, Axis, Line, Track
from preprocessing.config import SAMPLE_RATE

PLAYED_RATE = 8000  # Hz: telephone quality, half the bytes
LONGEST_PLAYED_S = 20.0  # a second is 21 kB of page
COLUMNS = 500  # of the outline
WINDOW, HOP = 400, 160  # samples: 25 and 10 ms
WIDEST = 700  # pixels of a spectrogram
RANGE_DB = 60.0  # below the loudest point all is black


def track_wave(waveform: np.ndarray, axis: Axis) -> Track:
    """The outline of the waveform [S] int16: lowest and highest sample of each of `COLUMNS` stretches."""
    parts = np.array_split(waveform.astype(np.int32), min(COLUMNS, len(waveform)))
    low, high = (np.array([getattr(part, name)() for part in parts]) for name in ("min", "max"))
    peak = max(int(np.abs(waveform.astype(np.int32)).max()), 1)
    seconds = (np.arange(len(parts)) + 0.5) / len(parts) * len(waveform) / SAMPLE_RATE
    x = np.round(BOX_WIDTH * seconds / axis.end_s, 1)
    top, bottom = (np.round(50 - 46 * edge / peak, 1) for edge in (high, low))
    points = [*zip(x, top, strict=True), *zip(x[::-1], bottom[::-1], strict=True)]
    path = "M" + "L".join(f"{a:g} {b:g}" for a, b in points) + "Z"
    level = f"peak {round(20 * np.log10(peak / 32768)) + 0} dB"
    return Track("waveform", level, "area", [Line(path, "blue")], alt=f"waveform, {level}")


def track_spectrogram(waveform: np.ndarray, axis: Axis) -> Track:
    """Power in dB, 0 to 8 kHz, as a picture over the whole row; blank where there is no sound."""
    padded = np.zeros(max(round(axis.end_s * SAMPLE_RATE), WINDOW), np.float32)
    count = min(len(waveform), len(padded))
    padded[:count] = waveform[:count] / 32768
    decibels = 20 * np.log10(measure_spectrum(padded) + 1e-7)  # lowest frequency first
    shade = np.clip((decibels - decibels.max() + RANGE_DB) / RANGE_DB, 0, 1)[::-1]
    size = (min(shade.shape[1], WIDEST), 100)
    shade = cv2.resize(shade.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    colours = (matplotlib.colormaps["magma"](shade)[..., 2::-1] * 255).astype(np.uint8)  # blue, green, red
    _, data = cv2.imencode(".jpg", colours, [cv2.IMWRITE_JPEG_QUALITY, 82])
    return Track(
        "spectrogram",
        f"0 to {SAMPLE_RATE // 2000} kHz",
        "image",
        source=embed(data.tobytes(), "image/jpeg"),
        alt=f"spectrogram, 0 to {SAMPLE_RATE // 2000} kHz, {RANGE_DB:.0f} dB from black to the brightest",
    )


def make_player(waveform: np.ndarray) -> str:
    """The sound as a `data:` address; empty for clips that are too long to embed."""
    if len(waveform) > LONGEST_PLAYED_S * SAMPLE_RATE:
        return ""
    slow = halve_rate(waveform.astype(np.float32))
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(PLAYED_RATE)
        out.writeframes(np.clip(slow, -32768, 32767).astype("<i2").tobytes())
    return embed(file.getvalue(), "audio/wav")


def measure_spectrum(sound: np.ndarray) -> np.ndarray:
    """Amplitudes [201, frames] of a sound [S], by windows around every `HOP`th sample (Hann)."""
    from scipy.signal import stft  # here, since it takes most of a second

    return np.abs(stft(sound, SAMPLE_RATE, nperseg=WINDOW, noverlap=WINDOW - HOP)[2])


def halve_rate(sound: np.ndarray) -> np.ndarray:
    """A sound [S] at `PLAYED_RATE`, without what is too high for it."""
    from av import AudioFrame, AudioResampler  # here, since training decodes nothing

    resampler = AudioResampler("fltp", "mono", PLAYED_RATE)
    frame = AudioFrame.from_ndarray(sound[None].astype(np.float32), "fltp", "mono")
    frame.sample_rate = SAMPLE_RATE
    parts = [*resampler.resample(frame), *resampler.resample(None)]  # None: what it still holds
    return np.concatenate([part.to_ndarray()[0] for part in parts])
