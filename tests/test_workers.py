"""Loading processes: they end with their training, however it ends, and their errors are one line."""

import errno
import gc
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest
import torch
from kit.launched import ACCELERATE, ROOT, TWO_PROCESSES, end_all, free_port, start
from kit.made_cache import make_cache
from kit.tiny_models import write_recipe

from mosi_e2e.data.loaders import ClipLoader, worker_context
from mosi_e2e.data.workers import FileBatch, HandOver, tell_small_memory
from mosi_e2e.runs.resume import find_resume
from mosi_e2e.train import main
from preprocessing.errors import UserError

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"),
]

LONG = ("data.workers=2", "optim.epochs=5000", "stopping.patience=5000")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("place")
    write_recipe(place / "late.yaml", make_cache(place), "late_fusion", epochs=1)
    return place


@pytest.fixture
def training(place, request):
    """A training that goes on until it is stopped, once its first epoch is done, with all its processes."""
    started = []

    def begin(name, *launcher):
        words = ("-m", "mosi_e2e.train", "--config", place / "late.yaml", f"name={name}", *LONG)
        process = start(*(launcher or [sys.executable]), *words)
        started.append(process)
        deadline = time.monotonic() + 200
        while not (place / "runs" / name / "last").is_dir():
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
            time.sleep(0.05)
        return process, psutil.Process(process.pid).children(recursive=True)

    yield begin
    end_all(started)


def list_workers(family):
    """The loading processes and their fork servers among a training's processes."""
    return [one for one in family if one.is_running() and "forkserver" in " ".join(one.cmdline())]


def assert_gone(family, seconds=30):
    alive = psutil.wait_procs(family, timeout=seconds)[1]
    assert not [one.cmdline() for one in alive if one.status() != psutil.STATUS_ZOMBIE]


def test_a_killed_training_leaves_no_process(training):
    process, family = training("killed")
    assert len(list_workers(family)) >= 3  # a fork server and two workers at least
    process.kill()
    process.wait()
    assert_gone(family)


@pytest.mark.slow  # starts a training with workers
def test_sigterm_to_the_whole_group_stores_the_state(place, training):
    process, family = training("group")
    os.killpg(process.pid, signal.SIGTERM)
    printed = process.communicate(timeout=120)[0]
    assert process.returncode == 143, printed
    assert "stopped by SIGTERM" in printed and "Traceback" not in printed
    assert find_resume(place / "runs" / "group" / "last") is not None
    assert_gone(family)


@pytest.mark.slow  # starts a training with workers
def test_ctrl_c_reaches_the_training_alone(training):
    process, family = training("interrupted")
    os.killpg(process.pid, signal.SIGINT)
    printed = process.communicate(timeout=120)[0]
    assert process.returncode == 130 and "interrupted: " in printed and "Traceback" not in printed
    assert_gone(family)


@pytest.mark.slow  # starts a training with workers
def test_a_killed_worker_is_one_line(training):
    process, family = training("worker")
    list_workers(family)[-1].kill()
    printed = process.communicate(timeout=120)[0]
    assert process.returncode == 2 and "Traceback" not in printed
    assert printed.splitlines()[-1].startswith("error: a loading process was killed"), printed
    assert_gone(family)


@pytest.mark.slow  # starts two processes
def test_when_one_of_two_processes_dies_the_other_ends(training):
    options = (*TWO_PROCESSES, "--main_process_port", free_port())
    process, family = training("ranks", ACCELERATE, "launch", *options)
    ranks = [
        one for one in family if "mosi_e2e.train" in " ".join(one.cmdline()) and one.ppid() == process.pid
    ]
    assert len(ranks) == 2
    ranks[1].kill()
    printed = process.communicate(timeout=90)[0]
    assert process.returncode != 0
    assert printed.count("error: another process of this training ended") == 1, printed
    assert_gone(family)


