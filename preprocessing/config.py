"""What preprocessing can be told: the schema of `configs/preprocess.yaml`, and nothing that does the work.

Reading settings, listing them and `--help` need no video decoder, face detector or openSMILE.
"""

import math
from dataclasses import Field, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from preprocessing.errors import UserError
from preprocessing.openface.columns import describe_columns

SAMPLE_RATE = 16_000  # Hz, of every cached waveform: what every supported speech model hears
READERS = ("pyav", "decord")
TRACK_CHOICES = ("speaking", "largest")
CROP_SOURCES = ("mediapipe", "openface")
BACKENDS = ("mediapipe", "openface", "openface_csv")
EXECUTORS = ("processes", "ray")
WORD_SOURCES = ("none", "whisper", "ctc", "file", "given")
# openSMILE's; a test compares them with the package's own list.
FEATURE_SETS = (
    *("ComParE_2016", "GeMAPS", "GeMAPSv01a", "GeMAPSv01b", "eGeMAPS", "eGeMAPSv01a", "eGeMAPSv01b"),
    *("eGeMAPSv02", "emobase", "IS09", "IS10", "IS11", "IS12", "IS13"),
)


# An option of the machine that a cache is made on, not of the cache: it is not recorded.
MACHINE = {"of": "machine"}
CHECKPOINT = {"of": "checkpoint"}  # of a folder, the name alone is recorded


@dataclass(frozen=True)
class DecodeConfig:
    """How media files are read.

    Attributes:
        max_missing: the largest share of the promised duration that may fail to decode.
        reader: of the frames, `pyav` or `decord` (see `media/frames.py`).
        max_minutes: longer clips are refused; it bounds a worker's memory, which grows with the sound that
            openSMILE takes in one piece.
    """

    max_missing: float = 0.1
    reader: str = "pyav"
    max_minutes: float = 20.0


@dataclass(frozen=True)
class TrackConfig:
    """Which frames are looked at, and by what.

    Attributes:
        rate: frames per second that the face landmarker sees; behaviour tokens come at this rate.
        max_faces: people told apart in one picture.
        choose: whom of several people: `speaking` (the largest face, unless another one clearly speaks
            instead) or `largest`.
        min_confidence: MediaPipe's threshold for a detected face.
        model: path of `face_landmarker.task`; empty = found automatically.
    """

    rate: float = 7.5
    max_faces: int = 3
    choose: str = "speaking"
    min_confidence: float = 0.5
    model: str = field(default="", metadata=MACHINE)


@dataclass(frozen=True)
class FacesConfig:
    """Face crops: `rate` per second, `size` pixels a side, JPEG `quality`.

    `source`: mediapipe | openface. The latter takes the aligned faces of the run that
    `behaviour.backend=openface` makes anyway; their JPEG quality is OpenFace's own.
    """

    source: str = "mediapipe"
    rate: float = 5.0
    size: int = 224
    quality: int = 92


@dataclass(frozen=True)
class OpenFaceConfig:
    """What is taken from OpenFace and how the program is run.

    The default groups are 43 columns: 2 gaze angles, 6 of head pose, 17 action unit intensities and 18
    action unit presences: what can be read as expression. The two angles say what the six numbers of the
    gaze vectors say, averaged over the eyes. Landmarks carry identity and framing, which a model of a
    few thousand clips would learn instead.

    Attributes:
        groups: names out of `openface_columns.GROUPS`, in the order of the columns that result.
        min_confidence: a successful row below this counts as no face. `success` alone is not enough: the
            first detection after a loss is "successful" even at confidence 0.02.
        max_missing: share of the decoded frames that may lack a row before the clip is refused.
        csv_dir: folder of existing CSVs, for the backend `openface_csv`.
        binary: FeatureExtraction program, a name on PATH or a path.
        image: docker image to run instead of `binary`, such as `algebr/openface`; empty means no docker.
        image_binary: path of the program inside the image.
        mloc: landmark model, relative to the program's folder; empty means the program's own default,
            which needs four large `cen_patches_*.dat`; `model/main_clnf_general.txt` does not.
        timeout_s: wall-clock limit for one clip in seconds. The program does 30 to 60 frames a second.
    """

    groups: list[str] = field(default_factory=lambda: ["gaze_angle", "pose", "au_r", "au_c"])
    min_confidence: float = 0.75
    max_missing: float = 0.1
    csv_dir: str = field(default="", metadata=MACHINE)
    binary: str = field(default="FeatureExtraction", metadata=MACHINE)
    image: str = ""
    image_binary: str = field(default="/home/openface-build/build/bin/FeatureExtraction", metadata=MACHINE)
    mloc: str = ""
    timeout_s: float = field(default=900.0, metadata=MACHINE)


