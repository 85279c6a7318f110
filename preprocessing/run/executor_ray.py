"""Runs the jobs on a Ray cluster whose machines share the storage.

Each Ray task hands its clip to a process of its own, made as on one machine: so the time limit holds inside C
libraries too, and a crash or a hang ends with the same words. Ray adds what happens to whole workers and
machines: a task whose worker was killed runs again elsewhere.

The cluster is the one at RAY_ADDRESS, else one that runs on this machine, else one is started here.
"""

import functools
import itertools
import logging
import os
import platform
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ray

from preprocessing.run.executor import Failure, Outcome, RunStopped, Work, collect, open_pool

RETRIES = 3  # of a task whose worker or machine was lost
CONNECT_S = 10.0
PENDING = 1000  # tasks that Ray knows of at a time: its autoscaler sees the need, and waiting stays cheap


def run_on_cluster(work: Work, jobs: Sequence[Any], workers: int, timeout_s: float) -> Iterator[Outcome]:
    """One pass over the jobs; arguments as for `executor.run_jobs`. The modules are installed everywhere."""
    is_ours = not ray.is_initialized()
    if is_ours:
        connect()
    task = ray.remote(num_cpus=1, max_retries=RETRIES)(run_in_worker)
    left, running = iter(jobs), {}
    try:
        while True:
            for job in itertools.islice(left, (workers or PENDING) - len(running)):
                running[task.remote(work, job, timeout_s, str(Path.cwd()))] = job.entry.clip_id
            if not running:
                return
            done, _ = ray.wait(list(running))
            for reference in done:
                yield _fetch(reference, running.pop(reference))
    finally:
        for reference in running:
            ray.cancel(reference, force=True)
        if is_ours:
            ray.shutdown()


def connect() -> None:
    """Join the cluster, or start one.

    Raises:
        RunStopped: none answers at RAY_ADDRESS, or Ray does not start.
    """
    address = os.environ.get("RAY_ADDRESS", "")
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if port.isdigit():  # Ray itself tries for minutes
            socket.create_connection((host, int(port)), timeout=CONNECT_S).close()
        ray.init(log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        reason = str(error).strip().splitlines()[0]
        raise RunStopped(
            f"no Ray cluster answers at {address or 'this machine'} ({reason}): type ray start --head there "
            "and give this command the cluster's RAY_AUTH_TOKEN, or unset RAY_ADDRESS"
        ) from error


def run_in_worker(work: Work, job: Any, timeout_s: float, folder: str) -> Outcome:
    """What a Ray worker does: `work(job)` in a process beside it, in the folder where the run was started."""
    if not Path(folder).is_dir():
        raise RunStopped(f"{platform.node()} does not see the folder {folder}: it must be on shared storage")
    future = _open_own_pool(folder).schedule(work, args=(job,), timeout=timeout_s)
    return collect(future, job.entry.clip_id, timeout_s)


@functools.lru_cache(maxsize=1)
def _open_own_pool(folder: str):
    """One process, which lives as long as its Ray worker: it loads the libraries and models once."""
    return open_pool(1, folder)


def _fetch(reference, clip_id: str) -> Outcome:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        # The clip's own troubles come as outcomes: this is one of the machine it was sent to.
        if isinstance(error.cause, RunStopped):
            raise error.cause from error
        reason = str(error.cause).splitlines()[0]
        raise RunStopped(
            f"a machine of the Ray cluster cannot do the work ({reason}): it needs this very environment"
        ) from error
    except (
        ray.exceptions.WorkerCrashedError,
        ray.exceptions.OutOfMemoryError,
        ray.exceptions.NodeDiedError,
        ray.exceptions.OwnerDiedError,
    ) as error:
        text = f"the Ray worker died again and again ({type(error).__name__})"
        return Outcome(clip_id, (Failure(clip_id, "clip", text),), died=True)
