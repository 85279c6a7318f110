"""Brings the runs of an ablation to their end, each in a process of its own."""

import os
import queue
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from enum import Enum
from pathlib import Path

from tqdm import tqdm

from mosi_e2e.experiments.ablation import AblationConfig, PlannedRun
from preprocessing.errors import UserError, make_folder
from preprocessing.settings import dump_config

LOG = "train.log"


class State(Enum):
    """How far a run is."""

    NEW = "new"
    STARTED = "started"
    FINISHED = "finished"


def find_state(run: PlannedRun, split: str) -> State:
    """Look at a run's folder.

    Raises:
        UserError: the folder holds a run with other settings.
    """
    written = run.folder / "config.yaml"
    if not written.is_file():
        return State.NEW
    if written.read_text() != dump_config(run.config):
        raise UserError(
            f"{run.folder} holds a run with other settings; remove it, or type another out=FOLDER"
        )
    return State.FINISHED if (run.folder / f"predictions_{split}.csv").is_file() else State.STARTED


def train_command(run: PlannedRun, config: AblationConfig, resume: bool) -> list[str]:
    """The words that train and score one run."""
    launch = [sys.executable, "-m", "accelerate.commands.launch", *config.launch]
    train = ["-m", "mosi_e2e.train", "--config", run.base, "--score", config.split, *run.settings]
    return [*launch, *train, *(["--resume"] if resume else [])]


def run_command(words: Sequence[str], log: Path, extra: dict[str, str]) -> int:
    """Run a command, with what it prints in a file; returns its exit status."""
    make_folder(log.parent)
    with log.open("a") as file:
        return subprocess.run(
            words, stdout=file, stderr=subprocess.STDOUT, env=os.environ | extra, check=False
        ).returncode


def execute(runs: Sequence[PlannedRun], config: AblationConfig) -> list[str]:
    """Bring all runs to their end: finished ones are skipped, interrupted or failed ones go on.

    Returns:
        One line for each run that failed.
    """
    state = {run: find_state(run, config.split) for run in runs}
    todo = [run for run in runs if state[run] is not State.FINISHED]
    print(f"{len(runs)} runs, {len(runs) - len(todo)} of them finished before")
    jobs = {run: train_command(run, config, state[run] is State.STARTED) for run in todo}
    failures = []
    with tqdm(total=len(runs), initial=len(runs) - len(todo), unit="run", desc="ablation") as bar:
        for run, status in _run_all(jobs, config.parallel):
            fold = "" if run.fold is None else f" fold {run.fold}"
            bar.set_postfix_str(f"{run.variant} seed {run.seed}{fold}", refresh=False)
            bar.update()
            if status:
                failures.append(f"{run.folder} (exit status {status}): {last_line(run.folder / LOG)}")
    return failures


def _run_all(jobs: dict[PlannedRun, list[str]], parallel: int) -> Iterator[tuple[PlannedRun, int]]:
    """`parallel` at a time; each takes a GPU from the shelf and puts it back."""
    import torch  # takes seconds, and `trials` imports this module for less

    shelf: queue.Queue[dict[str, str]] = queue.Queue()
    gpus = torch.cuda.device_count()
    for slot in range(parallel):
        shelf.put({"CUDA_VISIBLE_DEVICES": str(slot % gpus)} if gpus and parallel > 1 else {})

    def work(run: PlannedRun) -> int:
        place = shelf.get()
        try:
            return run_command(jobs[run], run.folder / LOG, place)
        finally:
            shelf.put(place)

    with ThreadPoolExecutor(parallel) as pool:
        waiting = {pool.submit(work, run): run for run in jobs}
        try:
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def last_line(log: Path) -> str:
    """What a run said last: its own error, if it gave one, for the launcher adds a traceback of its own."""
    lines = log.read_text(errors="replace").strip().splitlines() if log.is_file() else []
    errors = [line for line in lines if line.startswith("error: ")]
    return (errors or lines or ["it printed nothing"])[-1]
