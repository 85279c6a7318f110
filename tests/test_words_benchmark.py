"""The benchmark of words: which runs it makes, what it scores, and that it goes on where it was."""

import json

import pandas as pd
import pytest
from kit.tiny_text import write_sentences, write_text_checkpoint
from kit.typed_commands import load_module

from preprocessing.errors import UserError
from preprocessing.import_words import main as import_words


@pytest.fixture(scope="module")
def words():
    return load_module("benchmarks/words.py")


@pytest.mark.slow  # eleven trainings
def test_every_kind_of_run_is_scored_on_its_words(words, tmp_path, one_thread, capsys):
    labels = write_sentences(tmp_path / "labels.csv")
    pd.read_csv(labels).rename(columns={"heard": "heard_ibm"}).to_csv(tmp_path / "heard.csv", index=False)
    tables = ["--labels", str(labels), "--heard", str(tmp_path / "heard.csv"), "--mosei", str(labels)]
    model = f"model.late_fusion.words.model={write_text_checkpoint(tmp_path / 'bert')}"
    assert import_words([str(labels), "--text", "heard", "--out", str(tmp_path / "more")]) == 0
    options = [
        "--more",
        f"more={tmp_path / 'more'}",
        "--seeds",
        "2",
        "--pretrainings",
        "1",
        "--mosei-epochs",
        "1",
        "optim.epochs=1",
        model,
    ]
    typed = [*tables, "--out", str(tmp_path / "runs"), *options]
    assert words.main(typed) == 0
    rows = json.loads((tmp_path / "runs" / "results.json").read_text())
    pairs = [(row["trained on"], row["words"], row["seeds"]) for row in rows]
    assert pairs == [
        *(("tf-idf", name, 1) for name in ("given", "ibm", "mosei")),
        *(("mosei", name, 1) for name in ("mosei", "given", "ibm")),
        *((kind, name, 2) for kind in ("both", "given") for name in ("given", "ibm", "more")),
    ]
    assert rows[0]["mean"]["mae"] < 1  # the words tell the label; train's mean has 1.28
    assert all(row["clips"] == 8 and row["videos"] == 2 for row in rows)
    assert len(pd.read_csv(tmp_path / "runs" / "cache" / "both" / "index.csv")) == 32 + 16
    assert (
        f"start: {tmp_path / 'runs' / 'mosei_0'}"
        in (tmp_path / "runs" / "both_1" / "config.yaml").read_text()
    )
    seen = (tmp_path / "runs" / "mosei_0" / "history.csv").stat().st_mtime_ns
    apart = {"binary": ["--task", "binary"], "context1": ["--context", "1"]}
    for name, more in apart.items():
        assert words.main([*typed, "--kinds", "given", *more]) == 0
        (row,) = [
            row
            for row in json.loads((tmp_path / "runs" / f"results_{name}.json").read_text())
            if row["words"] == "given"
        ]
        assert row["trained on"] == f"given_{name}" and row["seeds"] == 2
        assert row["mean"].keys() == (
            {"acc", "f1", "auc", "nll"} if name == "binary" else rows[0]["mean"].keys()
        )
    assert (tmp_path / "runs" / "mosei_0" / "history.csv").stat().st_mtime_ns == seen
    assert json.loads((tmp_path / "runs" / "results.json").read_text()) == rows
    before = (tmp_path / "runs" / "both_1" / "history.csv").stat().st_mtime_ns
    capsys.readouterr()
    assert words.main(typed) == 0
    assert "epoch" not in capsys.readouterr().out
    assert (tmp_path / "runs" / "both_1" / "history.csv").stat().st_mtime_ns == before


def test_a_further_test_set_must_be_a_cache(words, tmp_path):
    with pytest.raises(UserError, match="there is no cache 'nowhere' for spoken"):
        words.parse_more(["spoken=nowhere"])
    (tmp_path / "index.csv").touch()
    assert words.parse_more([f"spoken={tmp_path}"]) == {"spoken": tmp_path}


def test_a_table_without_a_recogniser_is_refused(words, tmp_path, capsys):
    labels = write_sentences(tmp_path / "labels.csv")
    assert words.main(["--labels", str(labels), "--heard", str(labels), "--out", str(tmp_path / "runs")]) == 2
    assert "has no column heard_NAME" in capsys.readouterr().err
