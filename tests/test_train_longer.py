"""A run that has ended is trained for more epochs."""

import json

import pandas as pd
import pytest
import torch
from kit.made_cache import make_cache
from kit.tiny_models import write_recipe

from mosi_e2e.config import RunConfig
from mosi_e2e.train import main
from preprocessing.settings import load_config

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("place")
    write_recipe(place / "late.yaml", make_cache(place), "late_fusion", dropout=0.3, epochs=2)
    return place


def train(place, name, *words, status=0):
    assert main(["--config", str(place / "late.yaml"), f"name={name}", *words]) == status
    return place / "runs" / name


@pytest.mark.parametrize("schedule", ["cosine", "plateau", "constant"])
def test_a_finished_run_is_trained_longer(place, schedule, capsys):
    """From where it ended on, it has the rates of the longer run."""
    words = (f"optim.schedule={schedule}", "optim.warmup=0.5", "stopping.patience=50", "optim.patience=50")
    run = train(place, f"long_{schedule}", *words)
    first = pd.read_csv(run / "history.csv")
    train(place, run.name, *words, "--resume", "optim.epochs=5")
    assert "resumed at epoch 2, update 0" in capsys.readouterr().out
    history = pd.read_csv(run / "history.csv")
    assert history.epoch.tolist() == list(range(5))
    pd.testing.assert_frame_equal(history[:2], first, check_exact=True)
    assert load_config(RunConfig, run / "config.yaml").optim.epochs == 5
    changes = json.loads((run / "environment.json").read_text())["changed_on_resume"]
    assert changes == [{"epoch": 2, "optim.epochs": [2, 5]}]
    if schedule != "cosine":  # warmed up, and no higher than that
        assert history.lr[2:].tolist() == pytest.approx([5e-3] * 3)
        return
    ends = []  # a warm-up of 4 updates, then half a cosine over the other 16 of 20
    for epoch in range(2, 5):
        share = (4 * (epoch + 1) - 4) / 16
        ends.append(5e-3 * (0.01 + 0.99 * 0.5 * (1 + torch.cos(torch.tensor(share * torch.pi)).item())))
    assert history.lr[2:].tolist() == pytest.approx(ends, rel=1e-4)


def test_a_run_that_stopped_early_says_how_to_train_it_longer(place, capsys):
    words = ("optim.lr=0", "stopping.patience=1")
    run = train(place, "early", *words, "optim.epochs=8")
    assert len(pd.read_csv(run / "history.csv")) == 2
    train(place, "early", *words, "optim.epochs=9", "--resume")
    assert "early stopping ended this run after 2 epochs; to train it longer type --resume with " in (
        printed := capsys.readouterr().out
    )
    assert "stopping.patience above 1" in printed
    train(place, "early", words[0], "stopping.patience=3", "optim.epochs=9", "--resume")
    assert len(pd.read_csv(run / "history.csv")) == 4
