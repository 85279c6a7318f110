"""Labels → finished cache: what is to be done, done in parallel, written so that it can be resumed.

The order of writing is what makes a killed run harmless: stage files appear whole or not at all, and the
index, which says that the cache is complete, comes last.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from preprocessing.cache.facts import read_json
from preprocessing.cache.lock import hold_cache
from preprocessing.config import PreprocessConfig, check_config
from preprocessing.errors import DISK_ERRORS, UserError
from preprocessing.run.clip_job import describe_source, find_lacking, process_clip, remember_failure
from preprocessing.run.estimate import Tally, estimate_run, write_last_run
from preprocessing.run.executor import DiskFull, Failure, RunStopped, check_executor, run_jobs
from preprocessing.run.finish import finish
from preprocessing.run.plan import Plan, describe_plan, make_plan
from preprocessing.sets.labels import read_labels
from preprocessing.sets.raw_set import open_raw_set
from preprocessing.stages import list_stages


def preprocess(
    config: PreprocessConfig, retry_failed: bool = False, update: bool = False
) -> tuple[dict, bool]:
    """Bring the cache `config.out` up to date.

    Args:
        config: its settings.
        retry_failed: try again what failed before.
        update: change a finished cache of other settings, or of clips that the labels lack.

    Returns:
        The content of `summary.json`, and whether there was anything to do.

    Raises:
        UserError: bad labels or settings, a tool that the settings ask for is missing, another run is at
            work on this cache, the disk is full.
    """
    check_config(config)
    config = replace(config, labels=str(open_raw_set(config.labels)))
    entries = read_labels(Path(config.labels), config.layout, config.labels_columns)
    root = Path(config.out)
    with explain_stop(root), hold_cache(root):
        plan = make_plan(entries, config, retry_failed)
        print_plan(plan, config)
        if plan.finished and not plan.jobs:
            return read_json(root / "summary.json", root), False
        if plan.replaces and not update:
            raise UserError(
                f"{root} is a finished cache of other settings or clips ({plan.replaces}): nothing was done; "
                "type another out=FOLDER, or add --update to change this one"
            )
        check_tools(plan, config)
        (root / "index.csv").unlink(missing_ok=True)
        return run_plan(plan, config), True


def show_plan(config: PreprocessConfig, retry_failed: bool = False) -> None:
    """Say what `preprocess` would do, and change nothing.

    Raises:
        UserError: as `preprocess`, but for what only a run finds out; also where the labels lie in a zip that
            has not been unpacked.
    """
    check_config(config)
    labels = Path(config.labels)
    if labels.suffix.lower() == ".zip" and labels.is_file():
        folder = labels.with_suffix("")
        if not folder.exists():
            raise UserError(
                f"{labels} has not been unpacked, which a dry run does not do; type: "
                f"python -m preprocessing.fetch --url {labels} --out {folder}"
            )
        labels = folder
    config = replace(config, labels=str(labels))
    plan = make_plan(read_labels(labels, config.layout, config.labels_columns), config, retry_failed)
    print_plan(plan, config)
    check_tools(plan, config)


def print_plan(plan: Plan, config: PreprocessConfig) -> None:
    """Say what will be done and how long it will take."""
    estimate = estimate_run(plan.jobs, plan.known_s, config) if plan.jobs else ""
    print(describe_plan(plan, config, estimate), flush=True)


def check_tools(plan: Plan, config: PreprocessConfig) -> None:
    """Find out before the first clip, not at the thousandth, that a program or model is missing."""
    todo = set().union(*(job.todo for job in plan.jobs))
    if todo:
        check_executor(config.executor)
    for stage in list_stages(config):
        if stage.name in todo:
            stage.check(config)


def run_plan(plan: Plan, config: PreprocessConfig) -> dict:
    """Work through the plan's clips and finish the cache; in any case `last_run.json` tells how it went."""
    root, started, tally, done = Path(config.out), time.monotonic(), Tally(), False
    try:
        failures = run_clips(plan, config, tally)
        summary = finish(root, config, plan.entries, plan.files, failures)
        done = True
    finally:
        with suppress(OSError):  # on a full disk
            write_last_run(root, tally, time.monotonic() - started, config, finished=done)
    return summary


def run_clips(plan: Plan, config: PreprocessConfig, tally: Tally) -> list[Failure]:
    """Run the plan's jobs, count them in `tally`, and return what failed."""
    jobs, failures = {job.entry.clip_id: job for job in plan.jobs}, []
    if not jobs:
        return []
    outcomes = run_jobs(process_clip, plan.jobs, config.workers, config.timeout_s, config.executor)
    with closing(outcomes):  # whatever goes wrong here, the workers end
        for outcome in outcomes:
            tally.add(outcome)
            failures += outcome.failures
            if outcome.lasting:
                job = jobs[outcome.clip_id]
                source = describe_source(job.entry.path)
                timeout_s = config.timeout_s if outcome.late else None
                remember_failure(job, outcome.failures[0], find_lacking(job), source, timeout_s)
    return failures


@contextmanager
def explain_stop(root: Path) -> Iterator[None]:
    """Turn what ends a run at once, such as a full disk, into one line that says how to go on."""
    try:
        yield
    except (RunStopped, OSError) as error:
        if isinstance(error, OSError) and error.errno not in DISK_ERRORS:
            raise
        reason = str(error)
        if isinstance(error, OSError):
            reason = f"{root} cannot be written to: {error.strerror}"
        if isinstance(error, OSError | DiskFull):
            free = shutil.disk_usage(root if root.exists() else root.absolute().anchor).free
            reason += f"; {root} has {free / 1e6:.1f} MB left"
        raise UserError(
            f"{reason}. What was done is kept: fix this and type the same command again"
        ) from error
