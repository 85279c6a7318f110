"""What preprocessing can be told: the schema of `configs/preprocess.yaml`."""

import math
from dataclasses import dataclass, field

from opensmile import FeatureSet

from preprocessing.acoustics import AcousticsConfig
from preprocessing.behaviour import BACKENDS, BehaviourConfig
from preprocessing.decode import DecodeConfig
from preprocessing.errors import UserError
from preprocessing.faces import FacesConfig, TrackConfig
from preprocessing.openface_columns import describe_columns


@dataclass(frozen=True)
class PreprocessConfig:
    """Settings of one cache.

    Attributes:
        labels: label file, the folder that holds it and the clips, or a zip of that folder.
        layout: auto | course | mmsa | cmu | csv (see `labels.py`).
        labels_columns: names of the columns of a course file with a header of its own:
            `clip`, `label`, `split`, `video`.
        out: cache folder.
        workers: processes; 0 means one per core.
        timeout_s: a clip that takes longer counts as failed.
    """

    labels: str = "data/sample"
    layout: str = "auto"
    labels_columns: dict[str, str] = field(default_factory=dict)
    out: str = "cache/sample"
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
    if config.acoustics.feature_set not in FeatureSet.__members__:
        raise UserError(
            f"acoustics.feature_set is one of {', '.join(FeatureSet.__members__)}, but got "
            f"'{config.acoustics.feature_set}'; type acoustics.feature_set=eGeMAPSv02"
        )
    if config.behaviour.backend not in BACKENDS:
        raise UserError(
            f"behaviour.backend is one of {', '.join(BACKENDS)}, but got '{config.behaviour.backend}'; "
            "type for example behaviour.backend=mediapipe"
        )
    if config.behaviour.backend != "mediapipe":
        describe_columns(config.behaviour.openface.groups)
