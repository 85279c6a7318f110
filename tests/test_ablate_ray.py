"""Runs of an ablation on a Ray cluster: a small one, started on this machine."""

from pathlib import Path

import pandas as pd
import pytest
import yaml
from kit.made_cache import make_cache
from kit.tiny_models import write_recipe

import mosi_e2e.experiments.execute as execute
from mosi_e2e.ablate import main

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'mosi-e2e[ray]'")
pytestmark = pytest.mark.slow


@pytest.fixture
def _cluster(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    ray.init("local", num_cpus=2, log_to_driver=False, include_dashboard=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture
def ablation(tmp_path) -> Path:
    """A variant that trains, and one whose recipe asks for a cache that is not there."""
    write_recipe(tmp_path / "late.yaml", make_cache(tmp_path), "late_fusion", epochs=1)
    content = {
        "base": str(tmp_path / "late.yaml"),
        "out": str(tmp_path / "out"),
        "seeds": [0],
        "executor": "ray",
        "variants": {"good": {}, "bad": {"set": ["data.cache=nowhere"]}},
    }
    path = tmp_path / "ablation.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.usefixtures("_cluster")
def test_runs_go_to_the_cluster_and_a_failed_one_says_why(ablation, capsys):
    assert main(["--config", str(ablation)]) == 1
    said = capsys.readouterr().err
    assert "nowhere holds no finished cache" in said, said
    out = ablation.parent / "out"
    scored = pd.read_csv(out / "good" / "seed0" / "predictions_test.csv")
    assert len(scored) and scored.score.notna().all()
    assert "good" in (out / "table.md").read_text()


@pytest.mark.usefixtures("_cluster")
def test_a_run_that_the_cluster_loses_is_a_failed_run(ablation, monkeypatch, capsys):
    def lose(*_):
        raise OSError("no storage there")

    monkeypatch.setattr(execute, "run_again", lose)
    assert main(["--config", str(ablation)]) != 0
    log = (ablation.parent / "out/good/seed0/train.log").read_text()
    assert log.startswith("the Ray cluster lost the run") and "no storage there" in log


def test_a_cluster_that_does_not_answer_is_told_at_once(ablation, monkeypatch, capsys):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")  # nobody listens there
    assert main(["--config", str(ablation)]) == 2
    assert "no Ray cluster answers at 127.0.0.1:1" in capsys.readouterr().err
