"""Ablations: what is run, what is skipped and retried, and that the table is recomputed from predictions."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from kit.made_cache import make_cache
from kit.tiny_models import write_recipe

import mosi_e2e.experiments.execute as execute
import mosi_e2e.train
from mosi_e2e.ablate import main
from mosi_e2e.experiments.ablation import AblationConfig, list_runs
from mosi_e2e.experiments.formats import to_latex, to_markdown
from mosi_e2e.experiments.table import read_run, summarise
from mosi_e2e.scores.metrics import score_regression
from mosi_e2e.scores.statistics import compare_paired
from preprocessing.errors import UserError
from preprocessing.settings import load_config

pytestmark = pytest.mark.usefixtures("one_thread")


def train_here(words, log, extra):
    """The command of a run without a new process: half a minute less per test."""
    log.parent.mkdir(parents=True, exist_ok=True)
    started.append(log.parent)
    return mosi_e2e.train.main(words[words.index("mosi_e2e.train") + 1 :])


NAMES = ["both", "visual", "cross"]  # the variants
started = []


@pytest.fixture
def here(monkeypatch):
    started.clear()
    monkeypatch.setattr(execute, "run_command", train_here)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("place")
    cache = make_cache(place)
    write_recipe(place / "late.yaml", cache, "late_fusion", epochs=2)
    write_recipe(place / "cross.yaml", cache, "crossmodal", epochs=1)
    content = {
        "base": str(place / "late.yaml"),
        "out": str(place / "out"),
        "seeds": [0, 1],
        "reference": "both",
        "variants": {
            "both": {},
            "visual": {"set": ["model.late_fusion.streams=[behaviour]"]},
            "cross": {"base": str(place / "cross.yaml")},
        },
    }
    (place / "ablation.yaml").write_text(yaml.safe_dump(content))
    return place


def run(place, *words):
    return main(["--config", str(place / "ablation.yaml"), *words])


@pytest.fixture(scope="module")
def halves(place):
    """What each of three commands trained: two machines with a seed each share the folder, then the table."""
    trained = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execute, "run_command", train_here)
        for words in ("seeds=[0]", "seeds=[1]", "--table"):
            started.clear()
            assert run(place, words) == 0
            trained.append(list(started))
    return trained


@pytest.fixture(scope="module")
def finished(place, halves):
    return place / "out"


def read(folder):
    return json.loads((folder / "table.json").read_text())


def test_machines_that_share_the_folder_take_different_seeds(halves, finished):
    first, second = ([finished / name / seed for name in NAMES] for seed in ("seed0", "seed1"))
    assert halves == [first, second, []]
    assert [row["seeds"]["mae"]["n"] for row in read(finished)["rows"]] == [2, 2, 2]


def test_every_number_comes_from_the_predictions(finished):
    summary = read(finished)
    assert [row["variant"] for row in summary["rows"]] == NAMES
    tables = {
        name: [pd.read_csv(finished / name / f"seed{seed}" / "predictions_test.csv") for seed in (0, 1)]
        for name in ("both", "visual")
    }
    known = {name: [t[t.label.notna()].sort_values("clip_id") for t in both] for name, both in tables.items()}
    mae = [score_regression(t.label, t.score)["mae"] for t in known["visual"]]
    row = summary["rows"][1]
    assert row["seeds"]["mae"] == pytest.approx(
        {"mean": np.mean(mae), "deviation": np.std(mae, ddof=1), "n": 2}, abs=1e-9
    )
    low, high = row["interval"]["mae"]
    assert low < np.mean(mae) < high
    ours, theirs = ([table.score for table in known[name]] for name in ("visual", "both"))
    first = known["visual"][0]
    expected = compare_paired(first.label, ours, theirs, first.video_id)["mae"]
    for key in ("difference", "interval", "p_value"):
        assert row["against"]["mae"][key] == pytest.approx(expected[key], abs=1e-9)
    # So few test videos allow no p-value that says anything: it is withheld, and the table says why.
    assert row["p_holm"] is None and row["p_smallest"] == min(1, 2 * expected["smallest_p"])
    assert summary["rows"][0]["against"] == {} and summary["rows"][0]["p_smallest"] is None
    assert "No p-values: with" in (finished / "table.md").read_text()
    assert summary["floors"]["train_mean"]["mae"] > 0 and summary["synthetic"]


def test_a_video_may_be_called_na(tmp_path):
    (tmp_path / "predictions_test.csv").write_text(
        "clip_id,video_id,label,score\nNA_1,NA,0.5,1\nnull_1,null,,0.2\nb_1,b,-1,0\n"
    )
    table = read_run(SimpleNamespace(pool=tmp_path), "test")
    assert table.video_id.tolist() == ["NA", "b"] and table.label.tolist() == [0.5, -1]
    (tmp_path / "predictions_test.csv").write_text("")
    with pytest.raises(UserError, match=r"predictions_test\.csv cannot be read"):
        read_run(SimpleNamespace(pool=tmp_path), "test")


def test_the_table_is_written_in_every_form(finished):
    texts = {kind: (finished / f"table.{kind}").read_text() for kind in ("csv", "md", "html", "tex")}
    mean = f"{read(finished)['rows'][2]['seeds']['mae']['mean']:.3f}"
    for kind, text in texts.items():
        assert mean in text and "visual" in text, kind
        assert ("train" in text and "SYNTHETIC" in text) or kind == "csv"
    assert texts["tex"].count(r"\\") == 1 + 3 + len(read(finished)["floors"])
    lines = [line for line in texts["md"].splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1


@pytest.mark.slow
def test_what_is_finished_is_skipped_and_what_is_not_goes_on(place, finished, here, capsys):
    before = (finished / "table.json").read_bytes()
    assert run(place) == 0 and started == []
    (finished / "visual" / "seed1" / "predictions_test.csv").unlink()
    assert run(place) == 0
    assert started == [finished / "visual" / "seed1"]
    assert (finished / "table.json").read_bytes() == before
    assert "6 runs, 5 of them finished before" in capsys.readouterr().out


@pytest.mark.slow
def test_another_seed_is_only_that_seed(place, finished, here):
    assert run(place, "seeds=[0,1,2]", "variants.cross.set=[optim.epochs=1]") == 0
    assert started == [finished / name / "seed2" for name in NAMES]


@pytest.mark.slow
def test_a_run_that_fails_does_not_stop_the_others(place, here, capsys):
    broken = ["variants.visual.set=[optim.lr=1e30,optim.clip=0,optim.warmup=0]", f"out={place / 'broken'}"]
    assert run(place, *broken, "seeds=[0]") == 1
    assert len(started) == 3
    printed = capsys.readouterr()
    assert "visual/seed0 (exit status 2)" in printed.err and "Not finished: visual." in printed.out
    started.clear()
    assert run(place, *broken, "seeds=[0]") == 1
    assert started == [place / "broken" / "visual" / "seed0"]  # failed ones are tried again, others not


def test_other_settings_in_a_finished_folder_are_refused(place, finished, here, capsys):
    assert run(place, "set=[optim.lr=0.1]") == 2
    assert "holds a run with other settings" in capsys.readouterr().err and started == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["reference=nobody"], "reference is one of both, visual, cross"),
        (["seeds=[]"], "needs variants, seeds"),
        (["set=[optim.epoch=3]"], "did you mean 'optim.epochs'"),
    ],
)
def test_mistakes_are_found_before_the_first_run(place, here, capsys, words, message):
    assert run(place, *words) == 2
    assert message in capsys.readouterr().err and started == []


def test_a_table_of_nothing_says_so(place, capsys):
    assert run(place, "--table", f"out={place / 'nothing'}") == 2
    assert "no run in" in capsys.readouterr().err


def test_runs_at_once_take_different_gpus(place, monkeypatch):
    config = load_config(AblationConfig, place / "ablation.yaml", [f"out={place / 'gpus'}", "parallel=2"])
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    taken = []
    monkeypatch.setattr(execute, "run_command", lambda words, log, extra: taken.append(extra) or 0)
    assert execute.execute(list_runs(config), config) == []
    assert len(taken) == 6 and {one["CUDA_VISIBLE_DEVICES"] for one in taken} <= {"0", "1"}


def test_a_run_is_a_process_with_its_log(tmp_path):
    log = tmp_path / "run" / "train.log"
    assert execute.run_command(["sh", "-c", 'echo "$SEEN"; exit 3'], log, {"SEEN": "one\nlast"}) == 3
    assert execute.last_line(log) == "last"
    assert execute.last_line(tmp_path / "none.log") == "it printed nothing"


def test_special_characters_survive(finished):
    table = pd.DataFrame([{"variant": "a|b_c", "x": "1 ± 2 %"}])
    assert "a\\|b_c" in to_markdown(table)
    assert r"a|b\_c & 1 $\pm$ 2 \%" in to_latex(table, [])


def test_clips_must_be_the_same(finished, place):
    config = load_config(AblationConfig, place / "ablation.yaml")
    path = finished / "cross" / "seed0" / "predictions_test.csv"
    whole = path.read_text()
    try:
        header, _, *others = whole.splitlines()
        path.write_text("\n".join([header, *others]) + "\n")
        with pytest.raises(UserError, match="scored different clips or labels"):
            summarise(list_runs(config), config)
    finally:
        path.write_text(whole)
