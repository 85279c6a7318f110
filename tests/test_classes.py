"""Labels that are names: the task `classes` and the map to sentiment, from the cache to report and table."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from kit.made_cache import make_cache, name_label
from kit.made_predictor import write_video
from kit.tiny_models import write_recipe

from mosi_e2e import load
from mosi_e2e.demo.worker import open_predictor
from mosi_e2e.evaluate import main as evaluate
from mosi_e2e.export.__main__ import main as export
from mosi_e2e.predict.__main__ import main as predict
from mosi_e2e.report.__main__ import main as report
from mosi_e2e.runs.checkpoint import load_model
from mosi_e2e.train import main as train
from preprocessing.cache.store import ClipStore
from preprocessing.errors import UserError

CLASSES = ["calm", "happy", "sad"]
STREAMS = ["acoustics", "behaviour", "functionals"]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a cache whose labels are names, and a recipe."""
    place = tmp_path_factory.mktemp("classes")
    cache = make_cache(place, size=16, named=True)
    write_recipe(place / "late.yaml", cache, "late_fusion", epochs=4)
    return place


@pytest.fixture(scope="module")
def run(place):
    words = ["task=classes", "loss.balance=true", "name=named", "--score", "test"]
    assert train(["--config", str(place / "late.yaml"), *words]) == 0
    return place / "runs" / "named"


def refuse(capsys, place, *words):
    assert train(["--config", str(place / "late.yaml"), "name=refused", *words]) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("error: ")
    return message


def test_the_cache_keeps_names_beside_blank_numbers(place):
    index = ClipStore(place / "cache").index
    assert index.label.isna().all() and set(index.class_name) == {"", *CLASSES}
    assert (index.class_name == "").sum() == 2


def test_a_run_predicts_names_with_probabilities(run):
    table = pd.read_csv(run / "predictions_test.csv", keep_default_na=False, na_values=[""])
    assert list(table) == [
        "clip_id", "video_id", "label", "predicted", "p_calm", "p_happy", "p_sad", "visual", "acoustic"
    ]  # fmt: skip
    probability = table[["p_calm", "p_happy", "p_sad"]].to_numpy()
    np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-5)
    assert table.predicted.tolist() == [CLASSES[number] for number in probability.argmax(axis=1)]
    assert set(table.visual) <= set(CLASSES) and table.label.isna().sum() == 1


def test_metrics_hold_recalls_confusion_and_baselines(run):
    scores = json.loads((run / "metrics_test.json").read_text())
    table = pd.read_csv(run / "predictions_test.csv").dropna(subset="label")
    metrics = scores["metrics"]
    assert metrics["acc"] == pytest.approx((table.label == table.predicted).mean())
    recalls = [metrics[f"recall_{name}"] for name in CLASSES]
    assert metrics["uar"] == pytest.approx(np.mean(recalls)) and metrics["uar"] > 0.6
    counts = pd.crosstab(table.label, table.predicted).reindex(index=CLASSES, columns=CLASSES, fill_value=0)
    assert scores["classes"] == CLASSES and scores["confusion"] == counts.to_numpy().tolist()
    assert scores["floors"]["majority"]["uar"] == pytest.approx(1 / 3)
    assert 0.2 < scores["floors"]["random"]["acc"] < 0.5 and set(scores["interval"]) == set(metrics) - {"n"}
    history = pd.read_csv(run / "history.csv")
    best = json.loads((run / "metrics_valid.json").read_text())["metrics"]["uar"]
    assert best == pytest.approx(history.valid_uar.max())


def test_the_saved_model_knows_its_classes(run):
    model, config, facts = load_model(run / "best")
    assert facts.classes == CLASSES and config.task == "classes" and model.head[-1].out_features == 3


def test_a_model_folder_whose_classes_are_gone_is_refused(run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "run")
    facts = tmp_path / "run" / "best" / "facts.json"
    facts.write_text(json.dumps(json.loads(facts.read_text()) | {"classes": []}))
    assert evaluate([str(tmp_path / "run")]) == 2
    assert "does not fit the classes in facts.json" in capsys.readouterr().err


def test_scoring_again_and_from_the_table_gives_the_same(run, tmp_path, capsys):
    assert evaluate([str(run), "--split", "test", "--out", str(tmp_path)]) == 0
    first, again = (json.loads((one / "metrics_test.json").read_text()) for one in (run, tmp_path))
    assert again["metrics"] == pytest.approx(first["metrics"])
    out = tmp_path / "scores.json"
    words = ["--predictions", str(run / "predictions_test.csv"), "--task", "classes", "--out", str(out)]
    assert evaluate(words) == 0
    assert json.loads(out.read_text())["metrics"] == pytest.approx(first["metrics"])
    assert "uar" in capsys.readouterr().out


