"""The same jobs on a Ray cluster: a small one, started on this machine."""

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from kit.made_set import LABELS, read_tree, work_here, write_face, write_labels
from test_executor import Job, list_failures, make_jobs, misbehave, read_tries

from preprocessing.__main__ import main
from preprocessing.run import pipeline
from preprocessing.run.executor import Failure, Outcome, RunStopped, run_jobs

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'mosi-e2e[ray]'")
pytestmark = pytest.mark.slow  # a cluster takes half a minute to start


@pytest.fixture(scope="module", autouse=True)
def _cluster():
    """Two workers. The runs find a cluster, and leave it standing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))  # its workers import this file
        patch.setenv("RAY_raylet_start_wait_time_s", "120")
        patch.delenv("RAY_ADDRESS", raising=False)
        start_cluster()
        yield
        ray.shutdown()


def start_cluster() -> None:
    """A cluster of this module's own. Where Ray itself does not start, the tests are left out."""
    for attempt in range(2):
        try:
            ray.init("local", num_cpus=2, log_to_driver=False, include_dashboard=False, logging_level="ERROR")
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            ray.shutdown()
            if attempt:
                pytest.skip(f"Ray does not start on this machine: {str(error).strip().splitlines()[0]}")
        else:
            return


def misbehave_more(job: Job) -> Outcome:
    """As `misbehave`; the kind `lost` takes its Ray worker with it the first time."""
    clip_id = job.entry.clip_id
    outcome = misbehave(replace(job, entry=replace(job.entry, clip_id=clip_id.replace("lost", "good"))))
    if clip_id.startswith("lost") and sum(read_tries(job.folder).values()) == 1:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(1)
    return replace(outcome, clip_id=clip_id)


def kill_a_worker(cache: Path, ended: threading.Event, killed: list[int]) -> None:
    """Kill -9 one Ray worker as soon as it has stored something."""
    while not ended.is_set() and not list(cache.rglob("*.safetensors")):
        time.sleep(0.01)
    for process in psutil.Process().children(recursive=True):
        if process.name().startswith("ray::run_in"):
            process.kill()
            killed.append(process.pid)
            return


def test_a_run_with_a_killed_worker_equals_the_local_one(tmp_path, monkeypatch, capfd):
    raw, killed, ended = tmp_path / "raw", [], threading.Event()
    raw.mkdir()
    for seed, (clip_id, _, _) in enumerate(LABELS[:3]):
        write_face(raw / f"{clip_id}.mp4", seed)
    (raw / "x_1.mp4").write_bytes(b"garbage" * 99)
    write_labels(raw, *LABELS[:3], LABELS[4])
    monkeypatch.chdir(tmp_path)
    killer = threading.Thread(target=kill_a_worker, args=(tmp_path / "there", ended, killed))
    killer.start()
    assert main(["labels=raw", "out=there", "executor=ray", "workers=1"]) == 1
    ended.set()
    killer.join()
    assert len(killed) == 1
    assert "4/4" in capfd.readouterr().err
    monkeypatch.setattr(pipeline, "run_jobs", work_here)
    assert main(["labels=raw", "out=here"]) == 1
    here, there = read_tree(tmp_path / "here"), read_tree(tmp_path / "there")
    assert len(here) == 3 * 4 + 4 + 5  # files of stages, failures, and about the whole
    assert here == there


def test_what_no_other_clip_would_fare_better_with_ends_the_run(tmp_path):
    jobs = make_jobs(tmp_path, "stop_1", *[f"hang_{number}" for number in range(9)])
    with pytest.raises(RunStopped, match="the disk is full"):
        list(run_jobs(misbehave, jobs, workers=1, timeout_s=100, executor="ray"))


def test_a_machine_that_lacks_the_folder_ends_the_run(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    monkeypatch.setattr("pathlib.Path.cwd", lambda: tmp_path / "gone")
    with pytest.raises(RunStopped, match="does not see the folder"):
        list(run_jobs(misbehave, make_jobs(tmp_path, "good_1"), 1, 60, "ray"))


def test_a_killed_ray_worker_is_replaced_and_its_clip_done(tmp_path):
    (outcome,) = run_jobs(misbehave_more, make_jobs(tmp_path, "lost_1"), 0, 60, "ray")
    assert (outcome.clip_id, outcome.failures, outcome.died) == ("lost_1", (), False)
    assert read_tries(tmp_path) == {"good_1": 2}


def test_each_bad_job_costs_itself_alone_as_on_one_machine(tmp_path, capfd):
    order = ["good_1", "raise_1", "exit_1", "fail_1", "good_2", "hang_1", "once_1"]
    outcomes = list(run_jobs(misbehave, make_jobs(tmp_path, *order), workers=2, timeout_s=2, executor="ray"))
    assert list_failures(outcomes) == [
        Failure("exit_1", "clip", "the worker process died twice (exit status 3)"),
        Failure("fail_1", "faces", "first"),
        Failure("fail_1", "waveform", "second"),
        Failure("hang_1", "clip", "took longer than timeout_s=2 s"),
        Failure("raise_1", "clip", "ValueError: first line second line"),
    ]
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {"good_1", "good_2", "once_1"}
    assert "7/7" in capfd.readouterr().err
