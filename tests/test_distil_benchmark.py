"""The benchmark in which a small text encoder learns from a large one: what becomes of the labels."""

import pandas as pd
import pytest
from kit.tiny_text import write_sentences
from kit.typed_commands import load_module


@pytest.fixture(scope="module")
def distil():
    return load_module("benchmarks/distil.py")


def write_teacher(folder, table, scores):
    """A run of each kind and of each of `scores`, which has scored every train clip with it."""
    clips = table[table["mode"] == "train"]
    for kind in ("given", "mosei"):
        for number, score in enumerate(scores):
            place = folder / f"{kind}_{number}" / "scores" / "train"
            place.mkdir(parents=True)
            (folder / f"{kind}_{number}" / "metrics_valid.json").touch()
            rows = pd.DataFrame({"clip_id": clips.video_id + "_" + clips.clip_id.astype(str)})
            rows.assign(score=score).to_csv(place / "predictions_train.csv", index=False)


def test_train_labels_are_mixed_with_the_mean_score_and_others_stay(distil, tmp_path):
    labels = write_sentences(tmp_path / "labels.csv")
    table = pd.read_csv(labels)
    write_teacher(tmp_path / "teacher", table, [1.0, 5.0])  # mean 3, the most there is
    typed = ["--teacher", str(tmp_path / "teacher"), "--labels", str(labels), "--mosei", str(labels)]
    assert distil.main([*typed, "--share", "0.25", "--out", str(tmp_path / "taught")]) == 0
    taught = pd.read_csv(tmp_path / "taught" / "labels.csv")
    train = table["mode"] == "train"
    assert taught.label[train].to_numpy() == pytest.approx(0.75 * table.label[train] + 0.75, abs=1e-4)
    assert (taught[~train] == table[~train]).all(axis=None)
    assert (taught.drop(columns="label") == table.drop(columns="label")).all(axis=None)


def test_a_clip_that_the_teacher_did_not_score_is_an_error(distil, tmp_path, capsys):
    labels = write_sentences(tmp_path / "labels.csv")
    write_teacher(tmp_path / "teacher", pd.read_csv(labels)[1:], [1.0])
    typed = ["--teacher", str(tmp_path / "teacher"), "--labels", str(labels), "--mosei", str(labels)]
    assert distil.main([*typed, "--out", str(tmp_path / "taught")]) == 2
    assert "has no score of 1 train clips" in capsys.readouterr().err


def test_a_folder_without_runs_is_an_error(distil, tmp_path, capsys):
    labels = str(write_sentences(tmp_path / "labels.csv"))
    typed = ["--teacher", str(tmp_path), "--labels", labels, "--mosei", labels, "--out", str(tmp_path / "o")]
    assert distil.main(typed) == 2
    assert "has no run given_0" in capsys.readouterr().err
