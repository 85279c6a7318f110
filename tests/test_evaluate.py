"""Scoring a trained model, several, or anyone's predictions."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from kit.launched import TWO_PROCESSES, launch
from kit.made_cache import SPLITS, make_cache
from kit.scored import read_metrics, score_file
from kit.tiny_models import write_recipe

import mosi_e2e.train
from mosi_e2e.data.recipes import describe_difference
from mosi_e2e.evaluate import main
from mosi_e2e.scores.metrics import BINARY_KEYS, REGRESSION_KEYS, score_binary, score_regression
from mosi_e2e.scores.statistics import floors
from preprocessing.cache.store import ClipStore

# The contract of `metrics_<split>.json`.
KEYS = {"mae", "rmse", "r2", "corr", "ccc", "acc7", "acc5", "acc2_has0", "f1_has0", "acc2_non0", "f1_non0"}
N_TEST, N_LABELLED = 9, 8
STREAMS = {
    "late_fusion": ["visual", "acoustic"],
    "crossmodal": ["acoustics", "behaviour", "face", "speech"],
}
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the cache, and runs of each model and task."""
    place = tmp_path_factory.mktemp("place")
    cache = make_cache(place)
    for model in ("late_fusion", "crossmodal"):
        recipe = write_recipe(place / f"{model}.yaml", cache, model, epochs=2)
        assert mosi_e2e.train.main(["--config", str(recipe), f"name={model}"]) == 0
    late = ["--config", str(place / "late_fusion.yaml")]
    assert mosi_e2e.train.main([*late, "name=binary", "task=binary"]) == 0
    return place


@pytest.fixture(params=["late_fusion", "crossmodal"])
def run(request, place):
    return place / "runs" / request.param


def read_table(path):
    return pd.read_csv(path, dtype={"clip_id": str, "video_id": str})


def test_the_files_keep_their_contract(run, capsys):
    assert main([str(run), "--split", "test"]) == 0
    printed = capsys.readouterr().out
    table = read_table(run / "predictions_test.csv")
    assert list(table.columns) == ["clip_id", "video_id", "label", "score", *STREAMS[run.name]]
    assert len(table) == N_TEST and table.clip_id.is_unique and set(table.video_id) == set(SPLITS["test"])
    assert (table.clip_id.str.rsplit("_", n=1).str[0] == table.video_id).all()
    assert np.isfinite(table.drop(columns=["clip_id", "video_id", "label"]).to_numpy()).all()

    metrics = read_metrics(run / "metrics_test.json")
    assert metrics["n"] == N_LABELLED
    assert set(metrics["metrics"]) == KEYS == set(REGRESSION_KEYS) == set(metrics["interval"])
    known = table[table.label.notna()]
    wanted = score_regression(known.label, known.score)
    assert metrics["metrics"] == pytest.approx(wanted, abs=1e-6)
    pairs = [pair for pair in metrics["interval"].values() if pair]
    assert pairs and all(low <= high for low, high in pairs)
    index = read_table(run.parents[1] / "cache" / "index.csv")
    train_label = index[index.split == "train"].label.dropna()
    for name, row in floors(train_label, known.label).items():
        assert metrics["floors"][name] == pytest.approx(row, abs=1e-9)

    assert "SYNTHETIC" in printed and "floor: train_mean" in printed
    assert f"{metrics['metrics']['mae']:.3f}" in printed and f"{N_LABELLED} clips of 3 videos" in printed


def test_unlabelled_clips_are_predicted_and_not_scored(place, capsys):
    run = place / "runs" / "late_fusion"
    assert main([str(run)]) == 0
    assert "1 clips have no label: predicted, not scored" in capsys.readouterr().out
    table = read_table(run / "predictions_test.csv").set_index("clip_id")
    assert np.isnan(table.label["xc_3"]) and np.isfinite(table.score["xc_3"])


def test_a_split_without_labels_is_predicted(place, tmp_path, capsys):
    bare = tmp_path / "bare"
    shutil.copytree(place / "cache", bare)
    index = pd.read_csv(bare / "index.csv", dtype=str, keep_default_na=False)
    index.assign(label="").to_csv(bare / "index.csv", index=False)
    run = place / "runs" / "late_fusion"
    out = tmp_path / "out"
    assert main([str(run), "--cache", str(bare), "--out", str(out)]) == 0
    assert "no clip of split 'test' has a label" in capsys.readouterr().out
    assert len(read_table(out / "predictions_test.csv")) == N_TEST
    assert not (out / "metrics_test.json").exists()


def test_what_was_chosen_is_what_is_scored(run, tmp_path):
    before = (run / "metrics_valid.json").read_text()
    assert main([str(run), "--split", "valid", "--out", str(tmp_path)]) == 0
    assert (run / "metrics_valid.json").read_text() == before
    assert read_metrics(tmp_path / "metrics_valid.json")["metrics"] == json.loads(before)["metrics"]


