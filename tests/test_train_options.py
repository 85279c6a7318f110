"""What a run can be asked for beside the ordinary: averages, buckets, other losses, stops in mid-epoch."""

import json
import os
import shutil
import signal
import sys
import time

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from accelerate import Accelerator
from kit.compared_runs import assert_equal_to_the_bit
from kit.launched import ACCELERATE, free_port, one_thread_on_the_processor, start
from kit.made_cache import make_cache
from kit.tiny_models import write_recipe
from safetensors.torch import load_file

import mosi_e2e.engine.loop
from mosi_e2e.config import DataConfig, RunConfig
from mosi_e2e.engine.watch import LossWatch, StopRequest
from mosi_e2e.runs import training
from mosi_e2e.runs.out_of_memory import explain_memory
from mosi_e2e.runs.resume import find_resume, save_resume
from mosi_e2e.train import main
from preprocessing.errors import UserError

ALL = [
    "loss.ccc=0.3",
    "loss.ordinal=0.2",
    "optim.ema=0.8",
    "data.bucket=true",
    "model.late_fusion.bound=3",
]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("place")
    cache = make_cache(place)
    write_recipe(place / "late.yaml", cache, "late_fusion", dropout=0.3, epochs=3)
    write_recipe(place / "cross.yaml", cache, "crossmodal", epochs=1)
    return place


def train(place, name, *words, recipe="late", status=0):
    assert main(["--config", str(place / f"{recipe}.yaml"), f"name={name}", *words]) == status
    return place / "runs" / name


@pytest.fixture(scope="module")
def whole(place):
    """Uninterrupted, with every option that a run goes on with."""
    return train(place, "whole", *ALL)


def read(run):
    history = pd.read_csv(run / "history.csv").drop(columns=["seconds", "clips_per_s"])
    return history, load_file(run / "best" / "model.safetensors"), pd.read_csv(run / "predictions_valid.csv")


def test_sigterm_in_mid_epoch_stores_the_state_and_leaves(place, whole, monkeypatch, capsys):
    steps = []
    step = mosi_e2e.engine.loop.train_step

    def asked_to_stop(trainer, batch, is_last):
        steps.append(batch["clip_id"])
        if len(steps) == 6:  # of four updates per epoch: the second of the second epoch
            os.kill(os.getpid(), signal.SIGTERM)
        return step(trainer, batch, is_last)

    monkeypatch.setattr(mosi_e2e.engine.loop, "train_step", asked_to_stop)
    before = signal.getsignal(signal.SIGTERM)
    stopped = train(place, "stopped", *ALL, status=143)
    assert "stopped by SIGTERM before update 2 of epoch 1" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGTERM) is before and len(steps) == 6
    train(place, "stopped", *ALL, "--resume")
    assert "resumed at epoch 1, update 2" in capsys.readouterr().out and len(steps) == 12
    assert_equal_to_the_bit(whole, stopped)


KILL_ITSELF = """
import os, signal, sys
import mosi_e2e.engine.loop as loop
from mosi_e2e.train import main
step, steps = loop.train_step, []
def kill(trainer, batch, is_last):
    steps.append(batch["clip_id"])
    if len(steps) == 7:  # of four updates per epoch: the third of the second epoch
        os.kill(os.getpid(), signal.SIGKILL)
    return step(trainer, batch, is_last)
loop.train_step = kill
main(sys.argv[1:])
"""


def test_kill_9_in_mid_epoch_changes_not_a_bit(place, capsys):
    drop = ("model.crossmodal.fusion.dropout=0.2", "model.crossmodal.head_dropout=0.2", "optim.epochs=2")
    unharmed = train(place, "unharmed", *drop, recipe="cross")
    words = ("--config", place / "cross.yaml", "name=killed", *drop, "save_every=1")
    killed = start(sys.executable, "-c", KILL_ITSELF, *words)
    printed = killed.communicate(timeout=240)[0]
    assert killed.returncode == -signal.SIGKILL, printed
    train(place, "killed", *drop, "save_every=1", "--resume", recipe="cross")
    assert "resumed at epoch 1, update 2" in capsys.readouterr().out
    assert_equal_to_the_bit(unharmed, place / "runs" / "killed")


