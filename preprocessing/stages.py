"""The stages of the cache: their recipes, columns, and what each makes of a clip.

video ─ faces      crops of the tracked face
      └ behaviour  one token per frame
audio ─ waveform ─ acoustics
"""

import json
import tempfile
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from preprocessing import acoustics
from preprocessing.behaviour import MEDIAPIPE_COLUMNS, pack_behaviour
from preprocessing.config import PreprocessConfig
from preprocessing.decode import MediaError, MediaInfo, check_duration, read_waveform
from preprocessing.faces import Face, choose_track, load_landmarker, pack_crops
from preprocessing.frames import FrameReader, pick_frames
from preprocessing.labels import ClipEntry
from preprocessing.openface import behaviour_from_openface, find_openface_csv, read_openface_csv
from preprocessing.openface_columns import describe_columns
from preprocessing.openface_run import run_openface
from preprocessing.settings import digest
from preprocessing.store import SAMPLE_RATE, STAGES, Arrays

VERSIONS = {
    "faces": 2,
    "waveform": 1,
    "behaviour": 2,
    "acoustics": 1,
}  # raise one when its code changes results
TOOLS = {
    "faces": ("decord2", "av", "mediapipe", "opencv-python-headless"),
    "waveform": ("av",),
    "behaviour": ("decord2", "mediapipe"),
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
    looked_at = track if backend == "mediapipe" else _openface_options(config)
    return {
        "faces": {"decode": config.decode, "track": track, "faces": config.faces},
        "waveform": {"sample_rate": SAMPLE_RATE},
        "behaviour": {"decode": config.decode, "backend": backend, backend: looked_at},
        "acoustics": {"acoustics": config.acoustics},
    }


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


def behaviour_columns(config: PreprocessConfig) -> list[str]:
    """Names of the behaviour columns under the chosen backend."""
    if config.behaviour.backend == "mediapipe":
        return list(MEDIAPIPE_COLUMNS)
    return list(describe_columns(config.behaviour.openface.groups))


def run_video_stages(
    entry: ClipEntry, info: MediaInfo, config: PreprocessConfig, todo: frozenset[str]
) -> dict[str, StageResult]:
    """`faces` and `behaviour` of one clip, as far as they are in `todo`, from one pass over its frames."""
    if not info.has_video:
        return {
            stage: _absent(stage, "no_video", info, config)
            for stage in ("faces", "behaviour")
            if stage in todo
        }
    reader = FrameReader(info)
    results: dict[str, StageResult] = {}
    from_openface = config.behaviour.backend != "mediapipe"
    if "behaviour" in todo and from_openface:
        results["behaviour"] = _run_openface_backend(entry, info, reader, config)
    if todo & ({"faces"} if from_openface else {"faces", "behaviour"}):
        found = _look_at_frames(info, reader, config)
        results |= {
            stage: result for stage, result in found.items() if stage in todo and stage not in results
        }
    return results


def _look_at_frames(info: MediaInfo, reader: FrameReader, config: PreprocessConfig) -> dict[str, StageResult]:
    index = pick_frames(reader.time, config.track.rate)
    cropped = set(index[pick_frames(reader.time[index], config.faces.rate)].tolist())
    landmarker = load_landmarker(config.track)
    detections: list[list[Face]] = []
    for number, frame in zip(index, reader.frames(index), strict=False):
        detections.append(landmarker(frame, config.faces if int(number) in cropped else None))
    time = reader.time[index[: len(detections)]]
    step = float(np.median(np.diff(time))) if len(time) > 1 else 1 / config.track.rate
    remark = check_duration(
        info, (time[-1] - info.video_start_s + step) if len(time) else 0.0, config.decode.max_missing
    )
    if not detections:
        raise MediaError("no frame of the video stream can be decoded")
    track = choose_track(detections)
    seen = sum(face is not None for face in track)
    facts = {
        "duration_s": round(info.duration_s, 3),
        "n_frames": len(reader.time),
        "face_ratio": round(seen / len(track), 4),
        "people": max(map(len, detections)),
        "remark": remark,
    }
    if not seen:
        return {stage: _absent(stage, "no_face", info, config, facts) for stage in ("faces", "behaviour")}
    rows = [i for i, number in enumerate(index[: len(track)]) if int(number) in cropped]
    crops = pack_crops(time[rows], [track[i] for i in rows])
    return {
        "faces": StageResult(crops, "ok" if crops["face_valid"].any() else "no_face", facts),
        "behaviour": StageResult(pack_behaviour(time, track), "ok", facts),
    }


def _run_openface_backend(
    entry: ClipEntry, info: MediaInfo, reader: FrameReader, config: PreprocessConfig
) -> StageResult:
    options = config.behaviour.openface
    if config.behaviour.backend == "openface_csv":
        table = read_openface_csv(find_openface_csv(options.csv_dir, entry.clip_id, entry.path.stem), options)
    else:
        with tempfile.TemporaryDirectory(prefix="openface-") as folder:
            out = Path(folder) / "clip.csv"
            table = read_openface_csv(run_openface(entry.path, out, options, len(reader.time)), options)
    arrays = behaviour_from_openface(table, reader.time, options)
    facts = {
        "duration_s": round(info.duration_s, 3),
        "face_ratio": round(float(arrays["behaviour_valid"].mean()), 4),
    }
    return StageResult(arrays, "ok" if arrays["behaviour_valid"].any() else "no_face", facts)


def run_audio_stages(
    info: MediaInfo, config: PreprocessConfig, todo: frozenset[str]
) -> dict[str, StageResult]:
    """`waveform` and `acoustics` of one clip, as far as they are in `todo`, from one decode of its sound."""
    stages = [stage for stage in ("waveform", "acoustics") if stage in todo]
    waveform = read_waveform(info) if info.has_audio else np.zeros(0, np.int16)
    if not len(waveform):
        return {stage: _absent(stage, "no_audio", info, config) for stage in stages}
    facts = {"duration_s": round(info.duration_s, 3), "audio_s": round(len(waveform) / SAMPLE_RATE, 3)}
    results = {}
    if "waveform" in stages:
        results["waveform"] = StageResult({"waveform": waveform, "waveform_time": np.zeros(1)}, "ok", facts)
    if "acoustics" in stages:
        arrays = acoustics.extract_acoustics(waveform, config.acoustics)
        results["acoustics"] = (
            StageResult(arrays, "ok", facts) if arrays else _absent("acoustics", "too_short", info, config)
        )
    return results


def _absent(
    stage: str,
    state: str,
    info: MediaInfo,
    config: PreprocessConfig,
    facts: dict[str, object] | None = None,
) -> StageResult:
    """A stage that the clip has nothing for: the same keys with no rows."""
    return StageResult(empty_arrays(stage, config), state, facts or {"duration_s": round(info.duration_s, 3)})


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
