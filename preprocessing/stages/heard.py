"""The two stages of the sound: `waveform`, and `acoustics` made of it.

openSMILE is imported when a clip is worked on.
"""

from collections.abc import Mapping

import numpy as np

from preprocessing.cache.store import Arrays
from preprocessing.config import SAMPLE_RATE, PreprocessConfig
from preprocessing.stages.base import Licence, SoundStage

OPENSMILE = Licence(
    "openSMILE (acoustic features)",
    "Private, research and educational use only; commercial use needs a licence of audEERING",
    commercial=False,
)


class Waveform(SoundStage):
    """The sound as samples: mono, 16 kHz."""

    name, version, tools, is_evidence = "waveform", 3, ("av",), True

    def source(self, config: PreprocessConfig) -> str:
        """As `Stage.source`."""
        return "sound"

    def cost(self, config: PreprocessConfig) -> float:
        """Measured: docs/preprocessing_speed.md, rounded, of one machine."""
        return 0.005

    def options(self, config: PreprocessConfig) -> dict[str, object]:
        """As `Stage.options`."""
        return {"sample_rate": SAMPLE_RATE, "max_missing": config.decode.max_missing}

    def keys(self, config: PreprocessConfig) -> dict[str, dict]:
        """As `Stage.keys`."""
        return {"waveform": {"unit": "int16, full scale 32768", "rate_hz": SAMPLE_RATE}}

    def empty(self, config: PreprocessConfig) -> Arrays:
        """As `Stage.empty`."""
        return {"waveform": np.zeros(0, np.int16), "waveform_time": np.zeros(0)}

    def measure(self, waveform: np.ndarray, config: PreprocessConfig) -> Arrays:
        """The waveform itself; its time is that of the first sample."""
        return {"waveform": waveform, "waveform_time": np.zeros(1)}


class Acoustics(SoundStage):
    """openSMILE's functionals of the clip and its low-level descriptors."""

    name, after, tools = "acoustics", ("waveform",), ("opensmile",)
    features = ("lld", "functionals")

    def source(self, config: PreprocessConfig) -> str:
        """As `Stage.source`: from the same decode of the sound as the waveform."""
        return "sound"

    def cost(self, config: PreprocessConfig) -> float:
        """As of `Waveform`, which comes along."""
        return 0.025

    def licence(self, options: Mapping[str, object]) -> Licence:
        """As `Stage.licence`."""
        return OPENSMILE

    def options(self, config: PreprocessConfig) -> dict[str, object]:
        """As `Stage.options`."""
        return {"acoustics": config.acoustics}

    def keys(self, config: PreprocessConfig) -> dict[str, dict]:
        """As `Stage.keys`."""
        from preprocessing.stages.acoustics import columns

        named = columns(config.acoustics)
        return {key: {"unit": "openSMILE's", "columns": names} for key, names in named.items()}

    def measure(self, waveform: np.ndarray, config: PreprocessConfig) -> Arrays | None:
        """As `SoundStage.measure`."""
        from preprocessing.stages.acoustics import extract_acoustics

        return extract_acoustics(waveform, config.acoustics)
