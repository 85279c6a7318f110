"""Training runs of seconds: what they write, that they repeat, how they are interrupted and spread."""

import itertools
import json
import os
import re
import shutil
import signal
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
from kit.compared_runs import UNSTEADY, assert_alike, assert_equal_to_the_bit, read_history, read_predictions
from kit.launched import (
    CONFIG_FILE,
    launch,
    start,
)
from kit.made_cache import SPLITS, make_cache
from kit.tiny_models import write_recipe

from mosi_e2e.config import RunConfig
from mosi_e2e.runs import training
from mosi_e2e.runs.resume import save_resume
from mosi_e2e.scores.metrics import BINARY_KEYS, REGRESSION_KEYS
from mosi_e2e.train import main
from preprocessing.settings import load_config
from preprocessing.untrusted.names import file_name

EPOCHS = 4


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the cache, recipes with (`late`, `cross`) and without dropout (`calm`), and the runs."""
    place = tmp_path_factory.mktemp("place")
    cache = make_cache(place)
    write_recipe(place / "late.yaml", cache, "late_fusion", dropout=0.3, epochs=EPOCHS)
    write_recipe(place / "cross.yaml", cache, "crossmodal", dropout=0.1, epochs=3)
    write_recipe(place / "calm.yaml", cache, "late_fusion", epochs=2)
    return place


def train(place, recipe, name, *words):
    """Run to the end in this process; returns the run's folder."""
    assert main(["--config", str(place / f"{recipe}.yaml"), f"name={name}", *words]) == 0
    return place / "runs" / name


@pytest.fixture(scope="module")
def whole(place):
    return train(place, "late", "whole")


@pytest.fixture(scope="module")
def calm(place):
    return train(place, "calm", "calm")


