"""openSMILE's features of made sounds: shapes, times, pitch, and the package's own answer."""

import numpy as np
import opensmile
import pytest
from kit.made_clips import make_chirps, make_tone

from preprocessing.config import FEATURE_SETS, SAMPLE_RATE, AcousticsConfig
from preprocessing.stages.acoustics import MIN_SAMPLES, columns, extract_acoustics

CONFIG = AcousticsConfig()
PITCH = "F0semitoneFrom27.5Hz_sma3nz"


def to_waveform(sound: np.ndarray) -> np.ndarray:
    return np.round(sound[0] * 32767).astype(np.int16)


def run_public(waveform: np.ndarray, feature_set: str, level: str) -> np.ndarray:
    """The answer of the package's public way, on the same samples as floating point."""
    smile = opensmile.Smile(opensmile.FeatureSet[feature_set], opensmile.FeatureLevel[level])
    return smile.process_signal(waveform.astype(np.float32) / 32768, SAMPLE_RATE)


def test_settings_know_the_package_s_feature_sets():
    assert tuple(opensmile.FeatureSet.__members__) == FEATURE_SETS


def test_shapes_types_and_times():
    waveform = to_waveform(make_chirps(1.5, SAMPLE_RATE))
    found = extract_acoustics(waveform, CONFIG)
    assert found["functionals"].shape == (1, 88)
    assert found["lld"].shape[1] == 25
    assert 140 <= len(found["lld"]) <= 150
    assert found["functionals_time"].tolist() == [0.75]
    assert np.allclose(np.diff(found["lld_time"]), 0.01)
    assert 0 <= found["lld_time"][0] < 0.03
    assert found["lld_time"][-1] < 1.5
    assert {key: value.dtype for key, value in found.items()} == {
        "functionals": np.float32,
        "functionals_time": np.float64,
        "lld": np.float32,
        "lld_time": np.float64,
    }
    names = columns(CONFIG)
    assert (len(set(names["functionals"])), len(set(names["lld"]))) == (88, 25)


@pytest.mark.parametrize("feature_set", ["eGeMAPSv02", "GeMAPSv01b"])
def test_values_and_times_are_those_of_the_public_interface(feature_set):
    waveform = to_waveform(np.hstack([make_tone(0.6, SAMPLE_RATE, 180), make_chirps(0.6, SAMPLE_RATE)]))
    found = extract_acoustics(waveform, AcousticsConfig(feature_set))
    for key, level in (("functionals", "Functionals"), ("lld", "LowLevelDescriptors")):
        public = run_public(waveform, feature_set, level)
        assert columns(AcousticsConfig(feature_set))[key] == list(public.columns)
        assert found[key].shape == public.shape
        assert np.allclose(found[key], public, rtol=1e-3, atol=1e-3)
    starts = public.index.get_level_values("start").total_seconds()
    assert np.allclose(found["lld_time"], starts + 0.01)


def test_pitch_of_a_tone():
    tone = to_waveform(make_tone(1.0, SAMPLE_RATE, 220))
    found = extract_acoustics(tone, CONFIG)
    names = columns(CONFIG)
    track = found["lld"][:, names["lld"].index(PITCH)]
    assert (track > 0).mean() > 0.9
    assert abs(np.median(track[track > 0]) - 36) < 0.3  # three octaves above 27.5 Hz
    assert abs(found["functionals"][0, names["functionals"].index(f"{PITCH}_amean")] - 36) < 0.5


def test_a_burst_is_seen_when_it_sounds():
    sound = 0.0005 * make_chirps(2.0, SAMPLE_RATE)
    sound[:, 16_000:16_160] = 0.5  # 10 ms, from 1 s
    sound[:, 16_000:16_160:2] = -0.5
    found = extract_acoustics(to_waveform(sound), CONFIG)
    loudness = found["lld"][:, columns(CONFIG)["lld"].index("Loudness_sma3")]
    assert abs(found["lld_time"][loudness.argmax()] - 1.005) <= 0.0101


def test_too_short_a_sound_has_no_features():
    sound = to_waveform(make_chirps(0.2, SAMPLE_RATE))
    assert extract_acoustics(sound[: MIN_SAMPLES - 1], CONFIG) is None
    assert extract_acoustics(sound[:0], CONFIG) is None
    shortest = extract_acoustics(sound[:MIN_SAMPLES], CONFIG)
    assert shortest is None or np.isfinite(shortest["functionals"]).all()
    assert extract_acoustics(sound, CONFIG)["functionals"].shape == (1, 88)


def test_silence_has_finite_features():
    found = extract_acoustics(np.zeros(SAMPLE_RATE, np.int16), CONFIG)
    assert np.isfinite(found["functionals"]).all() and np.isfinite(found["lld"]).all()


def test_a_clip_leaves_nothing_behind_for_the_next():
    one, two = to_waveform(make_tone(0.5, SAMPLE_RATE, 150)), to_waveform(make_chirps(0.7, SAMPLE_RATE))
    first = extract_acoustics(one, CONFIG)
    extract_acoustics(two, CONFIG)
    again = extract_acoustics(one, CONFIG)
    assert all(np.array_equal(first[key], again[key]) for key in first)
