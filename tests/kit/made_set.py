"""A small raw set of talking portraits, and what to compare of the caches made from it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from kit.made_clips import make_tone, write_clip
from skimage.data import astronaut

from preprocessing.openface.columns import describe_columns
from preprocessing.run.estimate import LAST_RUN
from preprocessing.run.executor import Outcome

PORTRAIT = np.ascontiguousarray(astronaut()[:300, 75:375])
LABELS = (  # clip, split, label; videos `v_1`, `-w`, `x`, `y`
    ("v_1_1", "train", -1.2),
    ("v_1_2", "train", 0.0),
    ("-w_1", "train", 2.0),
    ("-w_2", "train", ""),
    ("x_1", "valid", 1 / 3),
    ("y_1", "test", -0.8),
    ("y_2", "test", ""),
    ("y_3", "test", 3),
)


def write_labels(folder: Path, *rows) -> None:
    """A generic label file of rows such as those of `LABELS`."""
    table = pd.DataFrame(rows, columns=["clip_id", "split", "label"])
    table["video_id"] = table.clip_id.str.rsplit("_", n=1).str[0]
    table["path"] = table.clip_id + ".mp4"
    table[["path", "video_id", "clip_id", "label", "split"]].to_csv(folder / "labels.csv", index=False)


def write_face(path: Path, seed: int, seconds: float = 0.6) -> Path:
    """A drifting portrait and a tone, other ones for each seed."""
    pictures = [np.roll(PORTRAIT, seed + shift, axis=1) for shift in range(round(25 * seconds))]
    return write_clip(path, pictures, sound=make_tone(seconds, 44_100, 150 + 10 * seed))


def write_set(folder: Path) -> Path:
    """Every clip of `LABELS`, and the label file."""
    for seed, (clip_id, _, _) in enumerate(LABELS):
        write_face(folder / f"{clip_id}.mp4", seed)
    write_labels(folder, *LABELS)
    return folder


def read_tree(folder: Path) -> dict[str, bytes]:
    """Content by name of all files but the one that tells how long a run took."""
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != LAST_RUN
    }


def read_times(folder: Path) -> dict[str, int]:
    """Time of the last change by name of all files."""
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def list_stages(names) -> set[str]:
    """The stages whose files are among names such as `clips/faces-0123abcd/x_1.safetensors`."""
    return {name.split("/")[1].split("-")[0] for name in names if name.startswith("clips/")}


def work_here(work, jobs, workers, timeout_s, executor) -> Iterator[Outcome]:
    """In place of `run_jobs`: everything in this process."""
    yield from map(work, jobs)


def write_openface_csvs(folder: Path, clip_ids, rows: int = 15) -> None:
    """OpenFace CSVs: column k of frame n is n + k / 100, the confidence falls from 1 to 0.3."""
    folder.mkdir()
    columns = list(describe_columns(["gaze_angle", "pose", "au_r", "au_c"]))
    header = ",".join(["frame", "face_id", "timestamp", "confidence", "success", *columns])
    lines = [header]
    for frame in range(1, rows + 1):
        values = [frame, 0, 0, round(1 - 0.05 * (frame - 1), 2), 1]
        lines.append(",".join(map(str, [*values, *(frame + k / 100 for k in range(len(columns)))])))
    for clip_id in clip_ids:
        (folder / f"{clip_id}.csv").write_text("\n".join(lines) + "\n")
