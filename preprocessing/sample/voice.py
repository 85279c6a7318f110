"""Speech-like sound: glottal pulses and noise through moving formants.

The source-filter model (Fant, Acoustic Theory of Speech Production, 1960) in the short-time Fourier
domain: every frame's spectrum is multiplied by the response of a glottal low-pass and four resonators.
"""

import numpy as np

from preprocessing.sample.performance import CONTROL_HZ, VoiceTracks
from preprocessing.sample.plan import Speaker

SAMPLE_RATE = 44_100
WINDOW, HOP = 1024, 256
# First three formants of the vowels a e i o u @, a woman's, after Peterson and Barney (1952).
FORMANTS_HZ = np.array(
    [
        [850, 1220, 2810],
        [610, 2330, 2990],
        [310, 2790, 3310],
        [590, 920, 2710],
        [370, 950, 2670],
        [500, 1640, 2780],
    ]
)
BANDWIDTHS_HZ = np.array([80.0, 100.0, 140.0, 220.0])
GLOTTAL_HZ = 240.0  # above, the glottal source falls by 12 dB an octave
HISS_DB = -10.0  # of the loudest consonant, against the voice
ROOM_DB = -62.0
CEILING = 0.8  # amplitudes above are bent, so that nothing clips


def synthesise(tracks: VoiceTracks, speaker: Speaker, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """The voice as float32 [n_samples] at `SAMPLE_RATE`, within -1 and 1."""
    frame_s = np.arange(n_samples // HOP + 2) * HOP / SAMPLE_RATE
    track_s = np.arange(tracks.loudness.size) / CONTROL_HZ
    loudness = np.interp(frame_s, track_s, tracks.loudness)
    hiss = np.interp(frame_s, track_s, tracks.hiss)
    frequency = np.fft.rfftfreq(WINDOW, 1 / SAMPLE_RATE)  # [bin]
    throat = _throat(frame_s, track_s, tracks, speaker, frequency)  # [frame, bin]
    teeth = 1 / (1 + (4500 / np.maximum(frequency, 1)) ** 4)  # s and sh: only the top

    pulses = _spectra(_pulses(tracks.f0_hz, n_samples, rng), frame_s.size)
    noise = _spectra(rng.normal(size=n_samples), frame_s.size)
    spectra = loudness[:, None] * throat * (pulses + 0.012 * speaker.breath * noise)
    voice = _overlap_add(spectra, n_samples)
    voice *= 10 ** (tracks.level_db / 20) / _loud_rms(voice)
    consonants = _overlap_add(hiss[:, None] * teeth * noise, n_samples)
    consonants *= 10 ** ((tracks.level_db + HISS_DB) / 20)
    sound = voice + consonants + 10 ** (ROOM_DB / 20) * rng.normal(size=n_samples)
    over = np.maximum(np.abs(sound) - CEILING, 0)
    bent = np.minimum(np.abs(sound), CEILING) + (1 - CEILING) * np.tanh(over / (1 - CEILING)) * 0.9
    return (np.sign(sound) * bent).astype(np.float32)


def _throat(
    frame_s: np.ndarray,
    track_s: np.ndarray,
    tracks: VoiceTracks,
    speaker: Speaker,
    frequency: np.ndarray,
) -> np.ndarray:
    """Complex response of glottis and vocal tract, [frame, bin]."""
    formants = tracks.vowels @ FORMANTS_HZ * speaker.formant_scale  # [time, 3]
    formants = np.column_stack([np.interp(frame_s, track_s, formants[:, i]) for i in range(3)])
    fourth = np.full(len(frame_s), 4100 * speaker.formant_scale)
    centres = np.column_stack([formants, fourth])[:, :, None]  # [frame, formant, 1]
    resonance = centres**2 / (centres**2 - frequency**2 + 1j * frequency * BANDWIDTHS_HZ[:, None])
    glottis = frequency / (frequency + 60) / np.square(1 + 1j * frequency / GLOTTAL_HZ)
    lips = frequency / 1000
    return resonance.prod(axis=1) * glottis * (0.4 + lips)


def _pulses(f0_hz: np.ndarray, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """One impulse a glottal cycle, with 0.5 % jitter and 4 % shimmer, [n_samples]."""
    time = np.arange(n_samples) / SAMPLE_RATE
    phase = np.cumsum(np.interp(time, np.arange(f0_hz.size) / CONTROL_HZ, f0_hz)) / SAMPLE_RATE
    cycles = np.arange(1, int(phase[-1]))
    at = np.interp(cycles + rng.normal(0, 0.005, cycles.size), phase, np.arange(n_samples, dtype=float))
    whole = np.minimum(at.astype(int), n_samples - 2)
    strength = 1 + rng.normal(0, 0.04, cycles.size)
    pulses = np.zeros(n_samples)
    np.add.at(pulses, whole, strength * (1 - (at - whole)))  # between samples: shared by two
    np.add.at(pulses, whole + 1, strength * (at - whole))
    return pulses


def _window() -> np.ndarray:
    """Square root of the periodic Hann window: analysed and synthesised with it, frames add up to 2."""
    return np.sin(np.pi * np.arange(WINDOW) / WINDOW)


def _spectra(sound: np.ndarray, n_frames: int) -> np.ndarray:
    """Short-time spectra, frame i centred on sample i * HOP, [frame, bin]."""
    padded = np.zeros((n_frames - 1) * HOP + WINDOW)
    padded[WINDOW // 2 : WINDOW // 2 + sound.size] = sound[: padded.size - WINDOW // 2]
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    return np.fft.rfft(frames * _window(), axis=1)


def _overlap_add(spectra: np.ndarray, n_samples: int) -> np.ndarray:
    """The sound of short-time spectra, [n_samples]."""
    frames = np.fft.irfft(spectra, n=WINDOW, axis=1) * _window() / 2
    sound = np.zeros((len(frames) - 1) * HOP + WINDOW)
    for i, frame in enumerate(frames):
        sound[i * HOP : i * HOP + WINDOW] += frame
    return sound[WINDOW // 2 : WINDOW // 2 + n_samples]


def _loud_rms(sound: np.ndarray) -> float:
    """Root mean square of the louder half of the sound's 20 ms blocks."""
    block = SAMPLE_RATE // 50
    power = np.square(sound[: sound.size // block * block]).reshape(-1, block).mean(axis=1)
    return float(np.sqrt(power[power >= np.median(power)].mean()))