def test_all_of_another_cache_can_be_scored(run, place, tmp_path, capsys):
    assert evaluate([str(run), "--split", "all"]) == 2
    assert "--split all belongs to --cache CACHE" in capsys.readouterr().err
    words = ["--split", "all", "--cache", str(place / "cache"), "--out", str(tmp_path)]
    assert evaluate([str(run), *words]) == 0
    table = pd.read_csv(tmp_path / "predictions_all.csv")
    assert table.clip_id.tolist() == ClipStore(place / "cache").index.clip_id.tolist()


def test_a_report_shows_table_recalls_and_confusion(run, tmp_path):
    assert report([str(run), "--out", str(tmp_path)]) == 0
    page = (tmp_path / "index.html").read_text()
    assert "UAR" in page and "Recall of each class: calm" in page and "Confusion matrix, 3 classes" in page
    assert "acoustic alone" in page and "floor" in page


def test_a_model_folder_names_its_classes(run, tmp_path):
    assert export([str(run), "--out", str(tmp_path / "model")]) == 0
    card = (tmp_path / "model" / "README.md").read_text()
    assert "probability of each of the classes calm, happy, sad" in card and "calm 9, happy 8, sad 6" in card
    assert load(tmp_path / "model").facts.classes == CLASSES


def test_a_video_gets_classes_over_time(run, tmp_path, capsys):
    video = write_video(tmp_path / "talk.mp4", 1.6)
    assert predict([str(run), str(video), "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out
    assert "without a stream its probability falls by" in told and "SYNTHETIC" in told
    result = json.loads((tmp_path / "out" / "talk.json").read_text())
    assert sum(result["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert result["label_class"] == max(result["probabilities"], key=result["probabilities"].get)
    assert result["score"] == result["probabilities"][result["label_class"]]
    assert set(result["by_stream"]) == {"visual", "acoustic"} and set(result["contribution"]) == set(STREAMS)
    assert {"start_s", "end_s", "score", "label_class"} <= result["timeline"][0].keys()
    table = pd.read_csv(tmp_path / "out" / "talk.csv")
    assert list(table)[:5] == ["person", "start_s", "end_s", "predicted", "p_calm"]
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".json", ".csv"}
    assert predict([str(run), str(video), "--overlay", "--out", str(tmp_path / "out")]) == 2
    assert "show sentiment, and this model knows classes" in capsys.readouterr().err
    with pytest.raises(UserError, match="the page shows sentiment"):
        open_predictor(run)


def test_a_map_gives_the_regression_task_from_names(place):
    words = ["data.labels_valence={happy: 2, sad: -2, calm: null}", "name=valence", "optim.epochs=1"]
    assert train(["--config", str(place / "late.yaml"), *words, "--score", "test"]) == 0
    table = pd.read_csv(place / "runs" / "valence" / "predictions_test.csv")
    assert set(table.label.dropna()) == {2.0, -2.0} and table.label.isna().any()
    names = ClipStore(place / "cache").index.set_index("clip_id").class_name[table.clip_id]
    assert set(names[table.label.isna().to_numpy()]) == {"", "calm"}


def test_names_need_a_task_or_a_whole_map(place, capsys):
    assert "type task=classes, or" in refuse(capsys, place)
    message = refuse(capsys, place, "data.labels_valence={happy: 2}")
    assert "data.labels_valence lacks calm, sad" in message
    assert "in [-3, 3] or null; found 7" in refuse(capsys, place, "data.labels_valence={happy: 7}")
    message = refuse(capsys, place, "task=classes", "data.labels_valence={happy: 2}")
    assert "belongs to task=regression and task=binary" in message
    assert "loss.ccc and loss.ordinal belong to task=regression" in refuse(
        capsys, place, "task=classes", "loss.ccc=0.5"
    )


def test_a_class_that_train_lacks_is_an_error(place, tmp_path, capsys):
    shutil.copytree(place / "cache", tmp_path / "cache")
    index = pd.read_csv(tmp_path / "cache" / "index.csv", dtype=str, keep_default_na=False)
    index.loc[index.split == "test", "class_name"] = "bored"
    index.to_csv(tmp_path / "cache" / "index.csv", index=False)
    message = refuse(capsys, place, "task=classes", f"data.cache={tmp_path / 'cache'}")
    assert "the train split has no clip of bored" in message


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("label,p_a,p_b\na,0.5,0.6\n", "sum to 1.1"),
        ("label,p_a,p_b\nc,0.5,0.5\n", "label 'c' has no column"),
        ("label,p_a\na,1\n", "a column p_<class> for each of at least two classes"),
        ("label,p_a,p_b\n,0.5,0.5\n", "no row of"),
    ],
)
def test_tables_of_classes_that_cannot_be_right(tmp_path, capsys, rows, told):
    (tmp_path / "mine.csv").write_text(rows)
    assert evaluate(["--predictions", str(tmp_path / "mine.csv"), "--task", "classes"]) == 2
    assert told in capsys.readouterr().err


def test_the_made_names_are_three():
    assert [name_label(one) for one in (None, 0.4, 2.0, -1.8)] == ["", "calm", "happy", "sad"]
