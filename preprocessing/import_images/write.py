"""Pictures → the stages `faces` and, where faces are looked for, `behaviour`."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from preprocessing.cache.facts import CLASS_NAME, read_json
from preprocessing.cache.lock import hold_cache
from preprocessing.cache.store import Arrays, StageFiles
from preprocessing.cache.writer import CacheWriter
from preprocessing.config import FacesConfig, PreprocessConfig
from preprocessing.errors import UserError
from preprocessing.run.plan import label_rows
from preprocessing.sets.labels import ClipEntry
from preprocessing.settings import digest
from preprocessing.stages import find_stage
from preprocessing.stages.look import Person
from preprocessing.stages.recipes import describe_settings, describe_stages

VERSION = 1  # raise it when the code changes what is written
FRAME_S = 0.04  # how long a picture lasts: one frame at 25 a second
JPEG = b"\xff\xd8\xff"
SMALLEST = 8  # pixels a side; nothing is seen in less
LOOKED_AT = 256  # pixels a side at which faces are looked for in smaller pictures
BORDER = 0.25  # around a picture that is looked at: cut-outs of faces are too tight for a detector
NO_FACE, UNREADABLE = "no_face", "failed"

Maker = Callable[[Path], dict[str, Arrays] | str]


def import_pictures(entries: Sequence[ClipEntry], out: Path, size: int, align: bool) -> dict:
    """Write the cache `out`; what is there already of the same pictures and options is kept.

    Args:
        entries: the pictures.
        out: cache folder; it is new, empty, or an import of pictures.
        size: side of the stored crops, pixels.
        align: look for the face, and cut and describe it as in a video.

    Returns:
        The content of `summary.json`.

    Raises:
        UserError: `out` is another cache.
    """
    check_place(out)
    config = PreprocessConfig(faces=FacesConfig(size=size))
    stages = describe_aligned(config) if align else describe_whole(config.faces)
    make = make_aligned(config) if align else make_whole(config.faces)
    with hold_cache(out):
        files = {stage: StageFiles(out, stage, entry["recipe"]) for stage, entry in stages.items()}
        rows, failures = [], []
        for entry in tqdm(entries, desc="writing", unit="picture"):
            row, problem = write_picture(entry, files, make)
            rows.append(row)
            failures += [{"clip_id": entry.clip_id, "stage": "faces", "error": problem}] if problem else []
        about = {"synthetic": False, "imported": {"name": out.name, "size": size, "align": align}}
        about |= {"labels": label_rows(entries)} | ({"settings": describe_settings(config)} if align else {})
        summary = summarise(rows)
        features = {"faces": (), "behaviour": ("behaviour",)} if align else {"faces": ()}
        CacheWriter(out, files, features, stages).finish(rows, about, {"failures": failures}, summary)
    return summary


def describe_whole(faces: FacesConfig) -> dict[str, dict]:
    """`meta.json`'s entry of pictures that are taken as they are; `rules` marks what is made of no video."""
    options = {"faces": asdict(faces)}
    entry = {
        "recipe": digest("import_images", VERSION, options),
        "version": VERSION,
        "options": options,
        "tools": {},
        "keys": find_stage("faces").keys(PreprocessConfig(faces=faces)),
        "rules": {},
    }
    return {"faces": entry}


def describe_aligned(config: PreprocessConfig) -> dict[str, dict]:
    """`meta.json`'s entries of pictures that are treated as frames of a video."""
    described = describe_stages(config)
    return {
        name: described[name] | {"recipe": digest("import_images", VERSION, described[name]["recipe"])}
        for name in ("faces", "behaviour")
    }


def write_picture(
    entry: ClipEntry, files: Mapping[str, StageFiles], make: Maker
) -> tuple[dict[str, object], str]:
    """Store one picture; returns its line of the index and, of one that cannot be read, why."""
    status = {stage: one.check(entry.clip_id) for stage, one in files.items()}
    problem = ""
    if any(one is None for one in status.values()):
        made = make(entry.path)
        if isinstance(made, str):
            problem = f"{entry.path.name}: {made}"
            status = {stage: {"state": UNREADABLE} for stage in files}
        else:
            status = store(entry.clip_id, files, made)
    seen = all(one["state"] == "ok" for one in status.values())
    row = {
        "clip_id": entry.clip_id,
        "video_id": entry.video_id,
        "split": entry.split,
        **({} if entry.class_name is None else {CLASS_NAME: entry.class_name}),
        "label": "" if entry.label is None else entry.label,
        "duration_s": FRAME_S,
        "n_frames": 1,
        "face_ratio": int(seen),
        **{stage: one["state"] for stage, one in status.items()},
    }
    return row, problem