def test_an_error_in_a_worker_is_one_line(place, tmp_path, capsys):
    cache = shutil.copytree(place / "cache", tmp_path / "cache")
    for path in cache.glob("clips/behaviour-*/*.safetensors"):
        path.write_bytes(b"damaged")
    words = ["--config", str(place / "late.yaml"), "name=damaged", f"data.cache={cache}", "data.workers=1"]
    assert main(words) == 2
    error = capsys.readouterr().err
    last = error.strip().splitlines()[-1]
    assert last.startswith("error: ") and "is damaged" in last and "Traceback" not in error


def test_a_batch_through_a_file_is_the_batch(tmp_path):
    from multiprocessing.reduction import ForkingPickler

    batch = {
        "clip_id": ["ä_1"],
        "index": torch.arange(3),
        "face": torch.rand(2, 5)[:, 1:],
        "pad": torch.eye(2) > 0,
    }
    data = bytes(ForkingPickler.dumps(FileBatch(batch, tmp_path / "x.safetensors")))
    found = ForkingPickler.loads(data)
    assert list(tmp_path.iterdir()) == [] and found.keys() == batch.keys()
    assert found["clip_id"] == batch["clip_id"]
    assert all(
        torch.equal(found[key], batch[key]) and found[key].dtype == batch[key].dtype
        for key in batch
        if key != "clip_id"
    )


def test_without_shared_memory_batches_go_through_files(tmp_path, monkeypatch, capsys):
    def fail(tensor):
        raise RuntimeError("unable to allocate shared memory(shm)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", fail)
    example = {"index": 0, "clip_id": "a_1", "label": 1.0, "weight": 1.0, "streams": {}}
    hand_over = HandOver(str(tmp_path))
    tell_small_memory.cache_clear()
    for _ in range(2):
        handed = hand_over([example])
        assert type(handed) is FileBatch
        assert pickle.loads(pickle.dumps(handed))["clip_id"] == ["a_1"]
    assert capsys.readouterr().err.count("shared memory") == 1


@pytest.mark.parametrize("made", [0, 2])
def test_workers_that_cannot_be_started_are_one_line(monkeypatch, made):
    """The first queue finds no room, or the one of the second worker, when the first runs already."""
    context, queues, tracebacks = worker_context(), [], []
    make = context.Queue

    def fill():
        if len(queues) == made:
            raise OSError(errno.ENOSPC, "No space left on device")
        queues.append(make())
        return queues[-1]

    monkeypatch.setattr(context, "Queue", fill)
    monkeypatch.setattr(sys, "unraisablehook", tracebacks.append)
    before = set(multiprocessing.active_children())
    loader = ClipLoader([0, 1], [[0], [1]], workers=2)
    with pytest.raises(UserError, match=r"cannot be started .*No space left on device.*data.workers=0"):
        next(iter(loader))
    gc.collect()
    started = set(multiprocessing.active_children()) - before
    assert len(started) == (made > 0) and tracebacks == []
    for worker in started:
        worker.kill()
        worker.join()


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("unshare"), reason="needs Linux's unshare")
def test_a_tiny_shared_memory_changes_nothing(place):
    """As in Docker, where /dev/shm has 64 MB, only that here not even a batch fits.

    What fits are the semaphores of two loaders with two workers each: 28 pages of 4 kB.
    """
    mount = "mount -t tmpfs -o size=160k tmpfs /dev/shm"
    if subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    words = f"{sys.executable} -m mosi_e2e.train --config {place / 'late.yaml'} name=tiny data.workers=2"
    process = start("unshare", "-m", "sh", "-c", f"{mount} && cd {ROOT} && exec {words}")
    printed = process.communicate(timeout=200)[0]
    assert process.returncode == 0 and printed.count("shared memory (/dev/shm") == 1, printed


@pytest.mark.slow
def test_a_long_folder_for_temporary_files_changes_nothing(place, tmp_path, monkeypatch):
    folder = tmp_path / ("x" * (129 - len(str(tmp_path))))
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    words = ("-m", "mosi_e2e.train", "--config", place / "late.yaml", "name=longtmp", "data.workers=2")
    process = start(sys.executable, *words)
    printed = process.communicate(timeout=200)[0]
    assert process.returncode == 0, printed
    assert list(folder.iterdir()) == []
