"""A run folder alone says how to repeat it, and whether the result is the same."""

import json
import shutil

import pandas as pd
import pytest
from kit.made_cache import make_cache
from kit.tiny_models import write_recipe

from mosi_e2e.runs.repeat import compare_environments, read_environment
from mosi_e2e.train import main

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def run(tmp_path):
    recipe = write_recipe(tmp_path / "late.yaml", make_cache(tmp_path), "late_fusion", dropout=0.2, epochs=2)
    assert main(["--config", str(recipe), "name=first", "--score", "test"]) == 0
    recipe.unlink()
    return tmp_path / "runs" / "first"


def test_score_scores_the_other_split_too(run):
    assert (run / "metrics_test.json").is_file() and len(pd.read_csv(run / "predictions_test.csv")) == 9


def test_the_same_to_the_bit(run, capsys):
    assert main(["--repeat", str(run)]) == 0
    assert "the same to the bit" in capsys.readouterr().out
    assert (run.parent / "first_repeat" / "metrics_valid.json").is_file()


def test_another_result_is_said_and_what_may_be_the_cause(run, capsys):
    environment = read_environment(run)
    environment["packages"]["torch"] = "1.0"
    environment["cache"]["recipes"]["faces"] = "00000000"
    (run / "environment.json").write_text(json.dumps(environment))
    table = pd.read_csv(run / "predictions_valid.csv")
    table.assign(score=table.score + 0.5).to_csv(run / "predictions_valid.csv", index=False)
    assert main(["--repeat", str(run)]) == 1
    printed = capsys.readouterr().out
    assert "differs: package torch: 1.0 →" in printed and "differs: cache stage faces: 00000000 →" in printed
    assert "NOT the same: 0.5, the largest difference of a valid score" in printed


def test_the_code_is_compared(run):
    environment = read_environment(run)
    other = environment | {"git": {"commit": "0123456789abcdef", "dirty": True}, "cpus": 999}
    lines = compare_environments(environment, other)
    assert any(line.endswith("0123456789 with changes") for line in lines)
    assert f"cpus: {environment['cpus']} → 999" in lines
    longer = environment | {"changed_on_resume": [{"epoch": 2, "optim.epochs": [2, 5]}]}
    assert "its length was changed after 2 epochs: optim.epochs 2 → 5" in (
        compare_environments(longer, environment)
    )
    dirty = environment | {"git": {"commit": "1", "dirty": True}}
    assert "whether in the same way is not known" in compare_environments(dirty, dirty)[0]
    assert compare_environments(environment | {"git": None}, environment | {"git": None}) == []


def test_only_a_finished_run_can_be_repeated(run, capsys):
    (run / "predictions_valid.csv").unlink()
    assert main(["--repeat", str(run)]) == 2
    assert "holds no finished run" in capsys.readouterr().err
    shutil.rmtree(run)
    assert main(["--repeat", str(run)]) == 2
