"""What openSMILE measures: 88 functionals of the clip and 25 low-level descriptors every 10 ms.

The set is eGeMAPSv02 (Eyben et al., IEEE Trans. Affective Computing 2016).
openSMILE is free for research and education only.
"""

import functools
from pathlib import Path

import numpy as np
import opensmile

from preprocessing.config import SAMPLE_RATE, AcousticsConfig

MIN_SAMPLES = int(0.1 * SAMPLE_RATE)  # below, openSMILE has no complete analysis window
WINDOW_S = 0.02  # of the spectral descriptors; a row's time is the middle of it


@functools.lru_cache(maxsize=4)
def _extractor(feature_set: str, level: str) -> opensmile.Smile:
    return opensmile.Smile(
        feature_set=opensmile.FeatureSet[feature_set], feature_level=opensmile.FeatureLevel[level]
    )


def run_both_levels(
    extractor: opensmile.Smile, waveform: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both feature levels of openSMILE from one pass over the sound.

    The package runs its program once per level and computes the descriptors twice; its own configuration for
    two sinks gives both. This leans on the package's inner methods: a test compares with the public ones.

    Args:
        extractor: of either level.
        waveform: [S] int16, 16 kHz.

    Returns:
        Functionals [F, 88], descriptors [T, 25] and the start [T] in s of their windows; F is 1, or 0 where
        the sound is too short.
    """
    shared = Path(extractor.default_config_root) / "shared"
    smile = extractor._smile(
        options=extractor._options()
        | {
            "source": str(shared / "standard_external_wave_input.conf.inc"),
            "sink": str(shared / "standard_external_data_output_multi.conf.inc"),
            "sampleRate": SAMPLE_RATE,
            "nBits": 16,
        }
    )
    found: dict[str, tuple[list, list, list]] = {"extsinklld": ([], [], []), "extsinkfunc": ([], [], [])}
    for sink, lists in found.items():
        smile.external_sink_set_callback_ex(sink, extractor._sink_callback(*lists))
    smile.external_audio_source_write_data("extsource", waveform.tobytes())
    smile.external_audio_source_set_eoi("extsource")
    smile.run()
    smile.free()
    functionals, (descriptors, starts, _) = found["extsinkfunc"][0], found["extsinklld"]
    rows = [np.vstack(rows) if rows else np.zeros((0, 0)) for rows in (functionals, descriptors)]
    return rows[0], rows[1], np.asarray(starts, dtype=np.float64).reshape(-1)


def columns(config: AcousticsConfig) -> dict[str, list[str]]:
    """Column names of the two arrays."""
    return {
        "functionals": list(_extractor(config.feature_set, "Functionals").feature_names),
        "lld": list(_extractor(config.feature_set, "LowLevelDescriptors").feature_names),
    }


def extract_acoustics(waveform: np.ndarray, config: AcousticsConfig) -> dict[str, np.ndarray] | None:
    """The `acoustics` stage's arrays of a waveform [S] int16, 16 kHz.

    Returns:
        `functionals` float32 [1, 88] with `functionals_time` [1] (the middle of the clip), `lld` float32
        [T, 25] with `lld_time` [T]; None for a sound too short to analyse.
    """
    if len(waveform) < MIN_SAMPLES:
        return None
    extractor = _extractor(config.feature_set, "Functionals")
    functionals, descriptors, start = run_both_levels(extractor, waveform)
    if not len(functionals) or not len(descriptors):
        return None
    if not (np.isfinite(functionals).all() and np.isfinite(descriptors).all()):
        return None
    return {
        "functionals": functionals.astype(np.float32),
        "functionals_time": np.array([len(waveform) / SAMPLE_RATE / 2]),
        "lld": descriptors.astype(np.float32),
        "lld_time": start + WINDOW_S / 2,
    }