def test_a_run_that_dies_in_mid_epoch_goes_on_there(place, whole, monkeypatch, capsys):
    saved = []

    def die(trainer, folder):
        save_resume(trainer, folder)
        saved.append(folder)
        if len(saved) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "save_resume", die)
    train(place, "died", *ALL, "save_every=3", status=130)
    train(place, "died", *ALL, "save_every=3", "--resume")
    assert "resumed at epoch 1, update 0" in capsys.readouterr().out
    assert len(saved) == 2 + 2 * 2  # each epoch once in its middle and once after it
    assert_equal_to_the_bit(whole, place / "runs" / "died")


@pytest.mark.slow
def test_two_machines_train_the_same_model(place, whole):
    """Two launchers that find each other by address, as on two hosts; only the summing order differs."""
    words = ("--config", place / "late.yaml", "name=machines", "model.late_fusion.dropout=0", *ALL)
    alone = train(place, "machine", "model.late_fusion.dropout=0", *ALL)
    address = ("--main_process_ip", "127.0.0.1", "--main_process_port", free_port())
    options = ("--multi_gpu", "--num_machines", 2, "--num_processes", 2, *address)
    started = [
        start(ACCELERATE, "launch", *options, "--machine_rank", rank, "-m", "mosi_e2e.train", *words)
        for rank in range(2)
    ]
    printed = [process.communicate(timeout=240)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0], printed
    assert "on 2 process(es)" in printed[0]
    (one, _, scores), (two, _, again) = read(alone), read(place / "runs" / "machines")
    columns = ["train_loss", "valid_loss", "valid_mae"]
    np.testing.assert_allclose(two[columns], one[columns], atol=1e-4)
    assert again.clip_id.tolist() == scores.clip_id.tolist()
    np.testing.assert_allclose(again.score, scores.score, atol=1e-4)


def test_the_average_is_what_is_kept(place, whole):
    plain = train(place, "plain", *[word for word in ALL if "ema" not in word])
    kept, last = (load_file(run / "best" / "model.safetensors") for run in (whole, plain))
    assert kept.keys() == last.keys()
    assert not torch.equal(kept["head.0.weight"], last["head.0.weight"])
    assert read(whole)[0].train_loss.tolist() == read(plain)[0].train_loss.tolist()  # it only looks on


@pytest.mark.parametrize(
    ("recipe", "model", "streams"),
    [
        ("late", "late_fusion", ["visual", "acoustic"]),
        ("cross", "crossmodal", ["face", "speech", "behaviour", "acoustics"]),
    ],
)
def test_scores_stay_within_the_bound(place, recipe, model, streams):
    words = (f"model.{model}.bound=0.5", "optim.lr=0.05", "optim.epochs=1")
    scores = read(train(place, f"bound_{recipe}", *words, recipe=recipe))[2]
    assert scores[["score", *streams]].abs().max().max() <= 0.5
    scores = read(train(place, f"free_{recipe}", *words[1:], recipe=recipe))[2]
    assert scores.score.abs().max() > 0.5  # it had to be held


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["loss.ccc=1", "data.micro_batch=2"], "type data.micro_batch=0"),
        (["loss.ordinal=1", "task=binary"], "type loss.ccc=0 loss.ordinal=0"),
        (["model.late_fusion.bound=3", "task=binary"], "type model.late_fusion.bound=0"),
        (["optim.ema=1"], "optim.ema is at least 0 and below 1"),
        (["trackers=[mlflow]"], "trackers is one of tensorboard, wandb"),
    ],
)
def test_what_does_not_go_together_is_refused(place, capsys, words, message):
    train(place, "refused", *words, status=2)
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_tracker_that_is_not_installed_says_how_to_install_it(place, capsys, monkeypatch):
    monkeypatch.setattr(training, "is_wandb_available", lambda: False)
    train(place, "tracked", "trackers=[tensorboard,wandb]", status=2)
    assert "pip install wandb" in capsys.readouterr().err


def test_too_little_memory_says_what_to_lower(place, capsys, monkeypatch):
    def exhaust(trainer, batch, is_last):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(mosi_e2e.engine.loop, "train_step", exhaust)
    train(place, "memory", status=2)
    error = capsys.readouterr().err
    assert "out of memory: type data.micro_batch=3" in error and "gradient_checkpointing" not in error
    train(place, "memory_cross", "model.crossmodal.speech.freeze=frozen", recipe="cross", status=2)
    error = capsys.readouterr().err
    assert "face.gradient_checkpointing=true" in error and "speech.gradient" not in error


def test_memory_advice_names_only_what_can_be_lowered():
    config = RunConfig(data=DataConfig(batch_size=16, micro_batch=8, eval_batch=1, max_seconds=0))
    assert "data.micro_batch=4 " in explain_memory(config, 2, "runs/x")
    advice = explain_memory(config, 16, "runs/x")  # one clip for each process
    assert "micro_batch" not in advice and "eval_batch" not in advice and "data.max_seconds=15" in advice


