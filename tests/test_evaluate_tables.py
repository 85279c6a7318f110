"""`python -m mosi_e2e.evaluate --predictions`: tables of any program, scored."""

import os

import numpy as np
import pandas as pd
import pytest
from kit.scored import read_metrics, score_file

from mosi_e2e.evaluate import main
from mosi_e2e.scores.metrics import score_binary, score_regression
from mosi_e2e.scores.statistics import floors

PREDICTED = pd.DataFrame(
    {"video_id": list("aabbcc"), "label": [1, -1, 2, 0, -2, 0.5], "score": [1, 0, 1, 1, -1, 2.0]}
)


def test_anyones_predictions_can_be_scored(tmp_path, capsys):
    metrics = score_file(tmp_path, PREDICTED)
    assert metrics["metrics"] == score_regression(PREDICTED.label, PREDICTED.score)
    assert (metrics["n"], metrics["videos"]) == (6, 3)
    assert metrics["floors"].keys() == {"zero", "always_negative"}  # the others need a train split
    printed = capsys.readouterr().out
    assert "mine" in printed and "SYNTHETIC" not in printed


def test_the_train_split_gives_all_floors(tmp_path):
    train = pd.DataFrame({"label": [1.0, 2.0, 0.0, np.nan]})
    train.to_csv(tmp_path / "train.csv", index=False)
    metrics = score_file(tmp_path, PREDICTED, "--train-labels", str(tmp_path / "train.csv"))
    wanted = floors(train.label.dropna(), PREDICTED.label)
    assert metrics["floors"].keys() == wanted.keys()
    assert metrics["floors"]["train_mean"]["mae"] == pytest.approx(wanted["train_mean"]["mae"])


@pytest.mark.parametrize("separator", ["\t", ";"])
def test_other_separators_are_read(tmp_path, separator):
    metrics = score_file(tmp_path, PREDICTED, sep=separator)
    assert metrics["metrics"] == score_regression(PREDICTED.label, PREDICTED.score)


def test_without_videos_each_clip_is_its_own(tmp_path):
    assert score_file(tmp_path, PREDICTED[["label", "score"]])["videos"] == 6


def test_rows_without_a_label_are_left_out(tmp_path, capsys):
    table = pd.concat([PREDICTED, pd.DataFrame({"video_id": ["d"], "label": [np.nan], "score": [0.3]})])
    assert score_file(tmp_path, table)["metrics"] == score_regression(PREDICTED.label, PREDICTED.score)
    assert "1 rows have no label: not scored" in capsys.readouterr().out


