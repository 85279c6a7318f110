"""The Python interface: from a folder or the hub, and back. The hub is a fake; nothing is sent anywhere."""

import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import ModelHubMixin, hub_mixin
from huggingface_hub.errors import LocalEntryNotFoundError
from kit.launched import ROOT
from kit.made_cache import make_cache
from kit.tiny_models import load_batch, write_recipe

import mosi_e2e
import mosi_e2e.train
from mosi_e2e import MosiModel, hub, load
from mosi_e2e.export.folder import FILES
from mosi_e2e.predict.predictor import PredictOptions, Predictor
from preprocessing.cache.store import ClipStore
from preprocessing.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    place = tmp_path_factory.mktemp("place")
    recipe = write_recipe(place / "recipe.yaml", make_cache(place), "late_fusion", epochs=1)
    assert mosi_e2e.train.main(["--config", str(recipe), "name=late", "--score", "test"]) == 0
    return place / "runs" / "late"


@pytest.fixture(scope="module")
def folder(run):
    load(run).save_pretrained(run.parent / "model")
    return run.parent / "model"


def score(model, run):
    batch = load_batch(model.config.model, ClipStore(run.parents[1] / "cache"), ["ta_1", "ta_2"])
    with torch.no_grad():
        return model.network(batch).score


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, mosi_e2e; print(sorted({'torch', 'numpy', 'huggingface_hub'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    assert {"MosiModel", "load"} <= set(dir(mosi_e2e))
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        mosi_e2e.lod  # noqa: B018


def test_a_saved_model_is_the_same_model(run, folder, tmp_path):
    first, second = load(run), load(folder)
    second.save_pretrained(tmp_path / "again")
    third = MosiModel.from_pretrained(tmp_path / "again")
    assert torch.equal(score(first, run), score(third, run))
    assert first.card == second.card == third.card and third.card.startswith("---\n")
    for name in set(FILES) - {"metrics_train.json", "calibration.json"}:  # of synthetic clips there is none
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def test_the_predictor_opens_a_model_folder(run, folder):
    ours, theirs = Predictor.open(run), Predictor.open(folder)
    assert ours.streams == theirs.streams and ours.config == theirs.config
    assert ours.describe()["test_mae"] == theirs.describe()["test_mae"] is not None


def test_predict_hands_the_video_to_the_predictor(folder, monkeypatch):
    asked = []
    monkeypatch.setattr(Predictor, "predict", lambda *words: asked.append(words) or "result")
    model, options = load(folder), PredictOptions(draws=0, window_s=2.0)
    assert model.predict("a.mp4") == model.predict(Path("b.mp4"), print, options) == "result"
    (first, *plain), (second, *chosen) = asked
    assert first is second
    assert plain == ["a.mp4", None, PredictOptions()] and chosen == [Path("b.mp4"), print, options]
    assert first.members[0].scorer.model is model.network
    assert first.describe()["test_mae"] == Predictor.open(folder).describe()["test_mae"]


def test_pushing_uploads_the_folder(folder, monkeypatch):
    sent = {}

    class FakeHub:
        def __init__(self, token=None):
            sent["token"] = token

        def create_repo(self, repo_id, private, exist_ok):
            return SimpleNamespace(repo_id=repo_id)

        def upload_folder(self, repo_id, folder_path, **options):
            sent.update(repo=repo_id, files={p.name: p.read_bytes() for p in Path(folder_path).rglob("*")})
            return "https://hub/commit"

    monkeypatch.setattr(hub_mixin, "HfApi", FakeHub)
    assert isinstance(load(folder), ModelHubMixin)
    assert load(folder).push_to_hub("me/mine", private=True, token="secret") == "https://hub/commit"
    assert sent["repo"] == "me/mine" and sent["token"] == "secret"
    assert sent["files"] == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_name_on_the_hub_is_downloaded_without_the_programs(run, folder, monkeypatch):
    asked = []

    def fetch(repo_id, *, allow_patterns, revision, **options):
        asked.append((repo_id, revision, allow_patterns))
        return str(folder)

    monkeypatch.setattr(hub, "check_reachable", lambda *words: None)
    monkeypatch.setattr(hub, "snapshot_download", fetch)
    monkeypatch.setattr(hub_mixin, "hf_hub_download", lambda **options: str(folder / "config.json"))
    model = MosiModel.from_pretrained("me/mine", revision="v1")
    assert asked == [("me/mine", "v1", list(FILES))] and "model.onnx" not in FILES
    assert torch.equal(score(model, run), score(load(run), run))


def test_what_is_nowhere_is_said(tmp_path, monkeypatch):
    def unreachable(**options):
        raise LocalEntryNotFoundError("no connection\nmore")

    monkeypatch.setattr(
        hub, "check_reachable", lambda *words: None
    )  # the hub answers, the model is not there
    monkeypatch.setattr(hub_mixin, "hf_hub_download", unreachable)
    with pytest.raises(UserError, match=r"neither a folder me/mine nor.*no connection\); name a run"):
        load("me/mine")
    with pytest.raises(UserError, match=r"there is no folder .*nothing; name a run"):
        load(tmp_path / "nothing")
    with pytest.raises(UserError, match=r"no trained model in it"):
        load(tmp_path)


def test_the_package_has_the_projects_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert mosi_e2e.__version__ == project["version"]
    assert "__version__" in dir(mosi_e2e)
