"""A small cache written on the spot: noise in which behaviour, sound and face carry the label.

No video is decoded; recipes, statistics and index are made by the program's own functions.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch  # noqa: F401  decord, which comes with the next lines, breaks a torch that is imported after it

from mosi_e2e.data.streams import known_streams
from preprocessing.cache.store import StageFiles
from preprocessing.config import SAMPLE_RATE, BehaviourConfig, FacesConfig, PreprocessConfig
from preprocessing.run.executor import Failure
from preprocessing.run.finish import SYNTHETIC_MARK, finish
from preprocessing.sets.labels import ClipEntry
from preprocessing.stages import find_stage, name_stages
from preprocessing.stages.recipes import describe_stages, make_recipes

STAGES = name_stages()

CROP_RATE, TOKEN_RATE, LLD_RATE = 5, 10, 100  # rows a second
LABELS = (0.0, -2.4, 1.2, -1.0, 2.6, 0.4, -1.8, 2.0)
# Videos and clips of each; 7 and 9 clips are no multiple of a batch or of two processes.
SPLITS = {"train": ("ta", "tb", "tc", "t_d", "-te", "tf"), "valid": ("va", "vb"), "test": ("xa", "xb", "xc")}
CLIPS_PER_VIDEO = {"train": (4, 4, 4, 4, 4, 4), "valid": (4, 3), "test": (3, 3, 3)}
NO_SOUND = {"waveform": "no_audio", "acoustics": "no_audio"}
NO_FACE = {"faces": "no_face", "behaviour": "no_face"}
LACKING = {
    "ta_2": NO_SOUND,
    "tb_1": NO_FACE,
    "tc_3": {"acoustics": "too_short"},
    "va_2": NO_FACE,
    "xa_1": NO_SOUND,
    "xb_2": NO_FACE,
}
UNLABELLED = ("tf_4", "xc_3")
STREAMS = {name: one for name, one in known_streams().items() if one.kind != "words"}  # which the cache has


@dataclass(frozen=True)
class MadeClip:
    """One clip that is about to be written."""

    clip_id: str
    label: float
    seconds: float


def make_cache(
    root: Path,
    size: int = 32,
    backend: str = "mediapipe",
    failed: tuple[str, ...] = (),
    named: bool = False,
    per_video: int = 4,
) -> Path:
    """Write the cache and return its folder.

    Args:
        root: an empty folder.
        size: of the crops, in pixels.
        backend: which decides the behaviour columns.
        failed: clips that preprocessing could not read.
        named: the labels are the names of `name_label` instead of numbers.
        per_video: at most so many clips of each video.
    """
    raw = root / "raw"
    raw.mkdir(parents=True)
    (raw / SYNTHETIC_MARK).write_text("{}")
    config = PreprocessConfig(
        labels=str(raw), faces=FacesConfig(size=size), behaviour=BehaviourConfig(backend=backend)
    )
    keys = {key: entry for stage in describe_stages(config).values() for key, entry in stage["keys"].items()}
    widths = {key: len(entry["columns"]) for key, entry in keys.items() if "columns" in entry}
    cache = root / "cache"
    files = {stage: StageFiles(cache, stage, recipe) for stage, recipe in make_recipes(config).items()}
    entries, rng = [], np.random.default_rng(0)
    for split, videos in SPLITS.items():
        for video, count in zip(videos, CLIPS_PER_VIDEO[split], strict=True):
            for number in range(1, min(count, per_video) + 1):
                clip = MadeClip(
                    f"{video}_{number}", LABELS[len(entries) % len(LABELS)], rng.uniform(0.8, 1.8)
                )
                arrays = make_arrays(clip, size, widths, rng)
                label = None if clip.clip_id in UNLABELLED else clip.label
                name = name_label(label) if named else None
                label = None if named else label
                entries.append(ClipEntry(clip.clip_id, video, split, label, raw / clip.clip_id, "", name))
                if clip.clip_id not in failed:
                    write_clip(clip, arrays, files, config)
    failures = [Failure(clip_id, "clip", "no such file") for clip_id in failed]
    finish(cache, config, entries, files, failures)
    return cache


def name_label(label: float | None) -> str:
    """The class of a label: sad, calm or happy; blank for none."""
    if label is None:
        return ""
    return "calm" if abs(label) < 1.1 else "happy" if label > 0 else "sad"


def write_clip(
    clip: MadeClip, arrays: dict[str, dict], files: dict[str, StageFiles], config: PreprocessConfig
) -> None:
    """Store every stage, empty where the clip lacks it."""
    lacking = LACKING.get(clip.clip_id, {})
    for stage in STAGES:
        content = find_stage(stage).empty(config) if stage in lacking else arrays[stage]
        status = {
            "state": lacking.get(stage, "ok"),
            "duration_s": round(clip.seconds, 3),
            "n_frames": round(25 * clip.seconds),
            "face_ratio": 0.9,
        }
        files[stage].write(clip.clip_id, content, status)


def make_arrays(
    clip: MadeClip, size: int, widths: dict[str, int], rng: np.random.Generator
) -> dict[str, dict[str, np.ndarray]]:
    """The four stages' arrays of one clip."""
    tokens, rows = (int(clip.seconds * rate) for rate in (TOKEN_RATE, LLD_RATE))
    behaviour = rng.normal(size=(tokens, widths["behaviour"])).astype(np.float32)
    behaviour[:, :8] += clip.label
    lld = rng.normal(size=(rows, widths["lld"])).astype(np.float32)
    lld[:, :4] += clip.label
    functionals = rng.normal(size=(1, widths["functionals"])).astype(np.float32)
    functionals[:, :20] += clip.label
    time = np.arange(int(clip.seconds * SAMPLE_RATE)) / SAMPLE_RATE
    sound = np.sin(2 * np.pi * (220 + 40 * clip.label) * time) + 0.1 * rng.normal(size=time.size)
    return {
        "faces": make_faces(clip, size, rng),
        "waveform": {"waveform": (8000 * sound).astype(np.int16), "waveform_time": np.zeros(1)},
        "behaviour": {
            "behaviour": behaviour,
            "behaviour_time": (np.arange(tokens) + 0.5) / TOKEN_RATE,
            "behaviour_valid": np.arange(tokens) != 2,  # the tracker lost one frame
        },
        "acoustics": {
            "functionals": functionals,
            "functionals_time": np.array([clip.seconds / 2]),
            "lld": lld,
            "lld_time": (np.arange(rows) + 0.5) / LLD_RATE,
        },
    }


def make_faces(clip: MadeClip, size: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Smooth coloured noise, brighter for higher labels; one frame has no face."""
    count = int(clip.seconds * CROP_RATE)
    crops = []
    for row in range(count):
        coarse = rng.uniform(0, 60, size=(4, 4, 3)) + 90 + 25 * clip.label
        picture = cv2.resize(coarse.astype(np.uint8), (size, size), interpolation=cv2.INTER_LINEAR)
        crops.append(b"" if row == 1 else cv2.imencode(".jpg", picture)[1].tobytes())
    return {
        "face_jpeg": np.frombuffer(b"".join(crops), dtype=np.uint8),
        "face_offset": np.cumsum([0, *map(len, crops)]).astype(np.int64),
        "face_time": (np.arange(count) + 0.5) / CROP_RATE,
        "face_valid": np.array([bool(crop) for crop in crops]),
        "face_box": np.zeros((count, 4), np.float32),
    }
