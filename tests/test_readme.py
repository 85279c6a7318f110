"""The README's commands run, as typed, on tiny data."""

import shutil
import subprocess
from importlib import import_module
from pathlib import Path

import pytest
from made_cache import make_cache
from test_configs import SMALL
from typed_commands import QUICK, ROOT, list_commands, load_module, run_command, understand

COMMANDS = list_commands((ROOT / "README.md").read_text())
OURS = [command for command in COMMANDS if command.module]
RUN = ("preprocessing", "preprocessing.fetch", "mosi_e2e.train", "mosi_e2e.evaluate")
# Understood by their own parsers here; what they do is run in the tests of their own.
RUN_ELSEWHERE = {
    "mosi_e2e.explore": "test_explore.py",
    "mosi_e2e.report": "test_report.py",
    "mosi_e2e.ablate": "test_ablate.py",
    "mosi_e2e.search": "test_search.py",
    "mosi_e2e.doctor": "test_doctor.py",
    "mosi_e2e.predict": "test_predict.py",
    "mosi_e2e.demo": "test_demo.py",
    "mosi_e2e.export": "test_export.py",
    "preprocessing.sample": "test_sample.py",
    "preprocessing.pack": "test_pack.py",
    "preprocessing.shards": "test_shards.py",
    "preprocessing.import_features": "test_import_features.py",
}
PROGRAMS = {"make", "tensorboard", "source", "pip", "ray", "git", "cd"}


def commands_of(*modules: str):
    return [command for command in OURS if command.module in modules]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """A working directory with the recipes, and small caches where the README's commands expect them."""
    place = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "configs", place / "configs")
    cache = make_cache(place / "made")
    for name in ("sample", "mosi", "mine"):
        (place / "cache").mkdir(exist_ok=True)
        (place / "cache" / name).symlink_to(cache)
    (place / "mine.csv").write_text("label,score,video_id\n1,0.5,a\n-1,-0.2,a\n0,0.1,b\n2,1.5,c\n-2,-1,d\n")
    return place


def test_the_readme_has_commands():
    assert len(COMMANDS) >= 12


def test_make_targets_exist():
    targets = [command.words[1] for command in COMMANDS if command.words[0] == "make"]
    assert {"demo", "test"} <= set(targets)
    for target in targets:
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("command", OURS, ids=lambda command: command.line[:60])
def test_every_command_is_understood(command):
    understand(command)


def test_training_and_evaluation_commands_run_in_order(workplace, monkeypatch, capsys):
    """In their own order: what an earlier command made is what a later one evaluates or resumes."""
    monkeypatch.chdir(workplace)
    from mosi_e2e.train import main as train

    assert train(["--config", "configs/sample_crossmodal.yaml", *QUICK, *SMALL]) == 0
    for command in commands_of("mosi_e2e.train", "mosi_e2e.evaluate"):
        assert run_command(command) == 0, command.line + capsys.readouterr().err


def test_preprocessing_commands_run(workplace, sample_cache, monkeypatch, capsys):
    monkeypatch.chdir(workplace)
    raw = sample_cache.parent / "raw"
    (workplace / "data" / "mine").mkdir(parents=True)
    shutil.make_archive(str(workplace / "MOSI"), "zip", raw)
    clip = next((raw / "clips").glob("*.mp4"))
    (workplace / "data" / "mine" / "labels.csv").write_text(
        f"path,video_id,clip_id,label,split\n{clip},somebody,1,,test\n"
    )
    for command in commands_of("preprocessing.fetch"):
        fetch = import_module("preprocessing.fetch").main
        assert fetch(command.arguments) == 0, capsys.readouterr().err
    commands = commands_of("preprocessing")
    assert len(commands) >= 2
    for command in commands:
        arguments = [*command.arguments, "workers=1"]
        if "labels=data/mine/labels.csv" not in arguments:
            shutil.copytree(sample_cache, workplace / "cache" / "copied", dirs_exist_ok=True)
            arguments += ["out=cache/copied", "faces.size=96"]  # as in the fixture: up to date already
        else:
            arguments += ["out=cache/fresh"]
        assert load_module("preprocessing").main(arguments) == 0, capsys.readouterr().err


def test_every_command_is_covered():
    """Nothing in the README goes untested without anybody noticing."""
    assert {command.module for command in OURS} <= {*RUN, *RUN_ELSEWHERE}
    assert {command.words[0] for command in COMMANDS if not command.module} <= PROGRAMS
    named = {RUN_ELSEWHERE[command.module] for command in OURS if command.module in RUN_ELSEWHERE}
    assert [name for name in sorted(named) if not (ROOT / "tests" / name).is_file()] == []
