"""What a run would do, and why: found out and said before anything is done."""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from preprocessing.cache.facts import (
    CLASS_NAME,
    compare_options,
    read_index,
    read_json,
    read_meta,
    read_stats,
)
from preprocessing.cache.store import FORMAT_VERSION, StageFiles
from preprocessing.config import PreprocessConfig
from preprocessing.errors import UserError
from preprocessing.run.clip_job import ClipJob, describe_source
from preprocessing.run.executor import Failure
from preprocessing.sets.labels import ClipEntry
from preprocessing.stages import list_stages
from preprocessing.stages.recipes import describe_stages, make_recipes
from preprocessing.untrusted.names import file_name

# Why a clip goes through a stage.
NEW, CHANGED, LOST, DAMAGED, REPLACED = "new", "settings changed", "lost", "damaged", "clip replaced"
LONGER, RETRIED = "timeout_s raised", "failed before"


@dataclass
class Plan:
    """What is to be done.

    Attributes:
        entries: all clips.
        files: per stage, the files of the present settings.
        jobs: clips that lack a stage, with the stages they lack.
        reasons: per stage, how many clips go through it and why.
        changes: per stage, the settings that differ from those of the finished cache there.
        left: what failed before and is left alone.
        known_s: length in seconds of clips of which something is stored.
        finished: the index on disk is that of these clips and settings.
        replaces: what of a finished cache there the run would replace by something else; empty if nothing.
    """

    entries: list[ClipEntry]
    files: Mapping[str, StageFiles]
    jobs: list[ClipJob] = field(default_factory=list)
    reasons: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    changes: dict[str, list[str]] = field(default_factory=dict)
    left: list[Failure] = field(default_factory=list)
    known_s: dict[str, float] = field(default_factory=dict)
    finished: bool = False
    replaces: str = ""


def make_plan(entries: list[ClipEntry], config: PreprocessConfig, retry_failed: bool = False) -> Plan:
    """Compare the cache `config.out` with the clips and settings. Writes nothing.

    A clip whose file has another size than before is done anew. One that failed for its own fault is left
    alone, unless its file was replaced since (size or time), a setting that its stage depends on was changed
    (nothing is remembered under the new one), `timeout_s` was raised beyond the limit that it did not keep,
    or `retry_failed`.
    """
    root, recipes = Path(config.out), make_recipes(config)
    meta = find_meta(root)
    plan = Plan(entries, {stage: StageFiles(root, stage, recipe) for stage, recipe in recipes.items()})
    former = {stage: _list_former(root, plan.files[stage]) for stage in recipes}
    finished = {row[0] for row in meta["labels"]} if meta else set()
    past = meta["stages"] if meta else {}
    same = {stage for stage in recipes if past.get(stage, {}).get("recipe") == recipes[stage]}
    for entry in entries:
        todo, left, source = set(), {}, describe_source(entry.path)
        for stage in recipes:
            status = plan.files[stage].check(entry.clip_id)
            if status and (source is None or status.get("source_bytes", source[0]) == source[0]):
                plan.known_s.setdefault(entry.clip_id, status.get("duration_s") or 0.0)
                continue
            record = plan.files[stage].failure(entry.clip_id)
            if status:
                reason = REPLACED
            elif record:
                reason = _judge_record(record, source, config.timeout_s, retry_failed)
            else:
                reason = _find_reason(entry, stage, plan, former, finished if stage in same else set())
            if reason:
                todo.add(stage)
                plan.reasons[stage][reason] += 1
            else:
                left[record["stage"], record["error"]] = None
        plan.left += [Failure(entry.clip_id, stage, error) for stage, error in left]
        if todo:
            plan.jobs.append(ClipJob(entry, frozenset(todo), config, recipes))
    plan.changes = _list_changes(meta, config) if meta else {}
    plan.finished = meta is not None and same == set(recipes) and _is_finished(root, meta, entries, recipes)
    if meta and (root / "index.csv").is_file():
        plan.replaces = _say_replaced(plan, finished, past.keys())
    return plan


def find_meta(root: Path) -> dict | None:
    """`meta.json` of the last finished run there; None where there is none, or it is damaged.

    Raises:
        UserError: the folder holds imported features.
    """
    try:
        meta = read_meta(root)
    except UserError:
        return None
    if "imported" in meta:
        raise UserError(f"{root} holds imported features, not decoded clips; type another out=FOLDER")
    known = {stage.name for stage in list_stages()}
    entries = [entry for stage, entry in meta["stages"].items() if stage in known]
    rows = meta.get("labels")
    is_whole = (
        meta["format"] == FORMAT_VERSION
        and all("options" in entry and "version" in entry for entry in entries)
        and isinstance(rows, list)
        and all(isinstance(row, list) and len(row) == 3 and isinstance(row[0], str) for row in rows)
    )
    return meta if is_whole else None


