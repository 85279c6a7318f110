"""The last step of a run: what was stored clip by clip becomes a cache, the index last."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from preprocessing.cache.facts import CLASS_NAME
from preprocessing.cache.store import StageFiles
from preprocessing.cache.writer import CacheWriter, list_usable
from preprocessing.config import PreprocessConfig
from preprocessing.run.executor import Failure
from preprocessing.run.plan import label_rows
from preprocessing.run.summary import Remark, summarise
from preprocessing.sets.labels import ClipEntry
from preprocessing.stages import list_stages
from preprocessing.stages.recipes import describe_settings, describe_stages

SYNTHETIC_MARK = "sample.json"  # what the sample generator leaves beside its labels


def finish(
    root: Path,
    config: PreprocessConfig,
    entries: Sequence[ClipEntry],
    files: Mapping[str, StageFiles],
    failures: Sequence[Failure],
) -> dict:
    """Write failures, statistics, meta, summary and, last, the index; return the summary.

    Args:
        root: the cache.
        config: its settings.
        entries: all clips.
        files: per stage, its files.
        failures: of this run; those that earlier runs have stored are found beside the files.
    """
    said: dict[str, list[Failure]] = {}
    for failure in failures:
        said.setdefault(failure.clip_id, []).append(failure)
    rows, failed, refused, remarks = [], [], [], []
    evidence = [stage.name for stage in list_stages(config) if stage.is_evidence]
    for entry in entries:
        status = {stage: files[stage].status(entry.clip_id) for stage in files}
        row = index_row(entry, status)
        lacking = [stage for stage in files if status[stage] is None]
        if lacking:
            failed += explain(entry.clip_id, lacking, files, said.get(entry.clip_id, []))
        elif not any(row[stage] == "ok" for stage in evidence):
            refused.append(Failure(entry.clip_id, "clip", "neither a face nor sound in it"))
            row |= dict.fromkeys(files, "refused")
        remarks += list_remarks(entry.clip_id, status)
        rows.append(row)
    about = {
        "synthetic": (Path(config.labels).parent / SYNTHETIC_MARK).exists()
        or (Path(config.labels) / SYNTHETIC_MARK).exists(),
        "labels": label_rows(entries),
        "settings": describe_settings(config),
    }
    told = [*sorted(failed, key=lambda failure: (failure.clip_id, failure.stage)), *refused]
    tables = {"failures": list(map(vars, told)), "remarks": list(map(vars, remarks))}
    usable = list_usable(rows, files)
    summary = summarise(rows, usable, told, remarks)
    for stage in list_stages(config):
        clip_ids = [row["clip_id"] for row in usable if row[stage.name] == "ok"]
        summary |= stage.summarise(config, files[stage.name], clip_ids)
    features = {stage.name: stage.features for stage in list_stages(config)}
    CacheWriter(root, files, features, describe_stages(config)).finish(rows, about, tables, summary)
    return summary


def list_remarks(clip_id: str, status: Mapping[str, dict | None]) -> list[Remark]:
    """What is odd about a clip that is used all the same, each remark once, with the stages that carry it."""
    stages: dict[str, list[str]] = {}
    for stage, one in status.items():
        for text in str((one or {}).get("remark") or "").split("; "):
            stages.setdefault(text, []).append(stage)
    return [Remark(clip_id, "+".join(names), text) for text, names in stages.items() if text]


def explain(
    clip_id: str, lacking: Sequence[str], files: Mapping[str, StageFiles], said: Sequence[Failure]
) -> list[Failure]:
    """Why a clip lacks stages: from what this run said and what earlier ones stored, each reason once."""
    records = [record for stage in lacking if (record := files[stage].failure(clip_id))]
    stored = [Failure(clip_id, record["stage"], record["error"]) for record in records]
    found = list(dict.fromkeys([*said, *stored]))
    gone = Failure(clip_id, "+".join(lacking), "its files went while the run went on; run again")
    return found or [gone]


def index_row(entry: ClipEntry, status: Mapping[str, dict | None]) -> dict:
    """One clip's line of the index; a stage without a file is `failed`."""
    facts: dict = {}
    for one in status.values():
        facts = {**(one or {}), **facts}
    return {
        "clip_id": entry.clip_id,
        "video_id": entry.video_id,
        "split": entry.split,
        **({} if entry.class_name is None else {CLASS_NAME: entry.class_name}),
        "label": "" if entry.label is None else entry.label,
        "duration_s": facts.get("duration_s", ""),
        "n_frames": facts.get("n_frames", ""),
        "face_ratio": facts.get("face_ratio", ""),
        **{stage: one["state"] if one else "failed" for stage, one in status.items()},
    }
