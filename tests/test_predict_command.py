"""The command that predicts: what it refuses and says, what one failed video costs, how it ends."""

import json
import sys
from dataclasses import replace

import pytest
from launched import run as run_command
from made_predictor import CROSS, make_small_cache, write_run, write_video
from tiny_models import TINY_CROSS

from mosi_e2e.predict.__main__ import main
from mosi_e2e.predict.predictor import PredictOptions, Predictor

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A cache, the run `cross` and the video `short.mp4`."""
    folder = tmp_path_factory.mktemp("command")
    write_run(folder / "cross", make_small_cache(folder / "made"))
    write_video(folder / "short.mp4", 0.8)
    (folder / "taken").write_text("a file")
    return folder


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("cross short.mp4 --draws 3", "type --draws 10 or more, or 0 for none"),
        ("cross short.mp4 --draws -1", "type --draws 10 or more, or 0 for none"),
        ("cross short.mp4 --level 1", "type --level 0.9"),
        ("cross short.mp4 --window nan", "--window must be 0 or more"),
        ("cross short.mp4 --max-minutes inf", "--max-minutes above 0"),
        ("cross short.mp4 --out taken", "taken is a file; name a folder"),
        ("cross cross/ short.mp4", "cross is named twice; name each run once"),
        ("cros short.mp4", "there is no run cros; type one of: cross"),
        ("short.mp4", "short.mp4 is a video; give a run folder first"),
        ("made short.mp4", "made has no best/model.safetensors"),
        ("cross", "give at least one video after the run: python -m mosi_e2e.predict cross video.mp4"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(folder, monkeypatch, capsys, words, told):
    monkeypatch.chdir(folder)
    assert main([*words.split(), *([] if "--out" in words else ["--out", "none"])]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1
    assert not (folder / "none").exists()


def test_an_unforeseen_error_costs_its_own_video_only(folder, tmp_path, monkeypatch, capsys):
    predict = Predictor.predict

    def stumble(self, video, *words):
        if video.stem == "odd":
            raise ZeroDivisionError("nobody foresaw this")
        return predict(self, video, *words)

    monkeypatch.setattr(Predictor, "predict", stumble)
    (tmp_path / "odd.mp4").touch()
    videos = [str(tmp_path / "odd.mp4"), str(folder / "short.mp4")]
    assert main([str(folder / "cross"), *videos, "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert f"{videos[0]}: ZeroDivisionError: nobody foresaw this (test_predict_command.py:" in error
    assert "please report it" in error and "1 of 2 videos failed" in error
    assert {path.stem for path in (tmp_path / "out").iterdir()} == {"short"}


@pytest.mark.slow
def test_the_command_ends_without_noise(folder, tmp_path):
    """MediaPipe's face landmarker complains where nobody closes it before the interpreter goes down."""
    words = [folder / "cross", folder / "short.mp4", "--out", tmp_path]
    printed = run_command(sys.executable, "-m", "mosi_e2e.predict", *words)
    assert f"written to {tmp_path}/" in printed
    assert "Traceback" not in printed and "Exception ignored" not in printed


def test_exact_seconds_change_the_marks_and_not_the_score(folder, tmp_path):
    write_video(tmp_path / "two.mp4", 1.6)
    words = [str(folder / "cross"), str(tmp_path / "two.mp4"), "--draws", "0", "--out"]
    found = []
    for name, options in (("quick", []), ("exact", ["--exact-seconds"])):
        assert main([*words, str(tmp_path / name), *options]) == 0
        found.append(json.loads((tmp_path / name / "two.json").read_text()))
    quick, exact = found
    assert quick["score"] == exact["score"] and quick["contribution"] == exact["contribution"]
    effects = [[one["effect"] for one in result["timeline"][0]["seconds"]] for result in found]
    assert len(effects[0]) == len(effects[1]) == 2 and effects[0] != effects[1]


def test_a_model_without_dropout_says_why_there_is_no_interval(folder):
    still = replace(CROSS.crossmodal, fusion=TINY_CROSS.fusion, head_dropout=0.0)
    run = write_run(folder / "still", folder / "made" / "cache", replace(CROSS, crossmodal=still))
    told = "the model has no dropout: runs of other seeds beside it would give an interval"
    predictor, video = Predictor.open(run), folder / "short.mp4"
    result = predictor.predict(video)
    assert result.interval is None and told in result.remarks
    assert told not in predictor.predict(video, options=PredictOptions(draws=0)).remarks  # nobody asked
    assert told not in Predictor.open(folder / "cross").predict(video).remarks
