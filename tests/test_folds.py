"""Splits from a rule: who is dealt where, nothing of the test fold in training, one pooled table."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from kit.made_cache import make_cache
from kit.tiny_models import write_recipe
from test_ablate import train_here

import mosi_e2e.experiments.execute as execute
from mosi_e2e.ablate import main
from mosi_e2e.config import FoldConfig
from mosi_e2e.data.folds import apply_folds, deal_videos, find_statistics
from mosi_e2e.experiments.ablation import AblationConfig, list_runs
from mosi_e2e.report.__main__ import main as report
from mosi_e2e.runs.checkpoint import load_model
from preprocessing.cache.store import ClipStore
from preprocessing.errors import UserError
from preprocessing.settings import load_config

RULE = FoldConfig("video_id", 3)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("folds")
    cache = make_cache(place, size=16, named=True)
    write_recipe(place / "late.yaml", cache, "late_fusion", epochs=1)
    content = {
        "base": str(place / "late.yaml"),
        "out": str(place / "out"),
        "seeds": [0],
        "set": ["task=classes"],
        "folds": {"by": "video_id", "n": 3},
        "variants": {"both": {}, "acoustic": {"set": ["model.late_fusion.streams=[functionals]"]}},
    }
    (place / "folds.yaml").write_text(yaml.safe_dump(content))
    return place


@pytest.fixture(scope="module")
def finished(place):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execute, "run_command", train_here)
        assert main(["--config", str(place / "folds.yaml")]) == 0
    return place / "out"


def test_each_video_is_test_once_and_whole(place):
    tested = []
    for number in range(3):
        store = ClipStore(place / "cache")
        apply_folds(store, FoldConfig("video_id", 3, number))
        assert (store.index.groupby("video_id").split.nunique() == 1).all()
        assert set(store.index.split) == {"train", "valid", "test"}
        tested += store.index.clip_id[store.index.split == "test"].tolist()
    assert sorted(tested) == sorted(store.index.clip_id)


def test_one_video_is_left_out_at_a_time_without_a_number():
    dealt = deal_videos([f"s{n}" for n in range(5)], FoldConfig("video_id"))
    assert sorted(dealt.values()) == [0, 1, 2, 3, 4]
    assert dealt == deal_videos([f"s{n}" for n in reversed(range(5))], FoldConfig("video_id"))
    assert dealt != deal_videos([f"s{n}" for n in range(5)], FoldConfig("video_id", seed=1))


def test_statistics_are_those_of_the_train_folds(place):
    store = ClipStore(place / "cache")
    before = store.stats
    apply_folds(store, RULE)
    found = find_statistics(store, ["functionals", "speech"], RULE)
    train = store.index[(store.index.split == "train") & (store.index.acoustics == "ok")]
    rows = np.concatenate([store.read(one, "acoustics")["functionals"] for one in train.clip_id])
    np.testing.assert_allclose(found["functionals"]["mean"], rows.mean(axis=0), rtol=1e-4, atol=1e-5)
    assert found.keys() == {"functionals"} and found["functionals"]["mean"] != before["functionals"]["mean"]
    assert find_statistics(store, ["functionals"], FoldConfig()) == before


def test_a_model_of_a_fold_holds_its_own_statistics(finished):
    model, config, _ = load_model(finished / "acoustic" / "seed0" / "fold1" / "best")
    assert config.data.folds == FoldConfig("video_id", 3, 1)
    other, _, _ = load_model(finished / "acoustic" / "seed0" / "fold2" / "best")
    assert not np.allclose(model.encoders["functionals"].mean, other.encoders["functionals"].mean)


def test_all_folds_become_one_table(finished, place):
    index = ClipStore(place / "cache").index
    pooled = pd.read_csv(finished / "both" / "seed0" / "predictions_test.csv")
    assert sorted(pooled.clip_id) == sorted(index.clip_id) and pooled.video_id.nunique() == 11
    scores = json.loads((finished / "both" / "seed0" / "metrics_test.json").read_text())
    known = pooled.dropna(subset="label")
    assert scores["folds"] == 3 and scores["n"] == len(known) and scores["videos"] == 11
    assert scores["metrics"]["acc"] == pytest.approx((known.label == known.predicted).mean())
    summary = json.loads((finished / "table.json").read_text())
    assert summary["clips"] == len(known) and summary["folds"] == 3
    assert summary["rows"][0]["seeds"]["uar"]["mean"] == pytest.approx(scores["metrics"]["uar"])
    assert summary["rows"][1]["against"]["uar"]["p_value"] is not None
    assert "Pooled from 3 folds" in (finished / "table.md").read_text()


def test_a_report_shows_the_pooled_tables(finished, tmp_path):
    assert report([str(finished), "--out", str(tmp_path), "--detail", "0"]) == 0
    page = (tmp_path / "index.html").read_text()
    assert "both" in page and "acoustic" in page and "fold1" not in page and "majority" in page


def test_unfinished_folds_are_named(finished, place, monkeypatch, capsys):
    table = finished / "both" / "seed0" / "fold1" / "predictions_test.csv"
    moved = table.rename(table.with_suffix(".moved"))
    assert main(["--config", str(place / "folds.yaml"), "--table"]) == 0
    moved.rename(table)
    assert "1 of 3 folds are not finished" in capsys.readouterr().err


def test_leaving_one_out_makes_a_run_for_each_video(place):
    config = load_config(AblationConfig, place / "folds.yaml", ["folds.n=0"])
    runs = list_runs(config)
    assert len(runs) == 2 * 11 and runs[-1].config.data.folds == FoldConfig("video_id", 0, 10)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"by": "speaker"}, "data.folds.by is one of video_id"),
        ({"by": "video_id", "n": 2}, "data.folds.n is 0 or at least 3"),
        ({"by": "video_id", "n": 4, "test": 4}, "data.folds.test is one of 0 to 3"),
    ],
)
def test_rules_that_cannot_be(settings, told):
    with pytest.raises(UserError, match=told):
        FoldConfig(**settings)


def test_folds_need_enough_videos():
    with pytest.raises(UserError, match=r"needs at least 5 videos .*found 2"):
        deal_videos(["a", "b"], FoldConfig("video_id", 5))
    store = SimpleNamespace(index=pd.DataFrame({"video_id": list("abc")}))
    with pytest.raises(UserError, match=r"one of 0 to 2; found 7"):
        apply_folds(store, FoldConfig("video_id", 0, 7))
