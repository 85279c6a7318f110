"""The stages of the cache: their recipes and columns. What each makes of a clip: `clip_stages.py`.

```
video ─ faces      crops of the tracked face
      └ behaviour  one token per frame
audio ─ waveform ─ acoustics
```
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version

import numpy as np

from preprocessing import acoustics
from preprocessing.behaviour import MEDIAPIPE_COLUMNS
from preprocessing.config import PreprocessConfig, TrackConfig
from preprocessing.faces import pack_crops
from preprocessing.openface_columns import describe_columns
from preprocessing.settings import build_config, digest
from preprocessing.store import SAMPLE_RATE, STAGES, Arrays

VERSIONS = {
    "faces": 4,
    "waveform": 3,
    "behaviour": 4,
    "acoustics": 1,
}  # raise one when its code changes results
TOOLS = {
    "faces": ("av", "decord2", "mediapipe", "opencv-python-headless"),
    "waveform": ("av",),
    "behaviour": ("av", "decord2", "mediapipe"),
    "acoustics": ("opensmile",),
}


@dataclass(frozen=True)
class StageResult:
    """One clip's result in one stage.

    Attributes:
        arrays: what is stored; empty sequences where the clip lacks the stream.
        state: `ok`, or why there is nothing: `no_audio`, `no_video`, `no_face`, `too_short`.
        facts: further entries of the stored status (numbers for the index, remarks).
    """

    arrays: Arrays
    state: str
    facts: dict[str, object]

    @property
    def status(self) -> dict[str, object]:
        return {"state": self.state, **self.facts}


def list_options(config: PreprocessConfig) -> dict[str, object]:
    """Per stage, the options that its result depends on."""
    backend = config.behaviour.backend
    track = replace(config.track, model="")  # wherever it lies, it is one model: its hash is checked
    decode = {"max_missing": config.decode.max_missing, "reader": config.decode.reader}
    looked_at = track if backend == "mediapipe" else _openface_options(config)
    return {
        "faces": _face_options(config, decode, track),
        "waveform": {"sample_rate": SAMPLE_RATE, "max_missing": config.decode.max_missing},
        "behaviour": {"decode": decode, "backend": backend, backend: looked_at},
        "acoustics": {"acoustics": config.acoustics},
    }


def _face_options(config: PreprocessConfig, decode: dict, track: TrackConfig) -> dict[str, object]:
    if config.faces.source == "openface":
        size = {"rate": config.faces.rate, "size": config.faces.size}
        program = {name: value for name, value in _openface_options(config).items() if name != "groups"}
        return {"faces": size, "openface": program}
    return {"decode": decode, "track": track, "faces": config.faces}


def _openface_options(config: PreprocessConfig) -> dict[str, object]:
    """What decides OpenFace's numbers; where the program lies and how long it may take does not."""
    openface = config.behaviour.openface
    names = ["groups", "min_confidence", "max_missing"]
    names += ["image", "mloc"] if config.behaviour.backend == "openface" else []
    return {name: getattr(openface, name) for name in names}


def make_recipes(config: PreprocessConfig) -> dict[str, str]:
    """Per stage, eight hex digits over its options, its version and the stages before it."""
    recipes: dict[str, str] = {}
    for stage, options in list_options(config).items():
        before = [recipes["waveform"]] if stage == "acoustics" else []
        if "track" in options or "mediapipe" in options:
            before = [VERSIONS["waveform"]] if config.track.choose == "speaking" else []
        recipes[stage] = digest(stage, VERSIONS[stage], *options.values(), *options.keys(), *before)
    return recipes


def describe_stages(config: PreprocessConfig) -> dict[str, dict]:
    """`meta.json`'s entry per stage."""
    recipes, options = make_recipes(config), list_options(config)
    keys = {
        "faces": {
            "face_jpeg": {"unit": "JPEG bytes", "size": config.faces.size},
            "face_box": {"unit": "px", "columns": ["x0", "y0", "x1", "y1"]},
        },
        "waveform": {"waveform": {"unit": "int16, full scale 32768", "rate_hz": SAMPLE_RATE}},
        "behaviour": {"behaviour": {"unit": "see columns", "columns": behaviour_columns(config)}},
        "acoustics": {
            key: {"unit": "openSMILE's", "columns": names}
            for key, names in acoustics.columns(config.acoustics).items()
        },
    }
    return {
        stage: {
            "recipe": recipes[stage],
            "version": VERSIONS[stage],
            "options": json.loads(json.dumps(options[stage], default=vars)),
            "tools": {name: version(name) for name in TOOLS[stage]},
            "keys": keys[stage],
        }
        for stage in STAGES
    }


def recover_config(stages: Mapping[str, Mapping]) -> PreprocessConfig:
    """The settings that a cache was made with: a new clip has to be treated alike.

    Args:
        stages: `meta.json`'s entry per stage, at least its `options`.

    Raises:
        UserError: the entries are those of another version of the program.
    """
    options = {stage: dict(entry["options"]) for stage, entry in stages.items() if stage in STAGES}
    behaviour = options.get("behaviour", {})
    backend = behaviour.pop("backend", "mediapipe")
    looked_at = behaviour.pop(backend, {})
    faces = options.get("faces", {})
    by_openface = "openface" in faces
    values = {
        "decode": faces.get("decode") or behaviour.get("decode") or {},
        "track": faces.get("track") or (looked_at if backend == "mediapipe" else {}),
        "faces": faces.get("faces", {}) | ({"source": "openface"} if by_openface else {}),
        "behaviour": {"backend": backend} | ({} if backend == "mediapipe" else {"openface": looked_at}),
        "acoustics": options.get("acoustics", {}).get("acoustics", {}),
    }
    return build_config(PreprocessConfig, values, "the cache's options")


def behaviour_columns(config: PreprocessConfig) -> list[str]:
    """Names of the behaviour columns under the chosen backend."""
    if config.behaviour.backend == "mediapipe":
        return list(MEDIAPIPE_COLUMNS)
    return list(describe_columns(config.behaviour.openface.groups))


def empty_arrays(stage: str, config: PreprocessConfig) -> Arrays:
    """The stage's arrays with zero rows."""
    none = np.zeros(0)
    if stage == "faces":
        return pack_crops(none, [])
    if stage == "waveform":
        return {"waveform": np.zeros(0, np.int16), "waveform_time": none}
    if stage == "behaviour":
        width = len(behaviour_columns(config))
        with_confidence = config.behaviour.backend != "mediapipe"
        return {
            "behaviour": np.zeros((0, width), np.float32),
            "behaviour_time": none,
            "behaviour_valid": np.zeros(0, bool),
        } | ({"behaviour_confidence": np.zeros(0, np.float32)} if with_confidence else {})
    arrays: Arrays = {}
    for key, names in acoustics.columns(config.acoustics).items():
        arrays |= {key: np.zeros((0, len(names)), np.float32), f"{key}_time": none}
    return arrays


def absent_result(
    stage: str,
    state: str,
    duration_s: float,
    config: PreprocessConfig,
    facts: dict[str, object] | None = None,
) -> StageResult:
    """A stage that the clip has nothing for: the same keys with no rows."""
    return StageResult(empty_arrays(stage, config), state, facts or {"duration_s": round(duration_s, 3)})
