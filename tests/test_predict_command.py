"""The command that predicts: what it refuses and says, what one failed video costs, how it ends."""

import errno
import json
import os
import shutil
import sys
from dataclasses import replace

import pytest
from kit.launched import run as run_command
from kit.made_predictor import CROSS, make_small_cache, write_run, write_video
from kit.tiny_models import TINY_CROSS

from mosi_e2e.predict.__main__ import main
from mosi_e2e.predict.predictor import Predictor

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


def test_a_model_without_dropout_has_no_spread(folder):
    still = replace(CROSS.crossmodal, fusion=TINY_CROSS.fusion, head_dropout=0.0)
    run = write_run(folder / "still", folder / "made" / "cache", replace(CROSS, crossmodal=still))
    result = Predictor.open(run).predict(folder / "short.mp4")
    assert result.spread is None and result.score is not None


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_takes_nothing_costs_no_score_and_no_other_file(
    folder, tmp_path, monkeypatch, capsys, reason
):
    from mosi_e2e.predict import files

    write = files.write_json

    def refuse(result, path):
        if path.stem == "one":
            raise OSError(reason, os.strerror(reason))
        write(result, path)

    monkeypatch.setattr(files, "write_json", refuse)
    videos = [tmp_path / "one.mp4", tmp_path / "two.mp4"]
    for video in videos:
        shutil.copy(folder / "short.mp4", video)
    out = tmp_path / "out"
    assert main([str(folder / "cross"), *map(str, videos), "--out", str(out), "--draws", "0"]) == 1
    told = capsys.readouterr()
    assert "one.mp4, 0.8 s" in told.out and "nothing seen or heard" in told.out
    lines = [line for line in told.err.splitlines() if line.startswith("error")]
    assert len(lines) == 1 and f"(one.json: {os.strerror(reason)})" in lines[0] and "--out" in lines[0]
    written = {path.name for path in out.iterdir()}
    assert {"one.csv", "one.html", "one.png", "two.json"} <= written and "one.json" not in written


def test_a_folder_that_cannot_be_made_costs_no_score(folder, tmp_path, capsys):
    (tmp_path / "file").touch()
    words = [str(folder / "cross"), str(folder / "short.mp4"), "--draws", "0", "--overlay"]
    assert main([*words, "--out", str(tmp_path / "file" / "out")]) == 1
    told = capsys.readouterr()
    assert "nothing seen or heard" in told.out
    assert "short_overlay.mp4: " in told.err and told.err.count("error:") == 1


def test_the_longest_name_that_a_file_can_have_keeps_its_results(folder, tmp_path):
    long = tmp_path / f"{'ü' * 125}.mp4"  # 254 bytes
    shutil.copy(folder / "short.mp4", long)
    words = [str(folder / "cross"), str(long), "--out", str(tmp_path / "out"), "--draws", "0", "--overlay"]
    assert main(words) == 0
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert len(written) == 5 and all(name.startswith("ü" * 100) for name in written)
    (result,) = (tmp_path / "out").glob("*.json")
    assert json.loads(result.read_text())["video"] == long.name
