"""The search for hyper-parameters: on valid alone, and going on where it was."""

import sys

import pandas as pd
import pytest
import yaml
from kit.made_cache import make_cache
from kit.tiny_models import write_recipe

import mosi_e2e.train
from mosi_e2e.config import RunConfig
from mosi_e2e.experiments import trials
from mosi_e2e.experiments.search_space import RangeConfig, propose
from mosi_e2e.search import main
from preprocessing.errors import UserError
from preprocessing.settings import load_config

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def trained(monkeypatch):
    """Commands of trials, which run in this process: half a minute less per test."""
    seen = []

    def train_here(words, log, extra):
        seen.append(words)
        log.parent.mkdir(parents=True, exist_ok=True)
        return mosi_e2e.train.main(words[words.index("mosi_e2e.train") + 1 :])

    monkeypatch.setattr(trials, "run_command", train_here)
    return seen


@pytest.fixture
def place(tmp_path):
    pytest.importorskip("optuna", reason="needs Optuna: pip install 'mosi_e2e[search]'")
    recipe = write_recipe(tmp_path / "late.yaml", make_cache(tmp_path), "late_fusion", epochs=2)
    content = {
        "base": str(recipe),
        "out": str(tmp_path / "out"),
        "trials": 3,
        "space": {
            "optim.lr": {"low": 1e-5, "high": 1e-1, "log": True},
            "model.late_fusion.width": {"choices": [8, 16]},
        },
    }
    (tmp_path / "search.yaml").write_text(yaml.safe_dump(content))
    return tmp_path


def run(place, *words):
    return main(["--config", str(place / "search.yaml"), *words])


@pytest.mark.slow
def test_the_best_on_valid_becomes_a_recipe_and_test_is_not_looked_at(place, trained, capsys):
    assert run(place) == 0
    table = pd.read_csv(place / "out" / "trials.csv")
    best = table.loc[table.value.idxmin()]
    recipe = load_config(RunConfig, place / "out" / "best.yaml")
    assert recipe.optim.lr == best["params_optim.lr"]
    assert recipe.model.late_fusion.width == best["params_model.late_fusion.width"]
    assert f"{best.value:.4f} on valid" in capsys.readouterr().out
    assert not list((place / "out").rglob("*_test.*")) and not any("--score" in words for words in trained)
    assert run(place, "trials=5") == 0
    assert len(trained) == 5 and len(pd.read_csv(place / "out" / "trials.csv")) == 5


@pytest.mark.slow
def test_a_trial_that_fails_is_not_the_best(place, trained, capsys):
    content = yaml.safe_load((place / "search.yaml").read_text())
    content["space"]["optim.lr"] = {"choices": [1e30, 0.01]}
    (place / "search.yaml").write_text(yaml.safe_dump(content))
    assert run(place, "set=[optim.clip=0,optim.warmup=0]") == 0
    table = pd.read_csv(place / "out" / "trials.csv")
    assert set(table.state) <= {"COMPLETE", "PRUNED"}
    best = load_config(RunConfig, place / "out" / "best.yaml")
    assert best.optim.lr == 0.01


@pytest.mark.parametrize(
    ("words", "message"),
    [(["space={}"], "needs a space"), (["set=[optim.epoch=3]"], "did you mean 'optim.epochs'")],
)
def test_mistakes_are_said(place, trained, capsys, words, message):
    if words == ["space={}"]:
        content = yaml.safe_load((place / "search.yaml").read_text())
        (place / "search.yaml").write_text(yaml.safe_dump({k: v for k, v in content.items() if k != "space"}))
        words = []
    assert run(place, *words) == 2
    assert message in capsys.readouterr().err and trained == []


def test_a_range_needs_bounds_or_choices():
    with pytest.raises(UserError, match=r"space\.a needs low and high"):
        propose(None, "a", RangeConfig(low=1.0))


def test_without_optuna_it_says_what_to_type(place, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert run(place) == 2
    assert "pip install 'mosi_e2e[search]'" in capsys.readouterr().err
