"""The README's commands run, as typed, on tiny data."""

import re
import shlex
import shutil
import subprocess
from importlib import import_module
from pathlib import Path

import pytest
from made_cache import make_cache
from test_configs import SMALL

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
QUICK = ["optim.epochs=1", "data.workers=0", "data.batch_size=32"]


def list_commands(text: str = README) -> list[list[str]]:
    """The lines of all bash blocks and inline `.venv/bin` commands, comments off, split into words."""
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`(\.venv/bin/[^`]+)`", text)
    return [words for line in lines if (words := shlex.split(line, comments=True))]


COMMANDS = list_commands()


def split_module(words: list[str]) -> tuple[str, list[str]]:
    """The module and its arguments, whether started by python or by accelerate's launcher."""
    at = words.index("-m")
    return words[at + 1], words[at + 2 :]


def python_commands(*modules: str) -> list[list[str]]:
    return [words for words in COMMANDS if "-m" in words and split_module(words)[0] in modules]


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
    targets = [words[1] for words in COMMANDS if words[0] == "make"]
    assert {"demo", "test"} <= set(targets)
    for target in targets:
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def test_training_and_evaluation_commands_run_in_order(workplace, monkeypatch, capsys):
    """In their own order: what an earlier command made is what a later one evaluates or resumes."""
    monkeypatch.chdir(workplace)
    from mosi_e2e.train import main as train

    assert train(["--config", "configs/sample_crossmodal.yaml", *QUICK, *SMALL]) == 0
    for words in python_commands("mosi_e2e.train", "mosi_e2e.evaluate"):
        module, arguments = split_module(words)
        if module == "mosi_e2e.train":
            arguments = [
                *arguments,
                *QUICK,
                *(SMALL if any("crossmodal" in word for word in arguments) else []),
            ]
            if "--multi_gpu" in words:
                arguments.append("name=two_processes")
        assert import_module(module).main(arguments) == 0, " ".join(words) + capsys.readouterr().err


def test_preprocessing_commands_run(workplace, sample_cache, monkeypatch, capsys):
    monkeypatch.chdir(workplace)
    raw = sample_cache.parent / "raw"
    (workplace / "data" / "mine").mkdir(parents=True)
    shutil.make_archive(str(workplace / "MOSI"), "zip", raw)
    clip = next((raw / "clips").glob("*.mp4"))
    (workplace / "data" / "mine" / "labels.csv").write_text(
        f"path,video_id,clip_id,label,split\n{clip},somebody,1,,test\n"
    )
    for words in python_commands("preprocessing.fetch"):
        assert import_module("preprocessing.fetch").main(split_module(words)[1]) == 0, capsys.readouterr().err
    commands = python_commands("preprocessing")
    assert len(commands) >= 2
    for words in commands:
        module, arguments = split_module(words)
        arguments = [*arguments, "workers=1"]
        if "labels=data/mine/labels.csv" not in arguments:
            shutil.copytree(sample_cache, workplace / "cache" / "copied")
            arguments += ["out=cache/copied", "faces.size=96"]  # as in the fixture: up to date already
        else:
            arguments += ["out=cache/fresh"]
        assert import_module(f"{module}.__main__").main(arguments) == 0, capsys.readouterr().err


def test_every_command_is_covered():
    """Nothing in the README goes untested without anybody noticing."""
    tested = ("preprocessing", "preprocessing.fetch", "mosi_e2e.train", "mosi_e2e.evaluate")
    others = [words for words in COMMANDS if words[0] != "make" and words not in python_commands(*tested)]
    assert [words[0] for words in others] == [".venv/bin/tensorboard"]
