"""A stage and a stream from one file outside the packages, through every command, as the page says."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kit.doc_pages import TEXTS
from kit.made_predictor import write_video
from kit.made_set import write_set
from kit.plugged import plug
from kit.tiny_models import write_recipe
from kit.typed_commands import list_scripts

from mosi_e2e import evaluate, train
from mosi_e2e.data import streams
from mosi_e2e.explore import __main__ as explore
from mosi_e2e.export import __main__ as export
from mosi_e2e.predict import __main__ as predict
from preprocessing import __main__ as preprocess
from preprocessing import plugins, stages
from preprocessing.cache.store import ClipStore
from preprocessing.errors import UserError

LEVEL = list_scripts(TEXTS["own_stream.md"])[1]
CUT = ["decode.max_minutes=1", "faces.size=32", "workers=1"]


@pytest.fixture
def plugged(tmp_path, monkeypatch):
    """A working directory with the page's file, which the environment names."""
    monkeypatch.chdir(tmp_path)
    with plug(tmp_path / "level.py", LEVEL):
        yield tmp_path


def test_a_file_registers_a_stage_and_a_stream(plugged):
    assert "level" in stages.name_stages() and "level" in streams.known_streams()
    assert streams.name_stream("level") == "level of the voice"
    assert streams.check_streams(["level", "face"]) == ["level", "face"]


def test_a_plugin_that_is_no_file_is_one_line(plugged):
    (plugged / "json.py").touch()
    with pytest.MonkeyPatch.context() as patch:  # undone before the fixture's own
        patch.setenv(plugins.VARIABLE, str(plugged / "gone.py"))
        with pytest.raises(UserError, match=r"lists Python files, but .*gone\.py is none"):
            stages.list_stages()
        patch.setenv(plugins.VARIABLE, str(plugged / "json.py"))
        with pytest.raises(UserError, match="there is a module 'json' already"):
            stages.list_stages()


@pytest.mark.slow  # from raw clips to an exported model: 11 s
def test_a_stage_and_a_stream_from_one_file_go_through_every_command(plugged, capsys):
    (plugged / "raw").mkdir()
    write_set(plugged / "raw")
    assert preprocess.main(["labels=raw", "out=cache", *CUT]) == 0
    store = ClipStore("cache")
    assert store.index.level.tolist() == ["ok"] * 8
    rows = store.read("v_1_1", "level")
    assert rows["level"].shape == (12, 2) and np.allclose(rows["level_time"], np.arange(12) / 20 + 0.025)
    assert len(store.stats["level"]["mean"]) == 2
    assert preprocess.main(["labels=raw", "out=cache", *CUT]) == 0
    assert "complete and up to date" in capsys.readouterr().out

    recipe = str(write_recipe(plugged / "a.yaml", plugged / "cache", "crossmodal"))
    names = "model.crossmodal.streams=[behaviour,level]"
    assert train.main(["--config", recipe, "name=run", names, "data.batch_size=2", "optim.epochs=1"]) == 0
    assert evaluate.main(["runs/run", "--split", "test"]) == 0
    assert "level" in pd.read_csv("runs/run/predictions_test.csv")

    write_video(plugged / "video.mp4", 1.2)
    assert predict.main(["runs/run", "video.mp4", "--out", "out", "--draws", "0"]) == 0
    result = json.loads(Path("out/video.json").read_text())
    assert result["people"][0]["by_stream"].keys() == {"behaviour", "level"}
    assert explore.main(["cache", "--out", "page", "--count", "1"]) == 0
    assert "zero crossings" in Path("page/index.html").read_text().replace("_", " ")
    assert export.main(["runs/run", "--out", "model"]) == 0
    assert [one["name"] for one in json.loads(Path("model/features.json").read_text())["level"]] == [
        "level_db",
        "zero_crossings",
    ]
