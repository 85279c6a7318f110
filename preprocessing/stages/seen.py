"""The two stages of the picture: `faces`, crops of the tracked face, and `behaviour`, a token per frame.

Decoders, MediaPipe and OpenFace are imported when a clip is worked on.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from preprocessing.cache.store import Arrays
from preprocessing.config import PreprocessConfig
from preprocessing.errors import UserError
from preprocessing.openface.columns import describe_columns
from preprocessing.stages.base import Licence, PersonStage, StageResult
from preprocessing.stages.heard import Waveform

if TYPE_CHECKING:
    from preprocessing.stages.clip import Clip
    from preprocessing.stages.look import Person

OPENFACE = Licence(
    "OpenFace (face behaviour)",
    "Academic or non-profit non-commercial research only, for OpenFace and what it computes",
    commercial=False,
)
MEDIAPIPE = Licence("MediaPipe and its face landmarker", "Apache-2.0", commercial=True)


class Faces(PersonStage):
    """Crops of the tracked face as JPEG pictures."""

    name, version, row_key, is_evidence = "faces", 4, "face", True
    tools = ("av", "decord2", "mediapipe", "opencv-python-headless")

    def source(self, config: PreprocessConfig) -> str:
        """As `Stage.source`."""
        return config.faces.source

    def cost(self, config: PreprocessConfig) -> float:
        """Measured with MediaPipe (docs/preprocessing_speed.md); OpenFace at real time is a guess."""
        return {"mediapipe": 0.13, "openface": 1.0}[config.faces.source]

    def check(self, config: PreprocessConfig) -> None:
        """As `Stage.check`."""
        check_program(config.faces.source, config)

    def licence(self, options: Mapping[str, object]) -> Licence:
        """As `Stage.licence`."""
        return OPENFACE if "openface" in options else MEDIAPIPE

    def options(self, config: PreprocessConfig) -> dict[str, object]:
        """As `Stage.options`."""
        if config.faces.source == "openface":
            size = {"rate": config.faces.rate, "size": config.faces.size}
            program = {name: value for name, value in openface_options(config).items() if name != "groups"}
            return {"faces": size, "openface": program}
        return {"decode": decode_options(config), "track": track_options(config), "faces": config.faces}

    def earlier(self, config: PreprocessConfig, recipes: Mapping[str, str]) -> list[object]:
        """As `Stage.earlier`."""
        return who_speaks(config) if config.faces.source == "mediapipe" else []

    def keys(self, config: PreprocessConfig) -> dict[str, dict]:
        """As `Stage.keys`."""
        return {
            "face_jpeg": {"unit": "JPEG bytes", "size": config.faces.size},
            "face_box": {"unit": "px", "columns": ["x0", "y0", "x1", "y1"]},
        }

    def empty(self, config: PreprocessConfig) -> Arrays:
        """As `Stage.empty`."""
        return {
            "face_jpeg": np.zeros(0, np.uint8),
            "face_offset": np.zeros(1, np.int64),
            "face_time": np.zeros(0),
            "face_valid": np.zeros(0, bool),
            "face_box": np.zeros((0, 4), np.float32),
        }

    def pack(self, person: "Person") -> Arrays:
        """As `PersonStage.pack`."""
        from preprocessing.faces.landmarks import pack_crops

        rows = person.crop_rows
        return pack_crops(person.time[rows], [person.track[row] for row in rows])

    def extract(self, clip: "Clip") -> StageResult:
        """As `Stage.extract`."""
        by_openface = clip.config.faces.source == "openface" and clip.info.has_video
        return clip.openface[self.name] if by_openface else super().extract(clip)

    def cut(self, arrays: Arrays, start_s: float, end_s: float) -> Arrays:
        """As `Stage.cut`."""
        rows = slice(*np.searchsorted(arrays["face_time"], (start_s, end_s)))
        offset = arrays["face_offset"][rows.start : rows.stop + 1]
        return {name: arrays[name][rows] for name in ("face_valid", "face_box")} | {
            "face_time": arrays["face_time"][rows] - start_s,
            "face_jpeg": arrays["face_jpeg"][offset[0] : offset[-1]],
            "face_offset": offset - offset[0],
        }


class Behaviour(PersonStage):
    """One token per sampled frame: expression, head pose and gaze, by MediaPipe or OpenFace."""

    name, version, features = "behaviour", 4, ("behaviour",)
    tools = ("av", "decord2", "mediapipe")

    def source(self, config: PreprocessConfig) -> str:
        """As `Stage.source`."""
        return config.behaviour.backend

    def cost(self, config: PreprocessConfig) -> float:
        """Measured with MediaPipe; the others are guesses."""
        return {"mediapipe": 0.13, "openface": 1.0, "openface_csv": 0.02}[config.behaviour.backend]

    def check(self, config: PreprocessConfig) -> None:
        """As `Stage.check`."""
        check_program(config.behaviour.backend, config)

    def obstacle(self, config: PreprocessConfig) -> str:
        """As `Stage.obstacle`."""
        if config.behaviour.backend != "openface_csv":
            return ""
        return (
            "OpenFace CSVs (behaviour.backend=openface_csv), and a new video has none; train one on a cache "
            "with behaviour.backend=mediapipe or openface"
        )

    def licence(self, options: Mapping[str, object]) -> Licence:
        """As `Stage.licence`."""
        return OPENFACE if str(options.get("backend", "")).startswith("openface") else MEDIAPIPE

    def options(self, config: PreprocessConfig) -> dict[str, object]:
        """As `Stage.options`."""
        backend = config.behaviour.backend
        looked_at = track_options(config) if backend == "mediapipe" else openface_options(config)
        return {"decode": decode_options(config), "backend": backend, backend: looked_at}

    def earlier(self, config: PreprocessConfig, recipes: Mapping[str, str]) -> list[object]:
        """As `Stage.earlier`."""
        return who_speaks(config) if config.behaviour.backend == "mediapipe" else []

    def columns(self, config: PreprocessConfig) -> list[str]:
        """Names of the columns under the chosen backend."""
        if config.behaviour.backend != "mediapipe":
            return list(describe_columns(config.behaviour.openface.groups))
        from preprocessing.faces.behaviour import MEDIAPIPE_COLUMNS

        return list(MEDIAPIPE_COLUMNS)

    def keys(self, config: PreprocessConfig) -> dict[str, dict]:
        """As `Stage.keys`."""
        return {"behaviour": {"unit": "see columns", "columns": self.columns(config)}}

    def empty(self, config: PreprocessConfig) -> Arrays:
        """As `Stage.empty`."""
        arrays = super().empty(config) | {"behaviour_valid": np.zeros(0, bool)}
        by_openface = config.behaviour.backend != "mediapipe"
        return arrays | ({"behaviour_confidence": np.zeros(0, np.float32)} if by_openface else {})

    def pack(self, person: "Person") -> Arrays:
        """As `PersonStage.pack`."""
        from preprocessing.faces.behaviour import pack_behaviour

        return pack_behaviour(person.time, person.track)

    def extract(self, clip: "Clip") -> StageResult:
        """As `Stage.extract`."""
        by_openface = clip.config.behaviour.backend != "mediapipe" and clip.info.has_video
        return clip.openface[self.name] if by_openface else super().extract(clip)


def decode_options(config: PreprocessConfig) -> dict[str, object]:
    """What of the decoding decides a picture."""
    return {"max_missing": config.decode.max_missing, "reader": config.decode.reader}


def track_options(config: PreprocessConfig) -> object:
    """What decides who is seen. Wherever the model lies, it is one model: its hash is checked."""
    return replace(config.track, model="")


def openface_options(config: PreprocessConfig) -> dict[str, object]:
    """What decides OpenFace's numbers; where the program lies and how long it may take does not."""
    openface = config.behaviour.openface
    names = ["groups", "min_confidence", "max_missing"]
    names += ["image", "mloc"] if config.behaviour.backend == "openface" else []
    return {name: getattr(openface, name) for name in names}


def who_speaks(config: PreprocessConfig) -> list[object]:
    """The version of the sound, where it decides which of several people is looked at."""
    return [Waveform.version] if config.track.choose == "speaking" else []


def check_program(name: str, config: PreprocessConfig) -> None:
    """Whether what looks at the picture is installed.

    Raises:
        UserError: the model, the program or the folder of CSVs is not there.
    """
    if name == "mediapipe":
        from preprocessing.faces.landmarks import find_model

        find_model(config.track.model)
    elif name == "openface":
        from preprocessing.openface.program import check_openface

        check_openface(config.behaviour.openface)
    elif not Path(config.behaviour.openface.csv_dir or "-").is_dir():
        raise UserError(
            "behaviour.backend=openface_csv needs the folder of CSVs, but "
            f"'{config.behaviour.openface.csv_dir}' is none; type behaviour.openface.csv_dir=FOLDER"
        )
