"""The report: what it shows is what the runs predicted, and nothing that was found is left out in silence."""

import errno
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from kit.made_reports import CLIPS, report
from kit.made_runs import MadeRun, make_clips, write_run

from mosi_e2e.report.__main__ import main
from mosi_e2e.report.boards import group_runs, make_boards
from mosi_e2e.report.clips import Thumbnails, show_clips
from mosi_e2e.report.runs import read_runs
from mosi_e2e.scores.metrics import score_binary, score_regression
from mosi_e2e.scores.statistics import bootstrap_interval, compare_paired, floors


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Both tasks, two seeds of a system, a run without test, one unfinished, one without an epoch."""
    root = tmp_path_factory.mktemp("runs")
    for made in (
        MadeRun("late_seed0"),
        MadeRun("late_seed1", seed=1),
        MadeRun("cross", model="crossmodal", seed=2, skill=0.3),
        MadeRun("binary", task="binary"),
        MadeRun("valid_only", model="crossmodal", seed=3, splits=("valid",), lr=2e-4),
        MadeRun("unfinished", splits=(), epochs=2, lr=3e-4),
        MadeRun("new", splits=(), epochs=0, lr=4e-4),
    ):
        write_run(root, made, CLIPS)
    (root / "notes").mkdir()
    return root


@pytest.fixture(scope="module")
def boards(runs):
    found, _ = read_runs([runs])
    return make_boards(group_runs(found), "test")


@pytest.fixture(scope="module")
def page(runs, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return report(runs, out, "--clips", "2", "--detail", "1"), out


def read(folder, split="test"):
    return pd.read_csv(folder / f"predictions_{split}.csv").sort_values("clip_id")


def test_scores_intervals_and_differences_are_recomputed_from_the_predictions(runs, boards):
    board = boards[0]
    late = next(system for system in board.systems if system.name == "late")
    tables = [read(runs / name) for name in ("late_seed0", "late_seed1")]
    mae = [score_regression(table.label, table.score)["mae"] for table in tables]
    assert late.row["seeds"]["mae"] == pytest.approx(
        {"mean": np.mean(mae), "deviation": np.std(mae, ddof=1), "n": 2}
    )
    first, scores = tables[0], [table.score for table in tables]
    expected = bootstrap_interval(first.label, scores, first.video_id)
    assert late.row["interval"]["corr"] == pytest.approx(expected["corr"])
    cross = next(system for system in board.systems if system.name == "cross")
    other = read(runs / "cross")
    paired = compare_paired(other.label, other.score, scores, other.video_id)["mae"]
    for key in ("difference", "interval", "p_value"):
        assert cross.row["against"]["mae"][key] == pytest.approx(paired[key])
    means = [system.row["seeds"]["mae"]["mean"] for system in (cross, late)]
    assert paired["difference"] == pytest.approx(means[0] - means[1])
    assert board.reference == "late" and late.row["against"] == {}
    known = floors(CLIPS["train"].label, tables[0].label)
    assert board.floors["train_mean"] == pytest.approx(known["train_mean"])


def test_runs_are_grouped_by_settings_task_and_split(boards):
    found = [(b.objective.task, b.split, b.is_fallback, [s.name for s in b.systems]) for b in boards]
    assert found == [
        ("regression", "test", False, ["cross", "late"]),
        ("binary", "test", False, ["binary"]),
        ("regression", "valid", True, ["valid_only"]),
    ]


def test_the_page_shows_the_numbers(runs, page):
    reader, _ = page
    table = read(runs / "cross")
    for value in (
        score_regression(table.label, table.score)["mae"],
        floors(CLIPS["train"].label, table.label)["zero"]["mae"],
    ):
        assert f"{value:.3f}" in reader.text
    table = read(runs / "binary")
    assert f"{score_binary(table.label, table.score)['auc']:.3f}" in reader.text
    pictures = [one["alt"] for one in reader.all("img")]
    expected = {"Prediction against label": 3, "Calibration": 2, "Reliability": 1, "Residuals": 3}
    expected |= {f"Confusion matrix, {size}": 3 if size == 2 else 2 for size in (2, 5, 7)}
    expected |= {"Mean absolute error per video": 3, "MAE of each": 2, "Accuracy of each": 1}
    expected |= {"Paired differences": 1, "Training curves": 5}
    for start, count in expected.items():
        assert sum(alt.startswith(start) for alt in pictures) == count, start
    assert "SYNTHETIC" in reader.text


def test_nothing_is_left_out_in_silence(page):
    text = page[0].text
    for told in (
        "new: not one epoch has ended",
        "unfinished: 2 of at most 40 epochs",
        "valid_only: type python -m mosi_e2e.evaluate",
        "notes: no config.yaml",
        "The recomputed scores are those of the runs' own metrics files, in 5 runs.",
        "no run says where its cache was",
        "No pictures of late",
    ):
        assert told in text, told


def test_markdown_and_figures_say_the_same(runs, page):
    _, out = page
    text = (out / "report.md").read_text()
    table = read(runs / "cross")
    assert f"{score_regression(table.label, table.score)['mae']:.3f} [" in text
    assert "| late: visual alone |" in text and "| floor: train mean |" in text
    assert "| cross: visual alone |" in text
    named = set(re.findall(r"\]\((figures/[^)]+)\)", text))
    assert named == {f"figures/{path.name}" for path in (out / "figures").glob("*.png")}
    assert {path.stem for path in out.glob("figures/*.png")} == {
        path.stem for path in out.glob("figures/*.svg")
    }
    lines = [line for line in text.splitlines() if line.startswith("| setting")]
    assert "late" in lines[0] and "model.name" in text and "0123456789" in text
    assert "\n\n\n" not in text and "SYNTHETIC" in text


def test_metrics_files_that_say_something_else_are_named(runs, tmp_path):
    shutil.copytree(runs / "cross", tmp_path / "runs" / "cross")
    path = tmp_path / "runs" / "cross" / "metrics_test.json"
    content = json.loads(path.read_text())
    content["metrics"]["mae"] -= 0.1
    path.write_text(json.dumps(content))
    page = report(tmp_path / "runs", tmp_path / "out", "--detail", "0")
    assert "Recomputed scores differ" in page.text and "cross: mae is" in page.text


def test_damaged_files_cost_themselves_alone(runs, tmp_path):
    root = tmp_path / "runs"
    for name in ("late_seed0", "cross", "binary"):
        shutil.copytree(runs / name, root / name)
    table = pd.read_csv(root / "cross" / "predictions_test.csv")
    table.loc[3, "score"] = np.nan
    table.to_csv(root / "cross" / "predictions_test.csv", index=False)
    (root / "binary" / "predictions_test.csv").write_text("clip_id,score\na,1\n")
    (root / "binary" / "environment.json").write_text("{")
    (root / "late_seed0" / "history.csv").write_text("")
    (root / "broken").mkdir()
    (root / "broken" / "config.yaml").write_text("task: [")
    text = report(root, tmp_path / "out", "--detail", "0").text
    for told in (
        "cross: predictions_test.csv is not shown",
        "binary: predictions_test.csv has no column video_id, label",
        "binary: environment.json is damaged",
        "late_seed0: history.csv cannot be read",
        "broken: config.yaml cannot be read",
    ):
        assert told in text, told


def test_the_worst_clips_are_those_with_the_largest_errors(boards):
    board = boards[0]
    sights = show_clips(board, board.systems, 3, Thumbnails())
    tables = [system.clips.set_index("clip_id") for system in board.systems]
    error = sum((table.score - table.truth).abs() for table in tables) / len(tables)
    assert [one.clip_id for one in sights["worst"]] == error.nlargest(3).index.tolist()
    assert [one.clip_id for one in sights["best"]] == error.nsmallest(3).index.tolist()
    first = sights["worst"][0]
    assert [mark.text for mark in first.marks] == [f"{t.score[first.clip_id]:+.2f}" for t in tables]


def test_errors_say_what_to_type(runs, tmp_path, capsys):
    (tmp_path / "empty" / "inside").mkdir(parents=True)
    for words, told in (
        ([str(tmp_path / "nothing")], "is none; type the folder of runs"),
        ([str(tmp_path / "empty")], "no run in"),
        ([str(runs / "cross" / "best")], "a run is a folder with a config.yaml"),
        ([str(runs), "--reference", "nobody"], "--reference is one of"),
        ([str(runs), "--detail", "-1"], "--detail 4"),
    ):
        assert main([*words, "--out", str(tmp_path / "out")]) == 2
        error = capsys.readouterr().err
        assert told in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_one_line_and_costs_nothing(tmp_path, capsys, monkeypatch):
    runs = write_run(tmp_path / "runs", MadeRun("late"), make_clips(3, 4))
    (tmp_path / "file").write_text("")
    words = [str(runs), "--detail", "0", "--clips", "0", "--out"]
    for place in (tmp_path / "file" / "out", tmp_path / "file"):
        assert main([*words, str(place)]) == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.startswith(f"error: {tmp_path / 'file'}") and "name another place" in last

    def refuse(path, content):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("mosi_e2e.report.gallery.write_atomic", refuse)
        assert main([*words, str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error and error.splitlines()[-1].startswith("error: ")
    assert main([*words, str(tmp_path / "out")]) == 0


def test_a_file_that_drawing_misses_is_a_defect_and_not_the_place_of_the_report(tmp_path, monkeypatch):
    def miss(*_):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "font.ttf")

    runs = write_run(tmp_path / "runs", MadeRun("late"), make_clips(3, 4))
    monkeypatch.setattr("mosi_e2e.report.write.make_report", miss)
    with pytest.raises(FileNotFoundError, match=r"font\.ttf"):
        main([str(runs), "--out", str(tmp_path / "out")])


@pytest.mark.slow
def test_the_same_runs_give_the_same_report(runs, tmp_path):
    for name in ("a", "b"):
        report(runs / "binary", tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) > 12
    for path in files:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes(), path
