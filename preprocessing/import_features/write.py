"""Feature source → cache folder."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
from tqdm import tqdm

from preprocessing.cache.checksums import hash_file
from preprocessing.cache.store import StageFiles
from preprocessing.cache.writer import NO_ROWS, CacheWriter, list_usable
from preprocessing.errors import UserError
from preprocessing.import_features.rules import StreamRules
from preprocessing.import_features.source import ImportOptions, Source
from preprocessing.settings import digest

VERSION = 1  # raise it when the code changes what is written


def import_source(source: Source, files: list[Path], out: Path, name: str, options: ImportOptions) -> dict:
    """Write the cache `out`, or find it up to date.

    Args:
        source: the opened file or files.
        files: what it was opened from, for the record.
        out: cache folder.
        name: of the data set.
        options: as the source was opened with.

    Returns:
        The content of `summary.json`.

    Raises:
        UserError: `out` holds another cache.
    """
    prints = [{"file": path.name, "sha256": hash_file(path)} for path in files]
    recipes = {stream: digest("import", VERSION, prints, options, stream) for stream in source.columns}
    labels = [[entry.clip_id, entry.split, entry.label] for entry in source.entries]
    stages = {stream: StageFiles(out, stream, recipe) for stream, recipe in recipes.items()}
    if is_current(out, recipes, labels):
        clip_ids = [entry.clip_id for entry in source.entries]
        if all(files.check(clip_id) for files in stages.values() for clip_id in clip_ids):
            print(f"{out} holds this import already: nothing to do")
            return json.loads((out / "summary.json").read_text())
        print(f"{out} holds this import with damaged or lost files: it is written again")
    rules = learn_rules(source, options)
    numbers = tqdm(range(len(source.entries)), desc="writing", unit="clip")
    rows = [write_clip(source, number, rules, stages) for number in numbers]
    refused = [row["clip_id"] for row in rows if "refused" in row.values()]
    failures = [{"clip_id": clip, "stage": "clip", "error": "no row in any stream"} for clip in refused]
    about = describe_import(source, name, prints, options) | {"labels": labels}
    summary = summarise(rows, list_usable(rows, stages), failures)
    features = {stream: (stream,) for stream in stages}
    entries = describe_streams(source, recipes, rules, options)
    CacheWriter(out, stages, features, entries).finish(rows, about, {"failures": failures}, summary)
    return summary


def describe_import(source: Source, name: str, prints: list[dict], options: ImportOptions) -> dict:
    """What `meta.json` says beside the labels and the streams: what was read, and what was assumed."""
    return {
        "synthetic": False,
        "imported": {
            "name": name,
            "files": prints,
            "label": {"column": options.label_column, "neutral": options.neutral},
            "notes": source.notes,
            **source.about,
        },
    }


def describe_streams(
    source: Source, recipes: dict[str, str], rules: dict[str, StreamRules], options: ImportOptions
) -> dict[str, dict]:
    """`meta.json`'s entry per stream, with what the rules did."""
    return {
        stream: {
            "recipe": recipes[stream],
            "version": VERSION,
            "options": {"sentinel": options.sentinel},
            "tools": {},
            "keys": {stream: {"unit": "as in the file", "columns": columns}},
            "rules": rules[stream].counts,
        }
        for stream, columns in source.columns.items()
    }


def is_current(out: Path, recipes: dict[str, str], labels: list[list]) -> bool:
    """Whether `out` is the finished cache of this import.

    Raises:
        UserError: it is something else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    if out.is_dir() and not (out / "index.csv").is_file() and (out / "clips").is_dir():
        return False  # of a run that was stopped
    if (out / "meta.json").is_file() and (out / "index.csv").is_file():
        meta = json.loads((out / "meta.json").read_text())
        found = {stage: entry["recipe"] for stage, entry in meta["stages"].items()}
        if found == recipes and meta["labels"] == labels:
            return True
    raise UserError(f"{out} holds something else; type another --out, or delete it first")


def learn_rules(source: Source, options: ImportOptions) -> dict[str, StreamRules]:
    """What train says about every stream's columns."""
    rules = {s: StreamRules(len(columns), options.sentinel) for s, columns in source.columns.items()}
    train = [number for number, entry in enumerate(source.entries) if entry.split == "train"]
    if options.sentinel is not None:
        for number in tqdm(train, desc="sentinels of train", unit="clip"):
            for stream, values in source.read(number).items():
                rules[stream].look_for_sentinel(values)
    for number in tqdm(train, desc="means of train", unit="clip"):
        for stream, values in source.read(number).items():
            rules[stream].learn(values)
    return rules


def write_clip(
    source: Source, number: int, rules: dict[str, StreamRules], stages: dict[str, StageFiles]
) -> dict:
    """Store one clip's streams and return its line of the index."""
    entry = source.entries[number]
    cleaned = {stream: rules[stream].apply(values) for stream, values in source.read(number).items()}
    spans = {stream: span for stream, (_, _, span) in cleaned.items() if span[1]}
    times, duration = source.place(number, spans) if spans else ({}, 0.0)
    states = {stream: "ok" if stream in spans else NO_ROWS for stream in stages}
    for stream, (values, valid, _) in cleaned.items():
        arrays = {
            stream: values,
            f"{stream}_time": times.get(stream, np.zeros(0)).astype(np.float64),
            f"{stream}_valid": valid,
        }
        status = {"state": states[stream], "duration_s": round(duration, 3)}
        stages[stream].write(entry.clip_id, arrays, status)
    return {
        "clip_id": entry.clip_id,
        "video_id": entry.video_id,
        "split": entry.split,
        "label": entry.label,
        "duration_s": round(duration, 3),
        **(states if spans else dict.fromkeys(stages, "refused")),
    }


def summarise(rows: list[dict], usable: list[dict], refused: list[dict]) -> dict:
    """The import in a few numbers."""
    return {
        "clips": len(rows),
        "usable": len(usable),
        "splits": dict(Counter(row["split"] for row in usable)),
        "minutes": round(sum(row["duration_s"] for row in usable) / 60, 2),
        "refused": refused,
    }
