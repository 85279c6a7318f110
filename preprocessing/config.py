"""What preprocessing can be told: the schema of `configs/preprocess.yaml`."""

import math
from dataclasses import dataclass, field

from opensmile import FeatureSet

from preprocessing.acoustics import AcousticsConfig
from preprocessing.behaviour import BACKENDS, BehaviourConfig
from preprocessing.decode import READERS, DecodeConfig
from preprocessing.errors import UserError
from preprocessing.executor import EXECUTORS
from preprocessing.faces import SOURCES, FacesConfig, TrackConfig
from preprocessing.openface_columns import describe_columns
from preprocessing.tracks import CHOICES


@dataclass(frozen=True)
class PreprocessConfig:
    """Settings of one cache.

    Attributes:
        labels: label file, the folder that holds it and the clips, or a zip of that folder.
        layout: auto | course | mmsa | cmu | csv (see `labels.py`).
        labels_columns: names of the columns of a course file with a header of its own:
            `clip`, `label`, `split`, `video`.
        out: cache folder.
        executor: processes | ray: of this machine, or of a Ray cluster with shared storage.
        workers: processes; 0 means one per core (with Ray: of the cluster).
        timeout_s: a clip that takes longer counts as failed.
    """

    labels: str = "data/sample"
    layout: str = "auto"
    labels_columns: dict[str, str] = field(default_factory=dict)
    out: str = "cache/sample"
    executor: str = "processes"
    workers: int = 0
    timeout_s: float = 600.0
    decode: DecodeConfig = field(default_factory=DecodeConfig)
    track: TrackConfig = field(default_factory=TrackConfig)
    faces: FacesConfig = field(default_factory=FacesConfig)
    behaviour: BehaviourConfig = field(default_factory=BehaviourConfig)
    acoustics: AcousticsConfig = field(default_factory=AcousticsConfig)


def check_config(config: PreprocessConfig) -> None:
    """Refuse settings that no clip could be processed with.

    Raises:
        UserError: names the setting and what it may be.
    """
    positive = {
        "decode.max_minutes": config.decode.max_minutes,
        "track.rate": config.track.rate,
        "track.max_faces": config.track.max_faces,
        "faces.rate": config.faces.rate,
        "faces.size": config.faces.size,
        "timeout_s": config.timeout_s,
    }
    for name, value in positive.items():
        if not (math.isfinite(value) and value > 0):
            raise UserError(f"{name} must be above 0, but is {value}; type for example {name}=5")
    if config.faces.rate > config.track.rate:
        raise UserError(
            f"faces.rate ({config.faces.rate}) cannot exceed track.rate ({config.track.rate}): crops are cut "
            f"from tracked frames; type track.rate={config.faces.rate}"
        )
    if not 1 <= config.faces.quality <= 100:
        raise UserError(f"faces.quality must be 1..100, but is {config.faces.quality}; type faces.quality=92")
    if config.workers < 0:
        raise UserError(f"workers must be 0 (one per core) or more, but is {config.workers}; type workers=0")
    _check_choices(config)
    if config.faces.source == "openface" and config.behaviour.backend != "openface":
        raise UserError(
            "faces.source=openface takes the crops of OpenFace's own run, but behaviour.backend is "
            f"{config.behaviour.backend}; type behaviour.backend=openface"
        )
    if config.behaviour.backend != "mediapipe":
        describe_columns(config.behaviour.openface.groups)


def _check_choices(config: PreprocessConfig) -> None:
    choices = {  # setting → what it is, what it may be, the default
        "executor": (config.executor, EXECUTORS, "processes"),
        "decode.reader": (config.decode.reader, READERS, "pyav"),
        "faces.source": (config.faces.source, SOURCES, "mediapipe"),
        "track.choose": (config.track.choose, CHOICES, "speaking"),
        "behaviour.backend": (config.behaviour.backend, BACKENDS, "mediapipe"),
        "acoustics.feature_set": (config.acoustics.feature_set, FeatureSet.__members__, "eGeMAPSv02"),
    }
    for name, (value, known, default) in choices.items():
        if value not in known:
            raise UserError(f"{name} is one of {', '.join(known)}, but got '{value}'; type {name}={default}")
