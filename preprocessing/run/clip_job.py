"""What is done with one clip, in a worker process of this machine or of another."""

import platform
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from preprocessing.cache.store import StageFiles
from preprocessing.config import PreprocessConfig
from preprocessing.errors import DISK_ERRORS, UserError
from preprocessing.media.decode import MediaError
from preprocessing.openface.table import OpenFaceError
from preprocessing.run.executor import DiskFull, Failure, Outcome, RunStopped
from preprocessing.sets.labels import ClipEntry
from preprocessing.stages import Stage, list_stages
from preprocessing.stages.clip import Clip

_passes_done: set[str] = set()  # by this process: the first of a kind loads models, and tells no speed
NO_SPACE_BYTES = 1 << 20  # with less in the temporary folder every program fails in its own way


@dataclass(frozen=True)
class ClipJob:
    """One clip and the stages it still lacks."""

    entry: ClipEntry
    todo: frozenset[str]
    config: PreprocessConfig
    recipes: Mapping[str, str]

    def files(self, stage: str) -> StageFiles:
        """The files of one stage."""
        return StageFiles(Path(self.config.out), stage, self.recipes[stage])


def list_passes(todo: frozenset[str], config: PreprocessConfig) -> list[list[Stage]]:
    """The lacking stages, grouped by what is done once for all of them.

    >>> passes = list_passes(frozenset(("faces", "behaviour", "acoustics")), PreprocessConfig())
    >>> [[stage.name for stage in stages] for stages in passes]
    [['faces', 'behaviour'], ['acoustics']]
    """
    passes: dict[str, list[Stage]] = {}
    for stage in sorted(list_stages(config), key=lambda stage: stage.hears):  # the picture first
        if stage.name in todo:
            passes.setdefault(stage.source(config), []).append(stage)
    return list(passes.values())


def name_pass(stages: Sequence[Stage], config: PreprocessConfig) -> str:
    """The name under which a pass's speed is remembered; OpenFace's differs from MediaPipe's.

    >>> name_pass(list_passes(frozenset(("faces", "behaviour")), PreprocessConfig())[0], PreprocessConfig())
    'behaviour by mediapipe + faces by mediapipe'
    """
    sources = {stage.name: stage.source(config) for stage in stages}
    return " + ".join(
        name if sources[name] in (name, "sound") else f"{name} by {sources[name]}" for name in sorted(sources)
    )


def describe_source(path: Path) -> list[int] | None:
    """Size and time of change of a clip's file: what tells that it was replaced."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return [facts.st_size, facts.st_mtime_ns]


def process_clip(job: ClipJob) -> Outcome:
    """Run the lacking stages of one clip and store them.

    A stage that fails does not take the others with it. Where the clip itself is at fault, that is stored.

    Raises:
        RunStopped: the folders are not there, or cannot be written to.
    """
    for folder in (Path(job.config.out), job.entry.path.parent):
        if not folder.is_dir():
            raise RunStopped(f"{platform.node()} does not see the folder {folder}: is its storage mounted?")
    try:
        return _run_passes(job)
    except OSError as error:
        if error.errno in DISK_ERRORS:
            place = error.filename or job.config.out
            raise DiskFull(f"{place} cannot be written to: {error.strerror}") from error
        raise


def _run_passes(job: ClipJob) -> Outcome:
    clip_id, backend = job.entry.clip_id, job.config.behaviour.backend
    source = describe_source(job.entry.path)
    for stage in job.todo:  # whatever comes of it, nothing of the past is left: a replaced clip may fail
        job.files(stage).remove(clip_id)
    try:
        clip = Clip(job.entry.path, job.config, clip_id)
    except MediaError as error:
        failure = Failure(clip_id, "clip", str(error))
        if _is_lasting(error, backend):
            remember_failure(job, failure, job.todo, source)
        return Outcome(clip_id, (failure,))
    failures, seconds = [], {}
    for stages in list_passes(job.todo, job.config):
        started = time.perf_counter()
        try:
            results = {stage.name: stage.extract(clip) for stage in stages}
        except (MediaError, UserError) as error:
            names = frozenset(stage.name for stage in stages)
            failures.append(Failure(clip_id, "+".join(sorted(names)), str(error)))
            if _is_lasting(error, backend):
                remember_failure(job, failures[-1], names, source)
            continue
        for stage, result in results.items():
            size = {"source_bytes": source[0]} if source else {}
            job.files(stage).write(clip_id, result.arrays, result.status | size)
        name = name_pass(stages, job.config)
        if name in _passes_done:
            seconds[name] = time.perf_counter() - started
        _passes_done.add(name)
    return Outcome(clip_id, tuple(failures), clip_s=clip.info.duration_s, seconds=seconds)


def find_lacking(job: ClipJob) -> frozenset[str]:
    """The stages of a job that are not stored, although it has ended."""
    return frozenset(stage for stage in job.todo if job.files(stage).status(job.entry.clip_id) is None)


def remember_failure(
    job: ClipJob,
    failure: Failure,
    stages: frozenset[str],
    source: list[int] | None,
    timeout_s: float | None = None,
) -> None:
    """Store a failure in the folders of its stages, so that it counts for their present settings alone.

    Args:
        job: the clip.
        failure: what is reported of it.
        stages: what it lacks for that reason.
        source: the file that was at fault, see `describe_source`.
        timeout_s: the time limit that it did not keep, if that was it.
    """
    record = {"stage": failure.stage, "error": failure.error, "source": source}
    record |= {"timeout_s": timeout_s} if timeout_s else {}
    for stage in stages:
        job.files(stage).write_failure(failure.clip_id, record)


def _is_lasting(error: Exception, backend: str) -> bool:
    """Whether the clip itself is at fault: the same file would fail again.

    Not so where reading it failed in the operating system, and where the user can fix something else: a
    program that is missing, a CSV.
    """
    if isinstance(error, OpenFaceError):
        if shutil.disk_usage(tempfile.gettempdir()).free < NO_SPACE_BYTES:
            raise DiskFull(f"the temporary folder {tempfile.gettempdir()} is full") from error
        return backend == "openface"
    return isinstance(error, MediaError) and not isinstance(error.__cause__, (OSError, MemoryError))
