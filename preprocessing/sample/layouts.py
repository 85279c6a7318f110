"""Where each known layout of MOSI has clips and labels, written for the sample set."""

import csv
import json
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np

from preprocessing.sample.plan import ClipPlan, SampleOptions
from preprocessing.sample.portraits import PORTRAITS

VERSION = 1  # of the generator: a set made by another one counts as another set
LABELS = {
    "mood": "drawn at random; face and voice each follow them with noise of their own",
    "timing": "drawn at random; they say how many smiles fall on a stressed syllable",
}
MANIFEST = "sample.json"  # written last: a folder that has it is complete
ARCHIVE = "MOSI.zip"
MMSA_COLUMNS = [
    *("video_id", "clip_id", "text", "label", "label_T", "label_A", "label_V", "annotation", "mode"),
]
LAYOUTS = ("course", "mmsa", "cmu")


def media_path(clip: ClipPlan, layout: str) -> Path:
    """Where a clip lies below the set's folder."""
    if layout == "mmsa":
        return Path("Raw", clip.video_id, f"{clip.clip_id}.mp4")
    return Path("Segmented" if layout == "cmu" else "clips", f"{clip.name}.mp4")


def write_labels(clips: list[ClipPlan], layout: str, folder: Path) -> None:
    """Writes the layout's label file, and for `cmu`, whose labels name no split, `folds.csv` too."""
    if layout == "course":
        rows = [[media_path(clip, layout).name, _text(clip.label), clip.split] for clip in clips]
        _write_csv(folder / "labels.csv", [["clip", "label", "subset"], *rows])
    elif layout == "mmsa":
        _write_csv(folder / "label.csv", [MMSA_COLUMNS, *map(_mmsa_row, clips)])
    else:
        _write_csv(folder / "OpinionLevelSentiment.csv", _cmu_rows(clips))
        folds = {clip.video_id: clip.split for clip in clips}
        _write_csv(folder / "folds.csv", [["video_id", "split"], *folds.items()])


def write_readme(options: SampleOptions, folder: Path) -> None:
    """Says in plain words that nothing in the set is real."""
    credits = "\n".join(f"  - {portrait.credit}" for portrait in PORTRAITS.values())
    folder.joinpath("README.txt").write_text(
        "SYNTHETIC sample set. It is shaped like CMU-MOSI and holds nothing of it.\n\n"
        f'{options.clips} clips of {options.videos} "videos", seed {options.seed}, made by\n'
        f"  {command_line(options)}\n\n"
        "Faces: public-domain portraits, moved by warping; the persons never said or felt any of this.\n"
        f"{credits}\n"
        "Voices: synthesised sounds without words.\n"
        f"Labels: {LABELS[options.cue]}.\n\n"
        "It shows that the software works. A result on it says nothing about real people.\n",
        encoding="utf-8",
    )


def command_line(options: SampleOptions) -> str:
    """The command that makes a set with these options."""
    words = ["python -m preprocessing.sample", "--out DIR", f"--layout {options.layout}"]
    words += ["--zip"] if options.zip else []
    words += [f"--cue {options.cue}"] if options.cue != "mood" else []
    return " ".join([*words, f"--clips {options.clips} --videos {options.videos} --seed {options.seed}"])


def pack(folder: Path) -> None:
    """Moves all files of `folder` into `MOSI.zip` there; the README is in both places.

    The same files give the same bytes: entries are sorted and carry no date.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    with zipfile.ZipFile(folder / ARCHIVE, "w") as archive:
        for path in files:
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes())  # stored: mp4 does not shrink
    for path in files:
        if path.name != "README.txt":
            path.unlink()
    for path in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
        path.rmdir()


def manifest(options: SampleOptions) -> dict:
    """What `sample.json` says of a set with these options."""
    return {"synthetic": True, "version": VERSION, "options": asdict(options)}


def write_manifest(options: SampleOptions, folder: Path) -> None:
    """Marks the set as complete and says how it was made."""
    folder.joinpath(MANIFEST).write_text(json.dumps(manifest(options), indent=2) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> dict | None:
    """The manifest of the sample set in `folder`, None if there is none that can be read."""
    try:
        return json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def _mmsa_row(clip: ClipPlan) -> list:
    """One row of MMSA's label file; there is no transcript, and, as in its MOSI, no label per stream."""
    annotation = ("Negative", "Neutral", "Positive")[int(np.sign(clip.label)) + 1]
    return [clip.video_id, clip.clip_id, "", _text(clip.label), "", "", "", annotation, clip.split]


def _cmu_rows(clips: list[ClipPlan]) -> list[list]:
    """Start and end in a source video that is imagined: clips follow one another, a second apart."""
    rows, video_id, start = [], "", 0.0
    for clip in clips:
        start = start if clip.video_id == video_id else 5.0
        video_id, end = clip.video_id, start + clip.duration_s
        rows.append([f"{start:.2f}", f"{end:.2f}", clip.video_id, clip.clip_id, _text(clip.label)])
        start = end + 1
    return rows


def _text(label: float) -> str:
    """1.4 as `1.4`, 3.0 as `3`, as in the real files."""
    return f"{label:g}"


def _write_csv(path: Path, rows: list) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
