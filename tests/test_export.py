"""The model folder: what is in it, what its card says, and what is refused."""

import errno
import json
import shutil

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from kit.made_cache import make_cache
from kit.tiny_models import load_batch, write_recipe

import mosi_e2e.train
from mosi_e2e.export import write as export_write
from mosi_e2e.export.__main__ import main
from mosi_e2e.export.folder import FILES, clean_environment, hide_folders, read_folder
from mosi_e2e.export.licences import list_licences
from mosi_e2e.runs.checkpoint import load_model
from preprocessing.cache.store import ClipStore
from preprocessing.config import PreprocessConfig
from preprocessing.settings import load_config
from preprocessing.stages.recipes import describe_stages, make_recipes

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A made cache, a scored run on it, and its model folder."""
    place = tmp_path_factory.mktemp("place")
    recipe = write_recipe(place / "recipe.yaml", make_cache(place), "late_fusion", epochs=1)
    assert mosi_e2e.train.main(["--config", str(recipe), "name=late", "--score", "test"]) == 0
    assert main([str(place / "runs" / "late"), "--out", str(place / "model")]) == 0
    return place


@pytest.fixture
def card(place):
    return ModelCard.load(place / "model" / "README.md")


def test_the_folder_has_all_its_files_and_no_others(place):
    found = {path.name for path in (place / "model").iterdir()}
    assert found == set(FILES) - {"metrics_train.json", "calibration.json"}  # not scored; synthetic


@torch.no_grad()
def test_the_folder_loads_like_a_run_and_scores_alike(place, tmp_path):
    shutil.copytree(place / "model", tmp_path / "moved")
    store = ClipStore(place / "cache")
    ours, config, facts = load_model(place / "runs" / "late" / "best")
    theirs, other, other_facts = load_model(tmp_path / "moved")
    batch = load_batch(config.model, store, ["ta_1", "ta_2", "tb_1"])
    assert torch.equal(ours(batch).score, theirs(batch).score)
    assert facts == other_facts and config.model == other.model


def test_features_have_the_caches_names_and_statistics(place):
    features = json.loads((place / "model" / "features.json").read_text())
    store = ClipStore(place / "cache")
    assert list(features) == ["behaviour", "acoustics", "functionals"]
    assert [one["name"] for one in features["acoustics"]] == store.columns("acoustics", "lld")
    wanted = store.stats["lld"]["mean"]
    assert [one["mean"] for one in features["acoustics"]] == pytest.approx(wanted, rel=1e-5, abs=1e-6)


def test_the_preprocessing_settings_make_the_same_cache(place):
    config = load_config(PreprocessConfig, place / "model" / "preprocessing.yaml")
    assert make_recipes(config) == {
        stage: ClipStore(place / "cache").recipe(stage) for stage in describe_stages(config)
    }
    assert config.faces.size == 32  # not the default


def test_the_card_is_one_that_the_hub_reads(card):
    data = card.data.to_dict()
    assert data["library_name"] == "mosi_e2e" and data["license"] == "other"
    assert data["license_name"] == "research-only" and "synthetic" in data["tags"]
    metrics = {one.metric_type: one.metric_value for one in card.data.eval_results}
    assert {"mae", "pearsonr", "accuracy", "f1"} == set(metrics)
    front = card.content.split("---\n")[1]
    assert yaml.safe_load(front)["model-index"][0]["name"] == "late"


def test_the_cards_numbers_are_those_of_the_run(place, card):
    scores = json.loads((place / "runs" / "late" / "metrics_test.json").read_text())
    low, high = scores["interval"]["mae"]
    floor = scores["floors"]["train_mean"]["mae"]
    row = next(line for line in card.text.splitlines() if line.startswith("| mean absolute error"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:4] == [f"{scores['metrics']['mae']:.3f}", f"{low:.3f} to {high:.3f}", f"{floor:.3f}"]
    assert f"{scores['n']} clips of {scores['videos']} videos" in card.text


def test_the_card_says_what_must_be_said(place, card):
    environment = json.loads((place / "runs" / "late" / "environment.json").read_text())
    for wanted in (
        "Trained on synthetic clips",
        "2024/1689",
        "restricted in places",
        "openSMILE",
        "Not for commercial use",
        f"torch {environment['packages']['torch']}",
        environment["cache"]["recipes"]["behaviour"],
        environment["git"]["commit"] if environment["git"] else "not known",
    ):
        assert wanted in card.text, wanted


def test_nothing_in_the_folder_tells_where_it_was_made(place):
    for path in (place / "model").iterdir():
        assert str(place).encode() not in path.read_bytes(), path.name


def test_folders_of_the_machine_are_cut_off():
    known = {
        "command": [
            "/home/me/bin/python3",
            "/home/me/mosi_e2e/train.py",
            "data.cache=/data/me/mosi",
            "seed=1",
        ],
        "cache": {"path": "/data/me/mosi"},
    }
    cleaned = json.loads(clean_environment(json.dumps(known).encode()))
    assert cleaned["command"] == ["python3", "train", "data.cache=mosi", "seed=1"]
    assert cleaned["cache"]["path"] == "mosi"
    assert hide_folders("configs/late_fusion.yaml") == "configs/late_fusion.yaml"
    assert hide_folders("~/mosi/cache") == "cache" and hide_folders("[/a/b,/c/d]") == "[b,d]"


def test_openface_is_named_as_not_commercial(place):
    trained = read_folder(place / "model")
    facts = trained.facts
    stages = facts.stages | {"behaviour": {"options": {"backend": "openface_csv"}}}
    rows = list_licences(trained.config, type(facts)(**vars(facts) | {"stages": stages, "synthetic": False}))
    parts = {row.part: row.commercial for row in rows}
    assert parts["OpenFace (face behaviour)"] is False and parts["training data"] is None
    assert not any("MediaPipe" in part for part in parts)


def refuse(capsys, *words):
    assert main([str(word) for word in words]) == 2
    return capsys.readouterr().err


def test_what_cannot_be_exported_is_refused_with_what_to_type(place, tmp_path, capsys):
    runs = place / "runs"
    assert f"type one of: {runs / 'late'}" in refuse(capsys, runs / "lat", "--out", tmp_path / "a")
    assert "train one: accelerate launch" in refuse(capsys, tmp_path / "no", "--out", tmp_path / "a")
    assert f"runs in it: {runs / 'late'}" in refuse(capsys, runs, "--out", tmp_path / "a")
    (tmp_path / "begun").mkdir()
    shutil.copy(runs / "late" / "config.yaml", tmp_path / "begun")
    begun = refuse(capsys, tmp_path / "begun", "--out", tmp_path / "a")
    assert "has no best/model.safetensors" in begun and "--resume" in begun
    assert f"rm -r {place / 'model'}" in refuse(capsys, runs / "late", "--out", place / "model")
    assert not (tmp_path / "a").exists()


def test_an_unknown_form_is_refused(place, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main([str(place / "runs" / "late"), "--out", str(tmp_path / "a"), "--tflite"])
    assert "--onnx" in capsys.readouterr().err


def test_a_run_without_test_scores_is_exported_and_says_so(place, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(place / "runs" / "late", run)
    (run / "metrics_test.json").unlink()
    assert main([str(run), "--out", str(tmp_path / "model")]) == 0
    assert f"python -m mosi_e2e.evaluate {run} --split test" in capsys.readouterr().out
    text = (tmp_path / "model" / "README.md").read_text()
    assert "not scored on a test split" in text and "model-index" not in text


class Killed(BaseException):
    """As SIGKILL, as far as a test can."""


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device", "model"), Killed()])
def test_an_export_that_fails_leaves_nothing_that_blocks_the_next(
    place, tmp_path, monkeypatch, capsys, error
):
    words = [str(place / "runs" / "late"), "--out", str(tmp_path / "model")]

    def write_half(folder, trained):
        (folder / "README.md").write_text("half")
        raise error

    monkeypatch.setattr(export_write, "write_folder", write_half)
    if isinstance(error, OSError):
        assert main(words) == 2
        assert capsys.readouterr().err.count("\n") == 1
        assert not list(tmp_path.iterdir())
    else:
        with pytest.raises(Killed):
            main(words)
    monkeypatch.undo()
    (tmp_path / ".model.part").mkdir(exist_ok=True)  # what a killed one leaves
    (tmp_path / ".model.part" / "README.md").write_text("half")
    assert main(words) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model" / "README.md").read_text() != "half"