def test_several_runs_in_one_table(place, capsys):
    runs = [place / "runs" / name for name in ("late_fusion", "crossmodal")]
    assert main([str(run) for run in runs]) == 0
    lines = capsys.readouterr().out.splitlines()
    for run in runs:
        row = next(line for line in lines if line.startswith(f"{run.name} "))
        assert f"{read_metrics(run / 'metrics_test.json')['metrics']['mae']:.3f}" in row.split()[1]
    assert sum(line.startswith("floor: train_mean") for line in lines) == 1


def test_runs_of_one_name_are_told_apart(place, tmp_path, capsys):
    twin = tmp_path / "late_fusion"
    shutil.copytree(place / "runs" / "late_fusion", twin)
    assert main([str(place / "runs" / "late_fusion"), str(twin)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("/late_fusion " in line for line in lines) == 2


def test_a_binary_run(place, capsys):
    run = place / "runs" / "binary"
    assert main([str(run)]) == 0
    table = read_table(run / "predictions_test.csv")
    known = table[table.label.notna()]
    metrics = read_metrics(run / "metrics_test.json")
    assert metrics["metrics"] == pytest.approx(score_binary(known.label, known.score, "drop"), abs=1e-6)
    assert set(metrics["interval"]) == set(BINARY_KEYS) and metrics["task"] == "binary"
    assert table.score.between(0, 1).all() and "floor: train_rate" in capsys.readouterr().out


def test_another_cache_must_have_the_same_columns(place, tmp_path, capsys):
    other = make_cache(tmp_path, backend="openface_csv")
    assert main([str(place / "runs" / "late_fusion"), "--cache", str(other)]) == 2
    assert "behaviour columns" in capsys.readouterr().err


def test_a_cache_of_other_crops_is_said(place, tmp_path, capsys):
    """The crops of the stream that is read; a cache like that of training is no remark."""
    run = str(place / "runs" / "late_fusion")
    assert main([run, "--out", str(tmp_path / "out")]) == 0
    assert "otherwise" not in capsys.readouterr().out
    other = make_cache(tmp_path / "other", size=48)
    meta = json.loads((other / "meta.json").read_text())
    meta["stages"]["behaviour"]["version"] = 1
    (other / "meta.json").write_text(json.dumps(meta))
    assert main([run, "--cache", str(other), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "behaviour was made by version 1, not" in said and "made otherwise" in said
    stages = ClipStore(place / "cache").meta["stages"]
    said = describe_difference(stages, ClipStore(other), ["face"])
    assert "faces.size is 48, trained with 32" in said and said.endswith("faces.size=32")
    assert describe_difference({}, ClipStore(other), ["face"]) == ""
    assert describe_difference(stages, ClipStore(place / "cache"), ["face", "speech"]) == ""


@pytest.mark.slow
def test_two_processes_give_the_same_table(place, tmp_path):
    """Nine clips in batches of four by two processes: fillers are needed, and must not be seen."""
    run = place / "runs" / "crossmodal"
    assert main([str(run), "--out", str(tmp_path / "one")]) == 0
    two = tmp_path / "two"
    launch("mosi_e2e.evaluate", run, "--out", two, options=TWO_PROCESSES)
    one, both = (read_table(folder / "predictions_test.csv") for folder in (tmp_path / "one", two))
    assert both.clip_id.tolist() == one.clip_id.tolist()
    numbers = one.columns[2:]
    np.testing.assert_allclose(both[numbers], one[numbers], atol=1e-5)
    metrics = [read_metrics(folder / "metrics_test.json")["metrics"] for folder in (tmp_path / "one", two)]
    assert metrics[0] == pytest.approx(metrics[1], abs=1e-5)


def test_a_runs_own_predictions_give_the_runs_own_metrics(place, tmp_path):
    run = place / "runs" / "late_fusion"
    assert main([str(run)]) == 0
    metrics = score_file(tmp_path, read_table(run / "predictions_test.csv"))
    for key in ("metrics", "interval"):
        ours = read_metrics(run / "metrics_test.json")[key]
        for name, value in metrics[key].items():
            assert value == pytest.approx(ours[name], abs=1e-5)


def test_errors_say_what_to_type(place, tmp_path, capsys):
    runs = [str(place / "runs" / name) for name in ("late_fusion", "crossmodal")]
    for words, message in (
        ([], "give either a run folder or --predictions"),
        ([runs[0], "--predictions", "x.csv"], "give either"),
        ([str(tmp_path / "none")], "there is no run"),
        (["--predictions", str(tmp_path / "none.csv")], "there is no file"),
        ([*runs, "--out", str(tmp_path)], "leave it out"),
        ([runs[0], "--cache", str(tmp_path)], "holds no finished cache"),
    ):
        assert main(words) == 2
        assert message in capsys.readouterr().err
