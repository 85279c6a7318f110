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

from mosi_e2e.ablation.config import AblationConfig, list_runs
from mosi_e2e.config import RunConfig
from mosi_e2e.models import list_streams
from mosi_e2e.search import SearchConfig
from preprocessing.config import PreprocessConfig, check_config
from preprocessing.settings import load_config

ROOT = Path(__file__).resolve().parents[1]
QUICK = ["optim.epochs=1", "data.workers=0", "data.batch_size=32"]


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
    def module(self) -> str:
        """What `-m` names, or the script; empty for programs that are not this project's."""
        if self.words[0] == "python" and self.words[1].endswith(".py"):
            return self.words[1]
        return self.words[self.words.index("-m") + 1] if self.words[0] in ("python", "accelerate") else ""

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
    """The lines of all bash blocks and inline `.venv/bin` commands; a backslash at the end joins lines."""
    blocks = re.findall(r"^( *)```bash\n(.*?)^\1```", text, re.DOTALL | re.MULTILINE)
    lines = [line for _, block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += [line for line in re.findall(r"`(\.venv/bin/[^`]+)`", text) if " " in line]
    return [split_line(line) for line in lines if shlex.split(line, comments=True)]


def split_line(line: str) -> Typed:
    """Take off assignments and the folder of the virtual environment."""
    words = shlex.split(line, comments=True)
    while re.fullmatch(r"[A-Z_]+=.*", words[0]):
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


def run_command(command: Typed, *more: str) -> int:
    """Run the command in this process; trainings are shortened."""
    arguments = [*command.arguments, *more]
    if command.module == "mosi_e2e.train" and "--repeat" not in arguments:
        arguments += QUICK
        if any("crossmodal.yaml" in word for word in arguments):
            arguments += SMALL
        if "--multi_gpu" in command.words and not any(word.startswith("name=") for word in arguments):
            arguments.append("name=two_processes")
    return load_module(command.module).main(arguments)
