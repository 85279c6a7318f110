"""Runs one function over many jobs in worker processes.

A worker that hangs or dies costs the clip it had, and no other: that is what pebble's pool adds to the
standard library's.
"""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as ClipTimeout
from concurrent.futures import as_completed
from dataclasses import dataclass
from typing import Any

from pebble import ProcessExpired, ProcessPool
from tqdm import tqdm


@dataclass(frozen=True)
class Failure:
    """Why a clip, or one of its stages, is not in the cache: a line of `failures.csv`."""

    clip_id: str
    stage: str
    error: str


def run_jobs(
    work: Callable[[Any], list[Failure]], jobs: Sequence[Any], workers: int, timeout_s: float
) -> list[Failure]:
    """Run `work(job)` for every job and collect the failures, sorted by clip id.

    Args:
        work: importable function; each job has an `entry` with a `clip_id`.
        jobs: what to do.
        workers: processes; 0 means one per core.
        timeout_s: wall-clock limit for one job.
    """
    count = min(workers or os.cpu_count() or 1, len(jobs))
    failures: list[Failure] = []
    context = multiprocessing.get_context("spawn")  # forking after threads were started may deadlock
    with ProcessPool(max_workers=count, initializer=prepare_worker, context=context) as pool:
        waiting = {pool.schedule(work, args=(job,), timeout=timeout_s): job.entry.clip_id for job in jobs}
        try:
            for future in tqdm(as_completed(waiting), total=len(waiting), unit="clip", desc="preprocessing"):
                failures += collect(future, waiting[future], timeout_s)
        except BaseException:
            pool.stop()
            raise
    return sorted(failures, key=lambda failure: (failure.clip_id, failure.stage))


def collect(future, clip_id: str, timeout_s: float) -> list[Failure]:
    """The failures that one job ended with."""
    try:
        return future.result()
    except ClipTimeout:
        return [Failure(clip_id, "clip", f"took longer than timeout_s={timeout_s:g} s")]
    except ProcessExpired as error:
        return [Failure(clip_id, "clip", f"the worker process died (exit status {error.exitcode})")]
    except Exception as error:  # noqa: BLE001  one clip's defect must not end the run; it is recorded
        text = " ".join(str(error).split())
        return [Failure(clip_id, "clip", f"{type(error).__name__}: {text}")]


def prepare_worker() -> None:
    """One thread per worker, and silence: the C libraries under it write to the terminal about every damaged
    packet, and MediaPipe about its own start. What matters reaches the parent as a result or an exit status.
    """
    import av
    import cv2

    from preprocessing.decord_import import decord

    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    cv2.setNumThreads(1)
    decord.logging.set_level(decord.logging.QUIET)
    av.logging.set_level(av.logging.PANIC)
