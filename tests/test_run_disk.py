"""A training on a disk that is full or read-only: one line at each file, and the same command continues."""

import errno
import itertools
import json
import os
import re
import threading
from pathlib import Path

import pandas as pd
import pytest
import torch
from accelerate import Accelerator
from kit.made_cache import make_cache
from kit.tiny_models import write_recipe
from safetensors import SafetensorError
from safetensors.torch import load_file
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.summary.writer.record_writer import RecordWriter

from mosi_e2e import tensors
from mosi_e2e.config import RunConfig
from mosi_e2e.runs.ending import explain_end
from mosi_e2e.runs.runlog import open_run, record_length, write_start
from mosi_e2e.train import main
from preprocessing.cache.store import ClipStore
from preprocessing.errors import UserError
from preprocessing.settings import load_config

pytestmark = pytest.mark.usefixtures("one_thread")

ONCE = (
    *("environment.json", "config.yaml", "predictions_valid.csv", "metrics_valid.json", "calibration.json"),
    "curves.png",  # epochs of a second share one
)
PER_EPOCH = (
    *("best/config.yaml", "best/facts.json", "best/model.safetensors", "history.csv"),
    *("last.new", "last.new/weights.safetensors", "last.new/optimizer.safetensors", "last.new/state.json"),
    "tensorboard",
)
BESIDE = re.compile(r"\.(.+?)(\.[0-9a-f]{8})?\.tmp")  # what a file is called while it is written
CASES = [(name, 1, errno.ENOSPC) for name in (*ONCE, *PER_EPOCH)]
CASES += [(name, 2, errno.EROFS) for name in PER_EPOCH] + [("config.yaml", 1, errno.EROFS)]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("place")
    cache = make_cache(place)
    meta = json.loads((cache / "meta.json").read_text())  # no calibration.json is written of synthetic clips
    (cache / "meta.json").write_text(json.dumps(meta | {"synthetic": False}))
    write_recipe(place / "late.yaml", cache, "late_fusion", dropout=0.3, epochs=2)
    return place


@pytest.fixture(scope="module")
def whole(place):
    """What nothing disturbed."""
    assert main(["--config", str(place / "late.yaml"), "name=whole"]) == 0
    return place / "runs" / "whole"


def fill_disk(patch, wanted: Path, nth: int, number: int) -> None:
    """Let the `nth` write of a file or folder fail, and all that come after it."""
    calls, text = itertools.count(1), os.strerror(number)

    def check(path: Path, error: Exception) -> None:
        beside = BESIDE.fullmatch(path.name)
        whole = path.with_name(beside.group(1)) if beside else path
        if whole == wanted and next(calls) >= nth:
            raise error

    full, tensors_full = OSError(number, text), SafetensorError(f"I/O error: {text} (os error {number})")
    write, save, make, record = Path.write_bytes, tensors.save_file, Path.mkdir, RecordWriter.write
    patch.setattr(Path, "write_bytes", lambda self, data: check(self, full) or write(self, data))
    patch.setattr(Path, "mkdir", lambda self, *a, **k: check(self, full) or make(self, *a, **k))
    patch.setattr(tensors, "save_file", lambda data, path: check(path, tensors_full) or save(data, path))
    events = wanted if wanted.name == "tensorboard" else Path()
    patch.setattr(RecordWriter, "write", lambda self, data: check(events, full) or record(self, data))


def list_files(run: Path) -> set[str]:
    """Names of a run's files, but for TensorBoard's, each start of which has one."""
    return {
        str(path.relative_to(run))
        for path in run.rglob("*")
        if "tensorboard" not in path.relative_to(run).parts
    }


@pytest.mark.slow  # each case is two trainings
@pytest.mark.parametrize(("name", "nth", "number"), CASES)
def test_each_file_of_a_run_that_cannot_be_written(place, whole, monkeypatch, capfd, name, nth, number):
    run = place / "runs" / f"{name.replace('/', '_')}_{nth}_{number}"
    words = ["--config", str(place / "late.yaml"), f"name={run.name}"]
    capfd.readouterr()
    with monkeypatch.context() as patch:
        fill_disk(patch, run / name, nth, number)
        assert main(words) == 2
    printed = capfd.readouterr().err.replace("\r", "\n").strip()
    last = printed.splitlines()[-1]
    assert printed.count("error: ") == 1 and "Traceback" not in printed
    assert last.startswith("error: ") and f"cannot be written to: {os.strerror(number)}" in last
    assert main([*words, *(["--resume"] if last.endswith("--resume") else [])]) == 0
    assert list_files(run) == list_files(whole)
    histories = [
        pd.read_csv(one / "history.csv").drop(columns=["seconds", "clips_per_s"]) for one in (run, whole)
    ]
    pd.testing.assert_frame_equal(*histories, check_exact=True)
    first, second = (load_file(one / "best" / "model.safetensors") for one in (run, whole))
    assert all(torch.equal(first[key], second[key]) for key in second)


def test_a_run_that_found_no_room_to_start_is_started_by_the_same_command(place, monkeypatch):
    """The file that makes a folder a run comes last: nothing is missing in a run that can be resumed."""
    run, config = place / "runs" / "new", load_config(RunConfig, place / "late.yaml")
    store = ClipStore(place / "cache")
    for name in ("environment.json", "config.yaml"):
        with monkeypatch.context() as patch:
            fill_disk(patch, run / name, 1, errno.ENOSPC)
            with pytest.raises(UserError, match="type the same command again"), explain_end(config, run):
                write_start(run, config, store, Accelerator())
        open_run(run, config, resume=False)
    write_start(run, config, store, Accelerator())
    assert list_files(run) == {"config.yaml", "environment.json"}


def test_a_full_disk_between_two_notes_of_a_longer_run(place, monkeypatch):
    run, config = place / "runs" / "longer", load_config(RunConfig, place / "late.yaml")
    write_start(run, config, ClipStore(place / "cache"), Accelerator())
    longer = load_config(RunConfig, place / "late.yaml", ["optim.epochs=5"])
    with monkeypatch.context() as patch:
        fill_disk(patch, run / "config.yaml", 1, errno.ENOSPC)
        with pytest.raises(OSError, match="No space"):
            record_length(run, longer, 2)
    record_length(run, longer, 2)
    noted = json.loads((run / "environment.json").read_text())["changed_on_resume"]
    assert noted == [{"epoch": 2, "optim.epochs": [2, 5]}]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_tensorboard_alone_on_a_full_disk_is_no_traceback(tmp_path, monkeypatch, capfd, number):
    """Its files are written by a thread, which would print one of its own."""
    fill_disk(monkeypatch, tmp_path / "tensorboard", 1, number)
    before = set(threading.enumerate())
    with pytest.raises(UserError, match=os.strerror(number)), explain_end(RunConfig(), tmp_path):
        EventFileWriter(str(tmp_path / "tensorboard"))
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
    assert capfd.readouterr().err == ""


def test_any_other_error_of_a_thread_is_printed(tmp_path, capfd):
    with explain_end(RunConfig(), tmp_path):
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join(10)
    assert "ZeroDivisionError" in capfd.readouterr().err