def test_a_run_goes_on_with_less_memory(place, capsys):
    """With other micro-batches and recomputed activations, but with nothing that changes the result."""
    first, lower = "optim.epochs=2", ("data.micro_batch=2", "data.eval_batch=1", "data.workers=1")
    checkpointing = "model.crossmodal.speech.gradient_checkpointing=true"
    whole = train(place, "roomy", first, recipe="cross")
    narrow = shutil.copytree(whole, place / "runs" / "narrow")
    text = (narrow / "config.yaml").read_text().replace("name: roomy", "name: narrow")
    (narrow / "config.yaml").write_text(text)
    train(place, "narrow", first, *lower, checkpointing, "--resume", recipe="cross")
    assert "resumed at epoch 2" in capsys.readouterr().out
    train(place, "narrow", first, "data.batch_size=3", "--resume", recipe="cross", status=2)
    assert "resume with the same settings" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells of a parent's end on Linux alone")
def test_a_launcher_that_is_ended_ends_its_training_which_stores_its_state(place):
    run = place / "runs" / "ended"
    words = ("-m", "mosi_e2e.train", "--config", place / "late.yaml", "name=ended", "optim.epochs=500")
    launcher = start(ACCELERATE, "launch", *words, "stopping.patience=500")
    deadline = time.monotonic() + 120
    while not (run / "history.csv").is_file():
        assert launcher.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    (training,) = psutil.Process(launcher.pid).children()
    launcher.terminate()
    assert launcher.wait(30) != 0
    psutil.wait_procs([training], timeout=30)
    assert not training.is_running()
    assert "stopped by SIGTERM" in launcher.stdout.read()
    assert find_resume(run / "last") is not None


def test_losses_are_read_in_their_order():
    watch = LossWatch()
    for number in range(3):
        watch.put(torch.tensor(float(number)), [f"clip_{number}"])
    assert watch.mean == pytest.approx(0.95 * 0.05 + 0.05 * 2)
    with pytest.raises(UserError, match="became nan in the batch of the clips a_1, b_2: training diverged"):
        watch.put(torch.tensor(float("nan")), ["a_1", "b_2"])


def test_nobody_asked_to_stop():
    stop = StopRequest()
    with stop.listen():
        assert not stop.agreed(Accelerator(), 0)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.agreed(Accelerator(), 1)


@pytest.mark.slow
@pytest.mark.timeout(900)  # compiling takes minutes on a busy machine
def test_a_compiled_model_learns_the_same(place):
    drop = ("model.crossmodal.fusion.dropout=0.2", "model.crossmodal.head_dropout=0.2")
    one, two = (
        train(place, f"compile_{on}", f"compile={on}", *drop, recipe="cross") for on in ("false", "true")
    )
    (history, weights, scores), (other, others, again) = read(one), read(two)
    np.testing.assert_allclose(other.train_loss, history.train_loss, atol=1e-3)
    np.testing.assert_allclose(again.score, scores.score, atol=1e-2)
    assert weights.keys() == others.keys()


@pytest.mark.parametrize("average", ["0", "0.8"])
def test_in_half_precision_the_best_epoch_is_the_one_that_is_reported(place, monkeypatch, average):
    with one_thread_on_the_processor():  # a state of its own
        monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
        run = train(place, f"half_{average}", f"optim.ema={average}", "optim.epochs=2", recipe="cross")
    assert json.loads((run / "environment.json").read_text())["mixed_precision"] == "bf16"
    best = pd.read_csv(run / "history.csv").valid_mae.min()
    reported = json.loads((run / "metrics_valid.json").read_text())["metrics"]["mae"]
    assert reported == pytest.approx(best, abs=1e-6)
    scores = pd.read_csv(run / "predictions_valid.csv").score.to_numpy()
    assert (scores != torch.tensor(scores).bfloat16().double().numpy()).any()  # heads are not rounded


def test_matrices_are_multiplied_as_asked_while_a_run_trains(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(training, "run", lambda *args: seen.append(torch.get_float32_matmul_precision()))
    for number, more in enumerate(([], ["matmul=medium"])):
        assert main([f"out={tmp_path}", f"name=r{number}", *more]) == 0
    assert seen == ["highest", "medium"] and torch.get_float32_matmul_precision() == "highest"
    assert main([f"out={tmp_path}", "matmul=low"]) == 2