def test_a_run_writes_what_it_promises(place, whole):
    written = load_config(RunConfig, whole / "config.yaml")
    assert written == load_config(RunConfig, place / "late.yaml", ["name=whole"])
    environment = json.loads((whole / "environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__.split("+")[0]
    assert environment["processes"] == 1 and environment["mixed_precision"] == "no"
    assert environment["cache"]["synthetic"] and set(environment["cache"]["recipes"]) > {"faces", "waveform"}
    history = pd.read_csv(whole / "history.csv")
    assert history.epoch.tolist() == list(range(EPOCHS))
    assert {"lr", "train_loss", "valid_loss", "valid_mae", *UNSTEADY} <= set(history.columns)
    assert (whole / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert list((whole / "tensorboard").rglob("events*"))
    assert (whole / "best" / "model.safetensors").is_file() and (whole / "last").is_dir()
    assert not list(whole.glob("*.tmp")) and not list(whole.glob("last.*"))


def test_the_best_epoch_is_the_one_that_is_scored(whole):
    metrics = json.loads((whole / "metrics_valid.json").read_text())
    history = read_history(whole)
    assert metrics["metrics"]["mae"] == pytest.approx(history.valid_mae.min(), abs=1e-6)
    assert set(REGRESSION_KEYS) == set(metrics["metrics"])
    table = read_predictions(whole)
    assert table.clip_id.is_unique and set(table.video_id) == set(SPLITS["valid"]) and len(table) == 7
    assert list(table.columns) == ["clip_id", "video_id", "label", "score", "visual", "acoustic"]
    assert (table.label - table.score).abs().mean() == pytest.approx(metrics["metrics"]["mae"], abs=1e-6)


def test_it_learns(whole):
    history = read_history(whole)
    assert history.train_loss.iloc[-1] < 0.8 * history.train_loss.iloc[0]
    floor = json.loads((whole / "metrics_valid.json").read_text())["floors"]["train_mean"]["mae"]
    assert history.valid_mae.min() < 0.8 * floor


def test_the_rate_rises_and_falls(whole):
    rate = read_history(whole).lr
    assert 0 < rate.iloc[-1] < 1e-3 < rate.max() <= 5e-3


def test_training_and_validation_loss_are_one_quantity(place):
    """With neither dropout nor augmentation nor learning, and the same clips in both splits."""
    twin = shutil.copytree(place / "cache", place / "twin")
    index = pd.read_csv(twin / "index.csv", dtype=str, keep_default_na=False)
    train_clips = index[index.split == "train"]
    copies = train_clips.assign(split="valid", clip_id="copy_" + train_clips.clip_id, video_id="copy")
    for clip, folder in itertools.product(train_clips.clip_id, (twin / "clips").iterdir()):
        names = (f"{file_name(one)}.safetensors" for one in (clip, f"copy_{clip}"))
        shutil.copy(*(folder / name for name in names))
    pd.concat([train_clips, copies]).to_csv(twin / "index.csv", index=False)
    still = ["augment.enabled=false", "optim.lr=0", "optim.encoder_lr=0", "optim.epochs=1"]
    run = train(
        place, "calm", "still", *still, f"data.cache={twin}", "data.batch_size=23", "loss.auxiliary=0.5"
    )
    history = read_history(run)
    assert history.train_loss[0] == pytest.approx(history.valid_loss[0], rel=1e-5)
    assert history.valid_loss[0] > history.valid_mae[0]  # the streams' own losses are in both


@pytest.mark.slow
def test_same_seed_same_run_to_the_bit(place, whole):
    assert_equal_to_the_bit(whole, train(place, "late", "again"))
    other = train(place, "late", "other", "seed=1")
    assert not np.allclose(read_predictions(whole).score, read_predictions(other).score, atol=1e-3)


@pytest.mark.slow
def test_what_is_drawn_elsewhere_changes_nothing(place, whole, monkeypatch):
    def draw_and_save(trainer, folder):
        save_resume(trainer, folder)
        torch.rand(3)

    monkeypatch.setattr(training, "save_resume", draw_and_save)
    assert_equal_to_the_bit(whole, train(place, "late", "drawn"))


def test_micro_batches_and_workers_change_nothing(place, calm):
    assert_alike(calm, train(place, "calm", "micro", "data.micro_batch=4", "data.workers=1"))


@pytest.mark.slow
def test_an_interrupted_run_goes_on_as_if_nothing_had_been(place, monkeypatch):
    """The first epoch stays the best one, the rate is still rising: what was before must be remembered."""
    settings = ["optim.schedule=plateau", "optim.patience=0", "optim.warmup=0.5", "stopping.min_delta=10"]
    wanted = train(place, "cross", "uninterrupted", *settings)
    words = ["--config", str(place / "cross.yaml"), "name=interrupted", *settings]
    saved = []

    def interrupt(trainer, folder):
        save_resume(trainer, folder)
        saved.append(folder)
        if len(saved) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "save_resume", interrupt)
    assert main(words) == 130
    assert len(read_history(place / "runs" / "interrupted")) == 1
    assert main([*words, "--resume"]) == 0
    assert len(saved) == 3
    assert_equal_to_the_bit(wanted, place / "runs" / "interrupted")


def test_a_finished_run_can_be_resumed_and_stays_what_it_was(place, whole):
    before = read_history(whole), read_predictions(whole)
    assert main(["--config", str(place / "late.yaml"), "name=whole", "--resume"]) == 0
    pd.testing.assert_frame_equal(read_history(whole), before[0])
    pd.testing.assert_frame_equal(read_predictions(whole), before[1])


@pytest.mark.parametrize(("every_s", "drawings"), [(1000, 1), (0, 2)])
def test_it_stops_early(place, monkeypatch, every_s, drawings):
    """Its curves are drawn after the last epoch, and after those before it where they are long."""
    lengths, write = [], training.write_curves
    monkeypatch.setattr(training, "CURVES_EVERY_S", every_s)
    monkeypatch.setattr(training, "write_curves", lambda *all: lengths.append(len(all[1])) or write(*all))
    run = train(place, "late", f"early_{drawings}", "optim.lr=0", "stopping.patience=1")
    assert lengths == [1, 2][-drawings:] and (run / "curves.png").is_file()
    assert len(read_history(run)) == 2
    best = read_history(run).valid_mae.idxmin()
    assert best == 0


@pytest.mark.parametrize("zero_label", ["drop", "positive"])
def test_the_binary_task(place, zero_label):
    run = train(place, "late", f"binary_{zero_label}", "task=binary", f"zero_label={zero_label}")
    scores = json.loads((run / "metrics_valid.json").read_text())
    table = read_predictions(run)
    assert table.score.between(0, 1).all() and len(table) == 7
    zeros = int((table.label == 0).sum())
    assert zeros >= 1
    assert scores["metrics"]["n"] == 7 - (zeros if zero_label == "drop" else 0)
    assert set(BINARY_KEYS) <= set(scores["metrics"]) and "train_rate" in scores["floors"]
    assert read_history(run).valid_nll.min() == pytest.approx(scores["metrics"]["nll"], abs=1e-6)


def explain(capsys, *words):
    """The one line that a command which must not work prints."""
    assert main([str(word) for word in words]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and error[0].startswith("error: ")
    return error[0]


def test_errors_say_what_to_type(place, whole, capsys):
    late = ("--config", place / "late.yaml")
    assert "add --resume" in explain(capsys, *late, "name=whole")
    assert "leave out --resume" in explain(capsys, *late, "name=nobody", "--resume")
    other = explain(capsys, *late, "name=whole", "--resume", "optim.lr=0.1")
    assert "was run with 'lr: 0.005', not 'lr: 0.1'" in other
    assert "did you mean 'optim.epochs'" in explain(capsys, *late, "optim.epoch=3", "name=x")
    missing = explain(capsys, *late, "name=x", "data.cache=nowhere")
    assert "nowhere holds no finished cache" in missing and "python -m preprocessing" in missing
    assert "is not there" in explain(capsys, "--config", place / "none.yaml")
    assert "model.name is one of" in explain(capsys, *late, "name=x", "model.name=mult")
    assert "task is one of" in explain(capsys, *late, "name=x", "task=ordinal")
    assert not (place / "runs" / "x" / "config.yaml").exists()


def test_a_diverged_run_says_so(place, capsys):
    words = [
        "name=diverged",
        "optim.lr=1e30",
        "optim.clip=0",
        "optim.warmup=0",
        "model.late_fusion.dropout=0",
    ]
    assert main(["--config", str(place / "late.yaml"), *words]) == 2
    error = capsys.readouterr().err
    assert "training diverged; look at these clips, or type a smaller optim.lr" in error
    named = set(re.search(r"batch of the clips (.*?):", error).group(1).split(", "))
    index = pd.read_csv(place / "cache" / "index.csv", dtype=str, keep_default_na=False)
    assert len(named) == 6 and named <= set(index[index.split == "train"].clip_id)


def test_a_binary_task_needs_clips_that_count(place, capsys):
    index = place / "cache" / "index.csv"
    whole = index.read_text()
    table = pd.read_csv(index, dtype=str, keep_default_na=False)
    table.loc[table.split == "valid", "label"] = "0"
    try:
        table.to_csv(index, index=False)
        late = ("--config", place / "late.yaml")
        message = explain(capsys, *late, "name=zeros", "task=binary")
    finally:
        index.write_text(whole)
    assert "all clips of split 'valid' have the label 0; type zero_label=positive" in message


@pytest.mark.slow
def test_a_killed_run_is_resumed_by_the_launcher(place, whole):
    """With the config file for GPUs, which without one means one process in full precision."""
    words = ("--config", place / "late.yaml", "name=killed", "save_every=1")  # in mid-epoch too
    killed = place / "runs" / "killed"
    process = start(sys.executable, "-m", "mosi_e2e.train", *words)
    deadline = time.monotonic() + 120
    while not ((killed / "history.csv").is_file() and len(read_history(killed)) > 1):  # one state is stored
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert len(read_history(killed)) < EPOCHS and not (killed / "metrics_valid.json").exists()
    printed = launch("mosi_e2e.train", *words, "--resume", options=CONFIG_FILE)
    assert "on 1 process(es)" in printed and "resumed at epoch" in printed and "SYNTHETIC" in printed
    assert_equal_to_the_bit(whole, killed)
