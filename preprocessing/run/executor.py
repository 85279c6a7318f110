"""Runs one function over many jobs in worker processes, of this machine or of a Ray cluster.

A worker that hangs or dies costs the clip it had, and no other: that is what pebble's pool adds to the
standard library's.
"""

import importlib.util
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import TimeoutError as ClipTimeout
from concurrent.futures import as_completed
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from pebble import ProcessExpired, ProcessPool
from tqdm import tqdm

from preprocessing.errors import UserError


class RunStopped(Exception):
    """Something that no other clip would fare better with, such as a full disk: the run ends at once."""


class DiskFull(RunStopped):
    """Nothing can be written any more."""


@dataclass(frozen=True)
class Failure:
    """Why a clip, or one of its stages, is not in the cache: a line of `failures.csv`."""

    clip_id: str
    stage: str
    error: str


@dataclass(frozen=True)
class Outcome:
    """How the work on one clip ended.

    Attributes:
        clip_id: the clip.
        failures: what did not work.
        died: its worker process ended in the middle of it.
        late: it was stopped at the time limit.
        lasting: it ended in a way that nobody foresaw, or at the time limit: the same clip would do so again.
        clip_s: the clip's own length in seconds.
        seconds: wall time by pass (see `clip_job.list_passes`) where it tells the speed.
    """

    clip_id: str
    failures: tuple[Failure, ...] = ()
    died: bool = False
    late: bool = False
    lasting: bool = False
    clip_s: float = 0.0
    seconds: Mapping[str, float] = field(default_factory=dict)


Work = Callable[[Any], Outcome]


def check_executor(executor: str) -> None:
    """Refuse an executor whose library is not there."""
    if executor == "ray" and importlib.util.find_spec("ray") is None:
        raise UserError("executor=ray needs Ray; type: pip install 'mosi-e2e[ray]', or executor=processes")


def run_jobs(
    work: Work, jobs: Sequence[Any], workers: int, timeout_s: float, executor: str = "processes"
) -> Iterator[Outcome]:
    """Run `work(job)` for every job; the outcomes come as the clips are done, in any order.

    A clip whose worker died is tried once more at the end, no other beside it: the worker may have been
    killed for no fault of the clip's, for example because memory ran out.

    Args:
        work: importable function; each job has an `entry` with a `clip_id`.
        jobs: what to do.
        workers: processes; 0 means one per core (of the cluster).
        timeout_s: wall-clock limit for one job.
        executor: one of `EXECUTORS`.

    Raises:
        RunStopped: from `work`; what was begun is stopped.
    """
    run = run_here
    if executor == "ray":
        from preprocessing.run.executor_ray import run_on_cluster as run
    again = []
    with closing(run(work, jobs, workers, timeout_s)) as outcomes:
        for outcome in tqdm(outcomes, total=len(jobs), unit="clip", desc="preprocessing"):
            if outcome.died:
                again.append(outcome.clip_id)
            else:
                yield outcome
    if again:
        rest = [job for job in jobs if job.entry.clip_id in set(again)]
        with closing(run(work, rest, 1, timeout_s)) as outcomes:
            yield from tqdm(outcomes, total=len(rest), unit="clip", desc="once more")


def run_here(work: Work, jobs: Sequence[Any], workers: int, timeout_s: float) -> Iterator[Outcome]:
    """One pass over the jobs in processes of this machine; arguments as for `run_jobs`."""
    count = min(workers or os.cpu_count() or 1, len(jobs))
    with open_pool(count, threads=max((os.cpu_count() or 1) // count, 1)) as pool:
        waiting = {pool.schedule(work, args=(job,), timeout=timeout_s): job.entry.clip_id for job in jobs}
        try:
            for future in as_completed(waiting):
                yield collect(future, waiting[future], timeout_s)
        except BaseException:
            pool.stop()
            raise


def open_pool(count: int, folder: str | None = None, threads: int | None = None) -> ProcessPool:
    """A pool of `count` quiet workers that start in `folder`; `threads`: of torch in each."""
    context = multiprocessing.get_context("spawn")  # forking after threads were started may deadlock
    settings = (folder, threads)
    return ProcessPool(max_workers=count, initializer=prepare_worker, initargs=settings, context=context)


def collect(future, clip_id: str, timeout_s: float) -> Outcome:
    """How one job ended.

    Raises:
        RunStopped: the job says that no other will fare better.
    """
    try:
        return future.result()
    except RunStopped:
        raise
    except ClipTimeout:
        late = Failure(clip_id, "clip", f"took longer than timeout_s={timeout_s:g} s")
        return Outcome(clip_id, (late,), late=True, lasting=True)
    except ProcessExpired as error:
        died = Failure(clip_id, "clip", f"the worker process died twice (exit status {error.exitcode})")
        # Killed: by the system when memory ran out, or by somebody. Any other death is the clip's own work.
        return Outcome(clip_id, (died,), died=True, lasting=error.exitcode != -signal.SIGKILL)
    except Exception as error:  # noqa: BLE001  one clip's defect must not end the run; it is recorded
        text = " ".join(str(error).split())
        unforeseen = Failure(clip_id, "clip", f"{type(error).__name__}: {text}")
        return Outcome(clip_id, (unforeseen,), lasting=not isinstance(error, OSError | MemoryError))


def prepare_worker(folder: str | None = None, threads: int | None = None) -> None:
    """Few threads per worker, and silence.

    The C libraries under it write to the terminal about every damaged packet, and MediaPipe about its own
    start. What matters reaches the parent as a result or an exit status.
    """
    import av
    import cv2

    from preprocessing.media.decord_import import decord

    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # torch reads it where a stage imports it
    if folder:
        os.chdir(folder)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    cv2.setNumThreads(1)
    decord.logging.set_level(decord.logging.QUIET)
    av.logging.set_level(av.logging.PANIC)
