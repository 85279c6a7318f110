"""The commands that README and documentation tell people to type: found, understood, and run."""

import argparse
import functools
import importlib.util
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser
from test_configs import SMALL

from mosi_e2e.config import RunConfig
from mosi_e2e.experiments.ablation import AblationConfig, list_runs
from mosi_e2e.experiments.search_space import SearchConfig
from mosi_e2e.models import list_streams
from preprocessing.config import PreprocessConfig, check_config
from preprocessing.settings import load_config

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)\n(?P<content>.*?)^(?P=indent)```", re.DOTALL | re.MULTILINE
)
CODE = re.compile(r"^ {4}(?P<indented>\S.*)$|`(?P<inline>[^`]+)`", re.MULTILINE)
COMMAND = re.compile(
    r"(?:[A-Z0-9_]+=\S+ |srun )*(?:\.venv/bin/)?"
    r"(?:python|accelerate|make|pip|ray|hf|pre-commit|tensorboard) \S"
)
# Inline code that begins like a command and is none, and why.
FRAGMENTS = {
    "accelerate launch": "a name",
    "accelerate launch --cpu --num_processes 2": "says what does not work",
    "python -m mosi_e2e.predict": "a name; docs/predict.md has its commands",
    "ray start --head": "docs/cluster.md has the whole of it",
}
QUICK = ["optim.epochs=1", "data.workers=0", "data.batch_size=32"]
SHORTER = {
    "preprocessing": ["workers=1"],
    "preprocessing.sample": ["--clips", "12", "--videos", "6", "--workers", "1"],
    "mosi_e2e.explore": ["--count", "2"],
    "mosi_e2e.predict": ["--draws", "10"],
    "benchmarks/sequences.py": ["--seeds", "1", *QUICK],
    "benchmarks/words.py": ["--seeds", "1", "--mosei-epochs", "1", "optim.epochs=1"],
    "benchmarks/loader.py": ["--repeats", "1"],
    "benchmarks/many_clips.py": ["--clips", "20"],
    "benchmarks/steps.py": ["--steps", "200", "--every", "200", "--workers", "0"],
    "benchmarks/openface.py": ["--repeats", "1", "--seconds", "0.1"],
}


class Understood(BaseException):
    """A command was understood by its own parser and would now begin to work."""

    def __init__(self, what: object):
        self.what = what


@dataclass(frozen=True)
class Typed:
    """One command.

    Attributes:
        words: without assignments before it and the folder of the program.
        line: as it stands in the text.
    """

    words: tuple[str, ...]
    line: str

    @property
    def text(self) -> str:
        return " ".join(self.words)

    @property
    def module(self) -> str:
        """What `-m` names, or the script; empty for programs that are not this project's."""
        if self.words[0] not in ("python", "accelerate"):
            return ""
        if "-m" in self.words[:-1]:
            return self.words[self.words.index("-m") + 1]
        return next((word for word in self.words if word.endswith(".py")), "")

    @property
    def arguments(self) -> list[str]:
        return list(self.words[self.words.index(self.module) + 1 :])

    @property
    def launcher(self) -> list[str]:
        """The words for `accelerate launch`, up to the arguments of what it launches."""
        return (
            list(self.words[2 : self.words.index(self.module) + 1]) if self.words[0] == "accelerate" else []
        )


def list_commands(text: str) -> list[Typed]:
    """What a page tells people to type, in its order.

    These are the lines of `bash` and `sh` blocks (a backslash at the end joins two), and indented lines and
    inline code that begin with a program's name.
    """
    lines, end = [], 0
    for block in BLOCK.finditer(text):
        lines += list_in_prose(text[end : block.start()])
        end = block.end()
        if block["language"] in ("bash", "sh"):
            written = block["content"].replace("\\\n", " ").splitlines()
            is_script = block["language"] == "sh"
            lines += [line for line in written if not is_script or COMMAND.match(line.strip())]
    lines += list_in_prose(text[end:])
    return [split_line(line) for line in lines if shlex.split(line, comments=True)]


def list_in_prose(text: str) -> list[str]:
    """The commands outside of blocks; what only names a program or shows a form is none."""
    found = [" ".join((code["indented"] or code["inline"]).split()) for code in CODE.finditer(text)]
    return [line for line in found if COMMAND.match(line) and line not in FRAGMENTS]


def split_line(line: str) -> Typed:
    """Take off assignments, Slurm's `srun`, the folder of the environment, and the shell's variables."""
    words = [word for word in shlex.split(line, comments=True) if not word.startswith("$")]
    while re.fullmatch(r"[A-Z0-9_]+=.*|srun", words[0]):
        words = words[1:]
    return Typed((words[0].removeprefix(".venv/bin/"), *words[1:]), line.strip())


def list_scripts(text: str) -> list[str]:
    """The python blocks."""
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def load_module(name: str) -> ModuleType:
    """A module or package by name, as `-m` finds it, or a script by its path."""
    if name.endswith(".py"):
        spec = importlib.util.spec_from_file_location(Path(name).stem, ROOT / name)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        with pytest.MonkeyPatch.context() as patch:  # a script finds those beside it
            patch.setattr(sys, "path", [str((ROOT / name).parent), *sys.path])
            spec.loader.exec_module(module)
        return module
    found = importlib.util.find_spec(name)
    assert found, f"there is no module {name}"
    return import_module(f"{name}.__main__" if found.submodule_search_locations else name)


def understand(command: Typed) -> object:
    """Let the command's own parser and configuration loader read it, and stop it there.

    Returns:
        The configuration, for commands that have one; else the parsed arguments.
    """
    if command.launcher:
        check_launcher(command.launcher)
    module = load_module(command.module)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [command.module, *command.arguments])
        patch.chdir(ROOT)
        goes_on = hasattr(module, "load_config") and not command.module.endswith(".py")
        for name in ("parse_args", "parse_intermixed_args"):
            parse = getattr(argparse.ArgumentParser, name)
            patch.setattr(argparse.ArgumentParser, name, stop_after(parse, goes_on))
        if goes_on:
            patch.setattr(module, "load_config", stop_with_config)
        try:
            status = module.main()
        except Understood as understood:
            return understood.what
        except SystemExit as error:
            raise AssertionError(f"not understood: {command.line}") from error
    raise AssertionError(f"ended with {status} before it was understood: {command.line}")


def stop_after(parse, goes_on: bool):
    """The parser's method; it stops the command there, unless it goes on to read a configuration."""

    def parse_and_stop(self, *args, **kwargs):
        found = parse(self, *args, **kwargs)
        if goes_on and not getattr(found, "repeat", None):
            return found
        raise Understood(found)

    return parse_and_stop


def stop_with_config(schema, path=None, overrides=()):
    """Read a configuration, look at what it says, and stop the command."""
    config = load_config(schema, path, overrides)
    if schema is RunConfig:
        list_streams(config.model)
    elif schema is PreprocessConfig:
        check_config(config)
    elif schema is AblationConfig:
        check_variants(path)
    elif schema is SearchConfig:
        load_config(RunConfig, config.base, config.set)
    raise Understood(config)


@functools.cache
def check_variants(path: str) -> None:
    """The settings of all variants of an ablation; its own overrides do not change them."""
    assert list_runs(load_config(AblationConfig, path))


def check_launcher(words: list[str]) -> None:
    """The options of `accelerate launch`, and the file that they name."""
    options = launch_command_parser().parse_args(words)
    if options.config_file:
        assert (ROOT / options.config_file).is_file(), f"there is no file {options.config_file}"
        load_config_from_file(str(ROOT / options.config_file))


@contextmanager
def stand_in_project(place: Path) -> Iterator[Path]:
    """Work in `place`, in which the recipes lie as in the project."""
    with pytest.MonkeyPatch.context() as patch:
        (place / "configs").symlink_to(ROOT / "configs")
        patch.chdir(place)
        yield place


def run_command(command: Typed, *more: str) -> int | None:
    """Run the command in this process, with settings that shorten it."""
    arguments = [*command.arguments, *more, *shorten(command)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [command.module, *arguments])
        return load_module(command.module).main()


def shorten(command: Typed) -> list[str]:
    """What is added to a command, so that it is run in seconds; all else is as it is typed."""
    if command.module != "mosi_e2e.train":
        return SHORTER.get(command.module, [])
    if "--repeat" in command.words:
        return []
    more = list(QUICK)
    if any("crossmodal.yaml" in word for word in command.words):
        given = "checkpoints/" in command.line  # encoders of the sizes of SMALL, which the test has put there
        more += [one for one in SMALL if not (given and re.search(r"pretrained|speech\.model", one))]
    if any("words.yaml" in word for word in command.words):
        more.append("model.late_fusion.words.model=tiny_bert")  # a tiny one, which the test has put there
    return more
