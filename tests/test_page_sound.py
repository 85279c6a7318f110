"""A clip's sound on a page: its spectrum, and the sound at half the rate."""

import numpy as np

from mosi_e2e.pages.sound import halve_rate, measure_spectrum

RATE = 16_000


def make_sine(hertz: float) -> np.ndarray:
    return 0.2 * np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)


def test_a_tone_has_its_amplitude_at_its_own_frequency():
    found = measure_spectrum(make_sine(1000))
    assert found.shape == (201, 101)
    middle = found[:, 50]
    assert middle.argmax() == 25  # of 40 Hz each
    assert abs(middle[25] - 0.1) < 1e-3  # half of it: the other half is that of the negative frequency


def test_half_the_rate_keeps_low_tones_and_loses_those_it_cannot_hold():
    low, high = make_sine(1000), make_sine(6000)
    assert np.abs(halve_rate(low) - low[::2])[50:-50].max() < 0.01 * np.abs(low).max()
    assert np.abs(halve_rate(high))[50:-50].max() < 0.01 * np.abs(high).max()
