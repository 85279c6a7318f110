"""What a run continues from: nothing in it can run code, and what is damaged is reported in one line."""

import errno
import json
import os
import pickle
import shutil
import subprocess
import zlib

import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from kit.made_cache import make_cache
from kit.tiny_models import write_recipe
from safetensors.torch import load_file, save_file

from mosi_e2e import evaluate
from mosi_e2e.config import RunConfig
from mosi_e2e.runs import resume
from mosi_e2e.runs.assemble import build_trainer
from mosi_e2e.runs.ending import explain_end
from mosi_e2e.runs.resume import describe_file, load_resume
from mosi_e2e.runs.runlog import hold_run
from mosi_e2e.train import main
from preprocessing.cache.packed import open_store
from preprocessing.errors import UserError
from preprocessing.settings import load_config

pytestmark = pytest.mark.usefixtures("one_thread")

EMA = "optim.ema=0.8"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("place")
    write_recipe(place / "late.yaml", make_cache(place), "late_fusion", dropout=0.3, epochs=2)
    return place


def train(place, name, *words, status=0):
    assert main(["--config", str(place / "late.yaml"), f"name={name}", *words]) == status
    return place / "runs" / name


@pytest.fixture(scope="module")
def whole(place):
    return train(place, "whole", EMA)


@pytest.fixture(scope="module")
def trainer(place, whole):
    """What a state is loaded into."""
    config = load_config(RunConfig, whole / "config.yaml")
    return build_trainer(config, open_store(config.data.cache, "cache"), Accelerator())[1]


@pytest.fixture
def last(whole, tmp_path):
    """The state, to be damaged."""
    return shutil.copytree(whole / "last", tmp_path / "run" / "last")


def refuse(trainer, last):
    """The one line about a state that must not be continued from."""
    with pytest.raises(UserError) as error:
        load_resume(trainer, last)
    assert "\n" not in str(error.value) and len(str(error.value)) < 1000
    return str(error.value)


def refuse_command(place, run, capsys, *words):
    """The one line that a command prints which must not change the run."""
    capsys.readouterr()
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    train(place, run.name, EMA, *words, "--resume", status=2)
    printed = capsys.readouterr().err
    assert printed.startswith("error: ") and printed.count("\n") == 1
    assert all(path.read_bytes() == data for path, data in before.items())
    return printed


def rewrite(last, change):
    """Change `state.json` as someone would who keeps its checksum right."""
    state = json.loads((last / "state.json").read_text())["state"]
    change(state)
    text = json.dumps(state)
    (last / "state.json").write_text(json.dumps({"crc32": zlib.crc32(text.encode()), "state": state}))


def exchange(last, name, tensors):
    """Replace a file's tensors, with the right size and checksum in `state.json`."""
    save_file(tensors, last / name)
    rewrite(last, lambda state: state["files"].update({name: describe_file(last / name)}))


class Bomb:
    """What runs code once it is unpickled."""

    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return os.mkdir, (self.target,)


def test_a_state_is_json_and_safetensors(whole):
    assert {path.suffix for path in (whole / "last").iterdir()} == {".json", ".safetensors"}


def test_pickles_of_a_former_version_are_not_read(trainer, last, tmp_path):
    shutil.rmtree(last)
    last.mkdir()
    for name in ("custom_checkpoint_0.pkl", "optimizer.bin", "random_states_0.pkl", "pytorch_model.bin"):
        (last / name).write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    said = refuse(trainer, last)
    assert "was stored by a former version as pickles" in said and "name=NAME" in said
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["optimizer.safetensors", "weights.safetensors", "state.json"])
def test_a_pickle_under_another_name_is_not_read(trainer, last, tmp_path, name):
    torch.save(Bomb(tmp_path / "ran"), last / name)
    assert "is damaged" in refuse(trainer, last)
    assert not (tmp_path / "ran").exists()