def store(clip_id: str, files: Mapping[str, StageFiles], made: Mapping[str, Arrays]) -> dict[str, dict]:
    """Write the arrays of all stages."""
    status = {
        "state": "ok" if made["faces"]["face_valid"].any() else NO_FACE,
        "duration_s": FRAME_S,
        "n_frames": 1,
    }
    for stage, one in files.items():
        one.write(clip_id, made[stage], status)
    return dict.fromkeys(files, status)


def make_whole(faces: FacesConfig) -> Maker:
    """A picture as it is: whole, square and of the wanted size."""

    def make(path: Path) -> dict[str, Arrays] | str:
        content = path.read_bytes()
        picture = decode(content)
        if isinstance(picture, str):
            return picture
        height, width = picture.shape[:2]
        crop = content
        if (height, width) != (faces.size, faces.size) or not content.startswith(JPEG):
            crop = encode(fit(picture, faces.size), faces.quality)
        return {"faces": pack(crop, (0, 0, width, height))}

    return make


def make_aligned(config: PreprocessConfig) -> Maker:
    """A picture as a frame of a video: the largest face in it, upright and to scale, and its expression."""
    from preprocessing.faces.landmarks import load_landmarker

    config = replace(config, track=replace(config.track, max_faces=1))

    def make(path: Path) -> dict[str, Arrays] | str:
        picture = decode(path.read_bytes())
        if isinstance(picture, str):
            return picture
        faces = load_landmarker(config.track)(enlarge(picture)[:, :, ::-1], config.faces)
        person = Person(np.zeros(1), [faces[0] if faces else None], [0])
        return {stage: find_stage(stage).pack(person) for stage in ("faces", "behaviour")}

    return make


def decode(content: bytes) -> np.ndarray | str:
    """[H, W, 3] BGR, or why there is none."""
    if not content:
        return "the file is empty"
    try:
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        return f"it cannot be decoded ({' '.join(str(error).split())[:80]})"
    if picture is None:
        return "it is damaged, or no picture"
    if min(picture.shape[:2]) < SMALLEST:
        return f"it has {picture.shape[1]} x {picture.shape[0]} pixels, and nothing is seen in so few"
    return picture


def fit(picture: np.ndarray, size: int) -> np.ndarray:
    """Square by repeating the edges of the shorter side, then [size, size, 3]."""
    height, width = picture.shape[:2]
    side = max(height, width)
    down, across = side - height, side - width
    if down or across:
        edges = (down // 2, down - down // 2, across // 2, across - across // 2)
        picture = cv2.copyMakeBorder(picture, *edges, cv2.BORDER_REPLICATE)
    method = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    return picture if side == size else cv2.resize(picture, (size, size), interpolation=method)


def enlarge(picture: np.ndarray) -> np.ndarray:
    """A small picture at a size at which faces are found, with a border."""
    factor = max(1.0, LOOKED_AT / max(picture.shape[:2]))
    if factor > 1:
        picture = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    edge = round(BORDER * max(picture.shape[:2]))
    return cv2.copyMakeBorder(picture, edge, edge, edge, edge, cv2.BORDER_REPLICATE)


def encode(picture: np.ndarray, quality: int) -> bytes:
    """As JPEG."""
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done, "JPEG encoding of an 8-bit picture does not fail"
    return data.tobytes()


def pack(crop: bytes, box: tuple[float, float, float, float]) -> Arrays:
    """The arrays of stage `faces` with one crop."""
    return {
        "face_jpeg": np.frombuffer(crop, np.uint8),
        "face_offset": np.array([0, len(crop)], np.int64),
        "face_time": np.zeros(1),
        "face_valid": np.ones(1, bool),
        "face_box": np.array([box], np.float32),
    }


def check_place(out: Path) -> None:
    """Refuse a folder that holds anything but an earlier import of pictures."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if out.is_dir() and not (out / "meta.json").is_file() and (out / "clips").is_dir():
        return  # of an import that was stopped
    meta = read_json(out / "meta.json", out) if (out / "meta.json").is_file() else {}
    if "align" not in (meta.get("imported") or {}):
        raise UserError(f"{out} holds something else; type another --out, or delete it first")


def summarise(rows: Sequence[Mapping]) -> dict:
    """The import in a few numbers."""
    usable = [row for row in rows if row["faces"] != UNREADABLE]
    return {
        "clips": len(rows),
        "usable": len(usable),
        "splits": dict(Counter(row["split"] for row in usable)),
        "classes": dict(sorted(Counter(row[CLASS_NAME] for row in usable if row.get(CLASS_NAME)).items())),
        "no_face": sum(row["faces"] == NO_FACE for row in rows),
        "failed": len(rows) - len(usable),
        "unlabelled": sum(not row.get(CLASS_NAME) and row["label"] == "" for row in usable),
    }