def test_probabilities_of_others(tmp_path):
    table = PREDICTED.assign(score=[0.9, 0.2, 0.6, 0.5, 0.4, 0.3])
    metrics = score_file(tmp_path, table, "--task", "binary")
    assert metrics["metrics"] == score_binary(table.label, table.score, "drop")


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        ("label,points\n1,2\n", (), "needs the columns label, score and has no column score among 'label', "),
        ("label\n1\n", (), "needs the columns label, score"),
        ("", (), "is empty: a table with the columns label, score needs a header and rows"),
        ("label,score\n1,2\n1,much\n", (), "row 3: score 'much' is not a number"),
        ("label,score\n1,2\n1,\n", (), "row 3: score '' is not a number"),
        ("label,score\n1,inf\n", (), "row 2: score 'inf' is not a number"),
        ("label,score\n,1\n", (), "has a label"),
        ("label,score\n1,1.5\n", ("--task", "binary"), "row 2: score '1.5' is not a probability in [0, 1]"),
        ("label,score\n1,0.5,\n0,0.1,2\n", (), "row 3: it has 3 cells and needs 2"),
        ('label,score\n1,"0.5\n0,0.1\n', (), "is malformed near line"),
        ("video_id,label,score\n,1,0.5\n", (), "row 2: video_id is blank"),
        (
            "label,score\n1,2\n1,x\n1,y\n-,0\n",
            (),
            "row 3: score 'x' is not a number (such as -0.8) (and 1 more",
        ),
        ("label,score\n1,1.5\n", ("--train-labels", "nowhere.csv"), "there is no file nowhere.csv"),
        ("label,score\n1e999,1\n", (), "row 2: label '1e999' is beyond 1e+06"),
        ("label,score\n1,-1e308\n1,1e308\n", (), "row 2: score '-1e308' is beyond 1e+06"),
        ("label,score\n0,0.5\n", ("--task", "binary"), "is 0, which is neither class"),
        (f"label,score,{'x' * 140_000}\n1,2,3\n", (), "shorten that cell"),
    ],
)
def test_tables_that_cannot_be_scored(tmp_path, capsys, content, words, message):
    path = tmp_path / "mine.csv"
    path.write_text(content)
    assert main(["--predictions", str(path), *words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_train_labels_without_a_label_are_one_line(tmp_path, capsys):
    mine, train = tmp_path / "mine.csv", tmp_path / "train.csv"
    mine.write_text("label,score\n1,0.5\n")
    train.write_text("label,x\n,1\nNA,2\n")
    assert main(["--predictions", str(mine), "--train-labels", str(train)]) == 2
    assert capsys.readouterr().err == "error: no row of train.csv has a label; fill in the column label\n"


def test_a_place_that_is_no_file_is_one_line_and_stays(tmp_path, capsys):
    mine, pipe = tmp_path / "mine.csv", tmp_path / "pipe"
    mine.write_text("label,score\n1,0.5\n")
    os.mkfifo(pipe)  # as root, renaming would replace /dev/stdout
    for out, told in (
        (tmp_path, "a folder or a device"),
        (pipe, "a folder or a device"),
        (mine / "x", "cannot be written"),
    ):
        assert main(["--predictions", str(mine), "--out", str(out)]) == 2
        error = capsys.readouterr().err
        assert told in error and error.count("\n") == 1
    assert pipe.is_fifo() and mine.read_text() == "label,score\n1,0.5\n"


@pytest.mark.parametrize("end", ["", ",", ",,"])
def test_a_comma_at_the_end_of_rows_moves_no_column(tmp_path, end):
    path, out = tmp_path / "mine.csv", tmp_path / "metrics.json"
    path.write_text(
        "video_id,label,score\n"
        + "".join(f"{v},{n},{n / 2}{end}\n" for v, n in zip("abc", (1, -2, 2), strict=True))
    )
    assert main(["--predictions", str(path), "--out", str(out)]) == 0
    assert read_metrics(out)["metrics"]["mae"] == pytest.approx(2.5 / 3)


@pytest.mark.parametrize(
    ("head", "mark", "decimal", "encoding"),
    [
        ("", ";", ",", "utf-8-sig"),
        ("sep=;\r\n", ";", ",", "utf-8"),
        ("", "\t", ",", "utf-16"),
        ("", ",", ".", "utf-16"),
    ],
)
def test_tables_as_spreadsheets_save_them(tmp_path, head, mark, decimal, encoding):
    rows = [("NA", 0.8, 0.5), ("Müller", -1.5, -0.4), ("null", 2.0, 0.3)]
    lines = [mark.join((v, *(str(n).replace(".", decimal) for n in numbers))) for v, *numbers in rows]
    path, out = tmp_path / "mine.csv", tmp_path / "metrics.json"
    path.write_bytes((head + "\r\n".join((f"video_id{mark}label{mark}score", *lines))).encode(encoding))
    assert main(["--predictions", str(path), "--out", str(out)]) == 0
    found = read_metrics(out)
    assert found["videos"] == 3
    assert found["metrics"]["mae"] == pytest.approx((0.3 + 1.1 + 1.7) / 3)


def test_a_comma_that_may_mean_two_things_is_refused(tmp_path, capsys):
    path = tmp_path / "mine.csv"
    path.write_text("label;score\n1.5;1,234\n0.5;1.5\n")
    assert main(["--predictions", str(path)]) == 2
    assert "row 2: score '1,234' is not a number" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("labels", "scores", "remark"),
    [
        ((-100, 80), (-90, 70), "labels run from -100 to 80, but sentiment lies in [-3, 3]"),
        ((-3, 3), (-40, 30), "scores run from -40 to 30"),
        ((0, 1), (0.2, 0.9), "no label is negative"),
    ],
)
def test_scales_that_are_hardly_sentiment_are_reported(tmp_path, capsys, labels, scores, remark):
    score_file(tmp_path, pd.DataFrame({"label": labels, "score": scores}))
    assert f"note: {remark}" in capsys.readouterr().out
    score_file(tmp_path, PREDICTED)
    assert "note:" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("trailing", 0),
        ("trailing4", 0),
        ("na_id", 0),
        ("cp1252", 2),
        ("ragged", 2),
    ],
)
def test_tables_that_broke_the_product(shared, tmp_path, capsys, name, status):
    path = shared / "data" / "faults" / "predictions" / f"{name}.csv"
    out = tmp_path / "metrics.json"
    assert main(["--predictions", str(path), "--out", str(out)]) == status
    assert capsys.readouterr().err.count("\n") == (1 if status else 0)
    if name.startswith("trailing"):
        assert read_metrics(out)["metrics"]["mae"] == pytest.approx(1 / 3, abs=1e-3)