FILES = ("state.json", "weights.safetensors", "optimizer.safetensors", "average.safetensors")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_a_cut_one_and_a_flipped_bit(trainer, last, name):
    path = last / name
    data = path.read_bytes()
    path.unlink()
    assert f"{name} is missing" in refuse(trainer, last)
    path.write_bytes(data[: len(data) // 2])
    assert "is damaged" in refuse(trainer, last)
    flipped = bytearray(data)
    flipped[len(data) * 2 // 3] ^= 1
    path.write_bytes(flipped)
    assert "is damaged" in refuse(trainer, last)
    path.write_bytes(data)
    load_resume(trainer, last)


@pytest.mark.parametrize(
    "garbage", [b"", b"{", b"[" * 100_000, b"null", b"{}", b'{"crc32": 0, "state": {}}', b"\xff\xfe\x00"]
)
def test_garbage_for_the_state(trainer, last, garbage):
    (last / "state.json").write_bytes(garbage)
    assert "is damaged (state.json" in refuse(trainer, last)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state["progress"].update(epoch=-1),
        lambda state: state["progress"].update(history="none"),
        lambda state: state.pop("schedule"),
        lambda state: state["schedule"].update(updates="many"),
        lambda state: state["progress"]["history"][0].update(train_loss="x"),
        lambda state: state["progress"]["history"].reverse(),
        lambda state: state["schedule"].update(updates=10**30),
        lambda state: state["stopping"].update(best=[]),
        lambda state: state["stopping"].update(waited=-1),
        lambda state: state["groups"][0].update(lr=-1.0),
        lambda state: state["groups"].reverse(),
        lambda state: state["groups"][0].update(params=[]),
        lambda state: state["generators"][0].update(torch="00"),
        lambda state: state["generators"][0].update(python=[3, [1], None]),
        lambda state: state["stopping"].pop("waited"),
        lambda state: state.update(files=[]),
    ],
)
def test_a_state_that_does_not_fit_is_refused(trainer, last, change):
    rewrite(last, change)
    assert "is damaged" in refuse(trainer, last)


@pytest.mark.parametrize("name", FILES[1:])
def test_wrong_shapes_and_values_that_are_not_finite(trainer, last, name):
    tensors = load_file(last / name)
    key = next(key for key, value in tensors.items() if value.ndim > 1)
    exchange(last, name, tensors | {key: tensors[key][:1].clone()})
    assert f"belongs to another model (first difference: {key} is [1, " in refuse(trainer, last)
    tensors[key][0, 0] = float("nan")
    exchange(last, name, tensors)
    assert f"values that are not finite (first: {key})" in refuse(trainer, last)


def test_a_count_of_updates_that_no_run_has_done_is_refused(trainer, last):
    tensors = load_file(last / "optimizer.safetensors")
    key = next(key for key in tensors if key.endswith("/step"))
    exchange(last, "optimizer.safetensors", tensors | {key: torch.tensor(-1e30)})
    assert "is damaged (ValueError: a count of updates is -" in refuse(trainer, last)


def test_what_the_settings_say_of_the_optimizer_is_not_taken_from_the_state(trainer, last):
    rewrite(last, lambda state: state["groups"][0].update(betas="x", weight_decay=7))
    before = trainer.optimizer.param_groups[0]["weight_decay"]
    load_resume(trainer, last)
    group = trainer.optimizer.param_groups[0]
    assert group["weight_decay"] == before != 7 and group["betas"] == (0.9, 0.999)


def test_the_state_of_another_model(place, trainer):
    other = train(place, "wide", EMA, "model.late_fusion.width=8", "optim.epochs=1")
    assert "belongs to another model (first difference: " in refuse(trainer, other / "last")


def test_a_damaged_state_ends_the_command_in_one_line_and_changes_nothing(place, whole, capsys):
    kept = whole / "kept"
    (whole / "last").rename(kept)
    assert "last is missing, the state to continue from" in refuse_command(place, whole, capsys)
    (whole / "last").mkdir()
    assert "last is damaged (state.json is missing)" in refuse_command(place, whole, capsys)
    (whole / "last").rmdir()
    kept.rename(whole / "last")
    assert "has 2 epochs already, not 1" in refuse_command(place, whole, capsys, "optim.epochs=1")
    with hold_run(whole):
        assert f"the run {whole} is being written by another run (process {os.getpid()} on " in (
            refuse_command(place, whole, capsys)
        )
        assert evaluate.main([str(whole)]) == 2
        assert "is being written by another run" in capsys.readouterr().err
        assert evaluate.main([str(whole), "--out", str(place / "elsewhere")]) == 0


def test_another_format_says_so(trainer, last):
    rewrite(last, lambda state: state.update(format=99))
    assert "has state format 99, this program reads 1" in refuse(trainer, last)


def test_a_sharded_optimizer_is_stored_and_restored_alike(trainer, whole, monkeypatch):
    """The functions that gather and deal shards, with the one process that there is."""
    load_resume(trainer, whole / "last")
    wanted, groups = resume.collect_optimizer(trainer)
    assert wanted.keys() == load_file(whole / "last" / "optimizer.safetensors").keys()
    monkeypatch.setattr(Accelerator, "distributed_type", DistributedType.FSDP)
    found, others = resume.collect_optimizer(trainer)
    assert groups == others and all(torch.equal(found[name], wanted[name]) for name in wanted)
    resume.restore_optimizer(trainer, {name: value * 2 for name, value in wanted.items()}, groups)
    found, _ = resume.collect_optimizer(trainer)
    assert all(torch.equal(found[name], wanted[name] * 2) for name in wanted)


def test_one_run_folder_takes_one_training(place, whole, capsys):
    new = place / "runs" / "new"
    with hold_run(new):
        train(place, "new", status=2)
        printed = capsys.readouterr().err
        assert "is being written by another run" in printed and printed.count("\n") == 1
    assert not new.exists()  # nothing was made in it
    assert not [path for path in whole.iterdir() if path.name.startswith(".")]


@pytest.fixture
def small_disk(tmp_path):
    """A file system with room for a few of a run's files."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_ends_the_run_in_one_line_and_it_continues_with_room(place, small_disk, capfd):
    words = ["--config", str(place / "late.yaml"), "name=full", f"out={small_disk}"]
    assert main(words) == 2
    last = capfd.readouterr().err.replace("\r", "\n").strip().splitlines()[-1]
    assert last.startswith("error: ") and "No space left on device" in last and "--resume" in last
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    assert main([*words, "--resume"]) == 0
    assert "Traceback" not in capfd.readouterr().err
    assert (small_disk / "full" / "metrics_valid.json").is_file()


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_disk_that_cannot_be_written_is_one_line(tmp_path, error):
    with (
        pytest.raises(UserError, match=r"cannot be written to: .* MB left\. What was stored is kept"),
        explain_end(RunConfig(), tmp_path / "x"),
    ):
        raise OSError(error, os.strerror(error))


def test_a_forgotten_config_is_reported(tmp_path, capsys):
    assert main([f"data.cache={tmp_path}", f"out={tmp_path}"]) == 2
    printed = capsys.readouterr().err.splitlines()
    assert printed[0].startswith(
        f"note: without --config the default settings are used ({RunConfig().model.name}"
    )
    assert len(printed) == 2 and printed[1].startswith("error: ")