def _is_finished(root: Path, meta: dict, entries: list[ClipEntry], stages: Collection[str]) -> bool:
    """Whether the tables on disk are whole and those of these clips and stages."""
    if meta["labels"] != label_rows(entries):
        return False
    try:
        index = read_index(root / "index.csv")
        read_stats(root)
        summary = read_json(root / "summary.json", root)
    except UserError:
        return False
    labels = [None if math.isnan(label) else label for label in index.label.tolist()]
    labels = index[CLASS_NAME].tolist() if CLASS_NAME in index else labels
    rows = [list(row) for row in zip(index.clip_id, index.split, labels, strict=True)]
    return rows == meta["labels"] and all(stage in index for stage in stages) and "refused" in summary


def _say_replaced(plan: Plan, finished: set[str], past: Collection[str]) -> str:
    """Settings that differ, stages and clips that are gone; both are replaced on request alone."""
    texts = [f"{stage}: {'; '.join(changes) or 'options'}" for stage, changes in plan.changes.items()]
    spare = past & {stage.name for stage in list_stages()} - plan.files.keys()
    texts += [f"{stage} is no longer asked for" for stage in sorted(spare)]
    gone = finished - {entry.clip_id for entry in plan.entries}
    if gone:
        texts.append(f"{len(gone)} of its clips, such as '{min(gone)}', are not in the labels")
    return ", ".join(texts)


def label_rows(entries: Sequence[ClipEntry]) -> list[list]:
    """What `meta.json` keeps of the clips: id, split, and the label or, where labels are names, the name."""
    return [
        [entry.clip_id, entry.split, entry.label if entry.class_name is None else entry.class_name]
        for entry in entries
    ]


def _list_former(root: Path, files: StageFiles) -> set[str]:
    """Clips, by file name, that went through a stage under other settings."""
    stage = files.folder.name.rsplit("-", 1)[0]
    folders = [folder for folder in (root / "clips").glob(f"{stage}-*") if folder != files.folder]
    names = [path.name for folder in folders for path in folder.iterdir()]
    return {name.removesuffix(".safetensors").removesuffix(".failed.json") for name in names}


def _find_reason(
    entry: ClipEntry, stage: str, plan: Plan, former: Mapping[str, set[str]], finished: set[str]
) -> str:
    if plan.files[stage].path(entry.clip_id).is_file():
        return DAMAGED
    if entry.clip_id in finished:
        return LOST
    return CHANGED if file_name(entry.clip_id) in former[stage] else NEW


def _judge_record(record: dict, source: list[int] | None, timeout_s: float, retry_failed: bool) -> str:
    """Why a clip that failed is tried again; empty where it is not."""
    if record.get("source") != source:
        return REPLACED
    if timeout_s > record.get("timeout_s", timeout_s):
        return LONGER
    return RETRIED if retry_failed else ""


def _list_changes(meta: dict, config: PreprocessConfig) -> dict[str, list[str]]:
    """Per stage of another recipe: `faces.size 224 → 96`."""
    changes = {}
    for stage, present in describe_stages(config).items():
        past = meta["stages"].get(stage)  # a stage that was registered since is no change of what is there
        if past is None or past["recipe"] == present["recipe"]:
            continue
        changes[stage] = [
            f"{name} {before} → {after}"
            for name, (before, after) in compare_options(past["options"], present["options"]).items()
        ]
        if past["version"] != present["version"]:
            changes[stage].append(f"the program's version of it {past['version']} → {present['version']}")
    return changes


def describe_plan(plan: Plan, config: PreprocessConfig, estimate: str) -> str:
    """The plan for people, a line per stage.

    Args:
        plan: what is to be done.
        config: its settings.
        estimate: how long it will take, in words.
    """
    if plan.finished and not plan.jobs:
        return f"{config.out} is complete and up to date: nothing to do"
    lines = [f"{len(plan.entries)} clips of {config.labels} → {config.out}"]
    width = len(str(len(plan.entries)))
    for stage in plan.files:
        reasons = plan.reasons.get(stage, Counter())
        changes = f" ({'; '.join(plan.changes[stage])})" if plan.changes.get(stage) else ""
        text = ", ".join(
            f"{count} {reason}{changes if reason == CHANGED else ''}"
            for reason, count in reasons.most_common()
        )
        todo = f"{reasons.total():>{width}} to do: {text}" if text else "up to date"
        lines.append(f"  {stage:<10} {todo}")
    if plan.left:
        clips = len({failure.clip_id for failure in plan.left})
        lines.append(f"  failed before and left alone: {clips}; --retry-failed tries again")
    if plan.jobs:
        lines.append(f"estimated time: {estimate}")
    elif not plan.finished:
        lines.append("only the index is to be written")
    if plan.replaces:
        lines.append(f"{config.out} is finished, with other settings or clips: only --update changes that")
    return "\n".join(lines)
