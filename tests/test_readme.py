"""The README's commands run, as typed, on tiny data."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from kit.doc_pages import COMMANDS as ALL
from kit.doc_pages import list_run, run_page
from kit.launched import ACCELERATE, free_port, run
from kit.made_cache import make_cache
from kit.made_features import make_tables, write_pickle
from kit.made_predictor import write_video
from kit.made_set import write_face
from kit.typed_commands import QUICK, ROOT, run_command, stand_in_project
from test_configs import SMALL

COMMANDS = [command for page, command in ALL if page == "README.md"]
# Tracing takes half a minute, and the launcher's processes half a minute to start.
SLOW = [command for command in COMMANDS if {"--onnx", "--multi_gpu"} & set(command.words)]
PROGRAMS = {"make", "tensorboard"}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """A working directory with the recipes, and what the README's commands expect there."""
    place = tmp_path_factory.mktemp("readme")
    cache = make_cache(place / "made")
    for name in ("sample", "mosi"):
        shutil.copytree(cache, place / "cache" / name)
    (place / "mine.csv").write_text("label,score,video_id\n1,0.5,a\n-1,-0.2,a\n0,0.1,b\n2,1.5,c\n-2,-1,d\n")
    mine = place / "data" / "mine"
    mine.mkdir(parents=True)
    write_face(mine / "me.mp4", 1, seconds=2)
    (mine / "labels.csv").write_text("path,video_id,clip_id,label,split\nme.mp4,somebody,1,,test\n")
    write_video(place / "video.mp4", 1.2)
    write_pickle(place / "unaligned_50.pkl", make_tables())
    with stand_in_project(place):
        from mosi_e2e.train import main as train

        assert train(["--config", "configs/sample_crossmodal.yaml", *QUICK, *SMALL]) == 0
    return place


def test_the_readme_has_commands():
    assert len(COMMANDS) >= 12


def test_make_targets_exist():
    targets = [command.words[1] for command in COMMANDS if command.words[0] == "make"]
    assert {"demo", "test"} <= set(targets)
    for target in targets:
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def test_commands_run_in_order(workplace, monkeypatch):
    """What an earlier one made is what a later one evaluates, resumes or repeats.

    Those that stand on a page of the documentation, too, run with that.
    """
    monkeypatch.chdir(workplace)
    run_page("README.md", but=[*list_run("test_docs_run.py"), *(command.text for command in SLOW)])
    for written in ("report/index.html", "out/mine/predictions_test.csv", "out/video_overlay.mp4"):
        assert (workplace / written).is_file()
    assert (workplace / "runs" / "binary_repeat").is_dir()


@pytest.mark.slow
def test_slow_commands_run(workplace, monkeypatch):
    monkeypatch.chdir(workplace)
    export, train = SLOW
    assert run_command(export) == 0
    assert (workplace / "model" / "model.onnx").is_file()
    module = train.words.index("-m")
    options, words = train.words[2:module], train.words[module:]
    place = [f"data.cache={workplace / 'cache' / 'sample'}", f"out={workplace / 'runs'}"]
    run(ACCELERATE, "launch", *options, "--main_process_port", free_port(), *words, *QUICK, *place)
    environment = json.loads((workplace / "runs" / "two_processes" / "environment.json").read_text())
    assert environment["processes"] == 2


def test_every_program_is_known():
    """What else is run or listed: test_docs.py."""
    assert {command.words[0] for command in COMMANDS if not command.module} <= PROGRAMS