@dataclass(frozen=True)
class BehaviourConfig:
    """`backend`: mediapipe | openface | openface_csv; `openface` holds the options of the latter two."""

    backend: str = "mediapipe"
    openface: OpenFaceConfig = field(default_factory=OpenFaceConfig)


@dataclass(frozen=True)
class AcousticsConfig:
    """`feature_set`: an openSMILE set that has functionals and low-level descriptors."""

    feature_set: str = "eGeMAPSv02"


@dataclass(frozen=True)
class WordsConfig:
    """The words that are said; without a source the cache has none.

    Attributes:
        source: none | whisper | ctc (heard by a model) | file (a table or subtitles) | given (the labels).
        model: of `whisper` or `ctc`: a folder, a name of `mosi weights`, or one on the hub.
        language: that Whisper hears, such as `en`; empty: it finds out.
        file: table with `clip_id` and a text, or folder of `CLIP_ID.srt`, `.vtt` or `.txt`.
        column: of the texts, in the labels or in `file`.
        aligner: CTC model that finds when a known text is said; empty: its words are spread over the speech.
    """

    source: str = "none"
    model: str = field(default="whisper-base", metadata=CHECKPOINT)
    language: str = ""
    file: str = field(default="", metadata=MACHINE)
    column: str = "text"
    aligner: str = field(default="", metadata=CHECKPOINT)


@dataclass(frozen=True)
class PreprocessConfig:
    """Settings of one cache.

    Attributes:
        labels: label file, the folder that holds it and the clips, or a zip of that folder.
        layout: auto | course | mmsa | cmu | csv (see `sets/labels.py`).
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
    words: WordsConfig = field(default_factory=WordsConfig)


def list_recorded(section: Any, whole: bool = False) -> dict[str, Any]:
    """The options that a cache is made with, by section; `meta.json` keeps them.

    Args:
        section: the settings, or one of their sections.
        whole: also the options outside of sections; those at the top are of a run, not of its cache.
    """
    kept = [one for one in fields(section) if one.metadata != MACHINE]
    values = {one.name: getattr(section, one.name) for one in kept}
    values |= {one.name: Path(values[one.name]).name for one in kept if is_folder(one, values[one.name])}
    return {
        name: list_recorded(value, whole=True) if is_dataclass(value) else value
        for name, value in values.items()
        if whole or is_dataclass(value)
    }


def is_folder(option: Field, value: Any) -> bool:
    """Whether an option names a checkpoint, and this one lies in a folder."""
    return option.metadata == CHECKPOINT and bool(value) and Path(value).is_dir()


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
        "faces.source": (config.faces.source, CROP_SOURCES, "mediapipe"),
        "track.choose": (config.track.choose, TRACK_CHOICES, "speaking"),
        "behaviour.backend": (config.behaviour.backend, BACKENDS, "mediapipe"),
        "acoustics.feature_set": (config.acoustics.feature_set, FEATURE_SETS, "eGeMAPSv02"),
        "words.source": (config.words.source, WORD_SOURCES, "whisper"),
    }
    for name, (value, known, default) in choices.items():
        if value not in known:
            raise UserError(f"{name} is one of {', '.join(known)}, but got '{value}'; type {name}={default}")
