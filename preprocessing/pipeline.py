"""Labels → finished cache: what is to be done, done in parallel, written so that it can be resumed.

The order of writing is what makes a killed run harmless: stage files appear whole or not at all, and the
index, which says that the cache is complete, comes last.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from preprocessing.config import PreprocessConfig, check_config
from preprocessing.decode import MediaError, probe
from preprocessing.errors import UserError
from preprocessing.executor import Failure, run_jobs
from preprocessing.faces import find_model
from preprocessing.labels import ClipEntry, read_labels
from preprocessing.openface_run import check_openface
from preprocessing.raw_set import open_raw_set
from preprocessing.stages import describe_stages, make_recipes, run_audio_stages, run_video_stages
from preprocessing.stats import compute_stats
from preprocessing.store import FORMAT_VERSION, STAGES, StageFiles, write_atomic, write_table

INDEX_COLUMNS = (
    "clip_id",
    "video_id",
    "split",
    "label",
    "duration_s",
    "n_frames",
    "face_ratio",
    *STAGES,
)
SYNTHETIC_MARK = "sample.json"  # what the sample generator leaves beside its labels


@dataclass(frozen=True)
class ClipJob:
    """One clip and the stages it still lacks."""

    entry: ClipEntry
    todo: frozenset[str]
    config: PreprocessConfig
    recipes: Mapping[str, str]


def preprocess(config: PreprocessConfig) -> dict:
    """Bring the cache `config.out` up to date and return its summary.

    Raises:
        UserError: bad labels or settings, or a tool that the settings ask for is missing.
    """
    check_config(config)
    config = replace(config, labels=str(open_raw_set(config.labels)))
    entries = read_labels(Path(config.labels), config.layout, config.labels_columns)
    root, recipes = Path(config.out), make_recipes(config)
    files = {stage: StageFiles(root, stage, recipe) for stage, recipe in recipes.items()}
    jobs = plan_jobs(entries, files, config, recipes)
    if not jobs and is_current(root, recipes, entries):
        print(f"{root} is complete and up to date: nothing to do")
        return json.loads((root / "summary.json").read_text())
    check_tools(config, jobs)
    (root / "index.csv").unlink(missing_ok=True)
    print(describe_plan(entries, jobs))
    failures = run_jobs(process_clip, jobs, config.workers, config.timeout_s) if jobs else []
    return finish(root, config, entries, files, failures)


def plan_jobs(
    entries: Iterable[ClipEntry],
    files: Mapping[str, StageFiles],
    config: PreprocessConfig,
    recipes: Mapping[str, str],
) -> list[ClipJob]:
    """The clips that lack a stage, with the stages they lack."""
    jobs = []
    for entry in entries:
        todo = frozenset(stage for stage in STAGES if files[stage].status(entry.clip_id) is None)
        if todo:
            jobs.append(ClipJob(entry, todo, config, recipes))
    return jobs


def describe_plan(entries: list[ClipEntry], jobs: list[ClipJob]) -> str:
    stages = Counter(stage for job in jobs for stage in job.todo)
    todo = ", ".join(f"{stage} of {stages[stage]}" for stage in STAGES if stages[stage])
    return f"{len(entries)} clips; to do: {todo or 'the index'}"


def is_current(root: Path, recipes: Mapping[str, str], entries: list[ClipEntry]) -> bool:
    """Whether the finished index on disk is that of these clips and recipes."""
    if not all((root / name).is_file() for name in ("index.csv", "meta.json", "summary.json")):
        return False
    meta = json.loads((root / "meta.json").read_text())
    if meta["format"] != FORMAT_VERSION:
        return False
    same = {stage: entry["recipe"] for stage, entry in meta["stages"].items()} == dict(recipes)
    return same and meta["labels"] == label_rows(entries)


def label_rows(entries: Iterable[ClipEntry]) -> list[list]:
    return [[entry.clip_id, entry.split, entry.label] for entry in entries]


def check_tools(config: PreprocessConfig, jobs: list[ClipJob]) -> None:
    """Find out before the first clip, not at the thousandth, that a program or model is missing."""
    todo = set().union(*(job.todo for job in jobs)) if jobs else set()
    if "faces" in todo or ("behaviour" in todo and config.behaviour.backend == "mediapipe"):
        find_model(config.track.model)
    if "behaviour" in todo and config.behaviour.backend == "openface":
        check_openface(config.behaviour.openface)
    folder = config.behaviour.openface.csv_dir
    if (
        "behaviour" in todo
        and config.behaviour.backend == "openface_csv"
        and not Path(folder or "-").is_dir()
    ):
        raise UserError(
            f"behaviour.backend=openface_csv needs the folder of CSVs, but '{folder}' is none; "
            "type behaviour.openface.csv_dir=FOLDER"
        )


def process_clip(job: ClipJob) -> list[Failure]:
    """Run the lacking stages of one clip and store them; runs in a worker process.

    A stage that fails does not take the others with it.
    """
    clip_id, root = job.entry.clip_id, Path(job.config.out)
    try:
        info = probe(job.entry.path)
    except MediaError as error:
        return [Failure(clip_id, "clip", str(error))]
    failures = []
    from_frames = job.config.behaviour.backend == "mediapipe"  # then crops and tokens share one pass
    video = ({"faces", "behaviour"},) if from_frames else ({"faces"}, {"behaviour"})
    for group in (*video, {"waveform", "acoustics"}):
        todo = job.todo & group
        if not todo:
            continue
        try:
            if group in video:
                results = run_video_stages(job.entry, info, job.config, todo)
            else:
                results = run_audio_stages(info, job.config, todo)
        except (MediaError, UserError) as error:
            failures.append(Failure(clip_id, "+".join(sorted(todo)), str(error)))
            continue
        for stage, result in results.items():
            StageFiles(root, stage, job.recipes[stage]).write(clip_id, result.arrays, result.status)
    return failures


def finish(
    root: Path,
    config: PreprocessConfig,
    entries: list[ClipEntry],
    files: Mapping[str, StageFiles],
    failures: list[Failure],
) -> dict:
    """Write failures, statistics, meta, summary and, last, the index."""
    rows, refused = [], list(failures)
    failed = {failure.clip_id for failure in failures}
    for entry in entries:
        status = {stage: files[stage].status(entry.clip_id) for stage in STAGES}
        row = index_row(entry, status)
        if entry.clip_id not in failed and row["faces"] != "ok" and row["waveform"] != "ok":
            refused.append(Failure(entry.clip_id, "clip", "neither a face nor sound in it"))
            row |= dict.fromkeys(STAGES, "refused")
        rows.append(row)
    usable = [row for row in rows if "failed" not in row.values() and "refused" not in row.values()]
    stats = compute_stats(files, [row["clip_id"] for row in usable if row["split"] == "train"])
    meta = {
        "format": FORMAT_VERSION,
        "synthetic": (Path(config.labels).parent / SYNTHETIC_MARK).exists()
        or (Path(config.labels) / SYNTHETIC_MARK).exists(),
        "labels": label_rows(entries),
        "stages": describe_stages(config),
    }
    summary = summarise(rows, usable, refused)
    write_table(root / "failures.csv", [vars(failure) for failure in refused], ("clip_id", "stage", "error"))
    for name, content in (("stats", stats), ("meta", meta), ("summary", summary)):
        write_atomic(root / f"{name}.json", (json.dumps(content, indent=1) + "\n").encode())
    write_table(root / "index.csv", rows, INDEX_COLUMNS)
    return summary


def index_row(entry: ClipEntry, status: Mapping[str, dict | None]) -> dict:
    """One clip's line of the index; a stage without a file is `failed`."""
    facts: dict = {}
    for one in status.values():
        facts = {**(one or {}), **facts}
    return {
        "clip_id": entry.clip_id,
        "video_id": entry.video_id,
        "split": entry.split,
        "label": "" if entry.label is None else entry.label,
        "duration_s": facts.get("duration_s", ""),
        "n_frames": facts.get("n_frames", ""),
        "face_ratio": facts.get("face_ratio", ""),
        **{stage: one["state"] if one else "failed" for stage, one in status.items()},
    }


def summarise(rows: list[dict], usable: list[dict], refused: list[Failure]) -> dict:
    """The run in a few numbers."""
    ratios = [row["face_ratio"] for row in usable if row["face_ratio"] != ""]
    return {
        "clips": len(rows),
        "usable": len(usable),
        "splits": dict(Counter(row["split"] for row in usable)),
        "unlabelled": sum(row["label"] == "" for row in usable),
        "minutes": round(sum(row["duration_s"] or 0 for row in usable) / 60, 2),
        "face_ratio": round(sum(ratios) / len(ratios), 4) if ratios else None,
        "without_face": sum(row["faces"] != "ok" for row in usable),
        "without_sound": sum(row["waveform"] != "ok" for row in usable),
        "refused": [vars(failure) for failure in refused],
    }
