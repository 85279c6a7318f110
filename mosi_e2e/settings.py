"""`python -m mosi_e2e.settings`: every key of every configuration, with its default and its meaning.

The dataclasses that are the schemas say it all: defaults are theirs, meanings stand in their docstrings.
"""

import argparse
import dataclasses
import inspect
import json
import re
import shutil
import sys
import textwrap
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module

from preprocessing.errors import UserError, command

SCHEMAS = {  # verb → heading, command, module, class
    "train": ("A run", "accelerate launch -m mosi_e2e.train", "mosi_e2e.config", "RunConfig"),
    "preprocess": ("Preprocessing", "python -m preprocessing", "preprocessing.config", "PreprocessConfig"),
    "ablate": ("An ablation", "python -m mosi_e2e.ablate", "mosi_e2e.experiments.ablation", "AblationConfig"),
    "search": ("A search", "python -m mosi_e2e.search", "mosi_e2e.experiments.search_space", "SearchConfig"),
}
ATTRIBUTE = re.compile(r"^(\w+(?:, \w+)*): (.*)$")


@dataclass(frozen=True)
class Setting:
    """One key: dotted name, default as it would be typed, meaning in one line."""

    key: str
    default: str
    meaning: str


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Print the keys that were asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m mosi_e2e.settings",
        description="List every configuration key with its default and its meaning.",
        epilog="example: mosi settings train optim   |   mosi settings preprocess",
    )
    parser.add_argument("verb", nargs="?", choices=SCHEMAS, help="default: all")
    parser.add_argument("prefix", nargs="?", default="", help="only keys that begin with this, such as optim")
    args = parser.parse_args(argv)
    found = False
    for verb in [args.verb] if args.verb else SCHEMAS:
        settings = [one for one in list_settings(verb) if matches(one.key, args.prefix)]
        if settings:
            found = True
            print(f"{SCHEMAS[verb][0]}: {SCHEMAS[verb][1]} [--config FILE] [key=value ...]\n")
            print(format_settings(settings) + "\n")
    if not found:
        raise UserError(f"no key of {args.verb} begins with '{args.prefix}'; type it without the prefix")
    return 0


def matches(key: str, prefix: str) -> bool:
    """Whether a key is `prefix` or stands below it.

    >>> matches("optim.lr", "optim"), matches("optim.lr", "opt"), matches("optim.lr", "")
    (True, False, True)
    """
    return not prefix or key == prefix or key.startswith(f"{prefix.rstrip('.')}.")


def list_settings(verb: str) -> list[Setting]:
    """Every key of a command's schema, sections in their order."""
    _, _, module, name = SCHEMAS[verb]
    sections = list_sections(getattr(import_module(module), name)())
    return [setting for prefix, section in sections for setting in describe_keys(prefix, section)]


def list_sections(section: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """A default configuration and those nested in it, each with the dotted name of its keys' parent."""
    yield prefix, section
    for field in dataclasses.fields(section):
        if dataclasses.is_dataclass(field.type):
            yield from list_sections(getattr(section, field.name), f"{prefix}{field.name}.")
        elif named := named_sections(field.type):
            yield from list_sections(named(), f"{prefix}{field.name}.NAME.")


def named_sections(kind: object) -> type | None:
    """The dataclass that a field is a dictionary of."""
    found = typing.get_args(kind)[-1] if typing.get_origin(kind) is dict else None
    return found if dataclasses.is_dataclass(found) else None


def describe_keys(prefix: str, section: object) -> list[Setting]:
    """The keys of one section, those of nested ones left out."""
    _, meanings = read_docstring(type(section))
    return [
        Setting(prefix + field.name, format_value(getattr(section, field.name)), meanings.get(field.name, ""))
        for field in dataclasses.fields(section)
        if not dataclasses.is_dataclass(field.type) and not named_sections(field.type)
    ]


def read_docstring(schema: type) -> tuple[str, dict[str, str]]:
    """A docstring's prose, and what its `Attributes` say of each field; `low, high: ...` speaks of both."""
    text, _, attributes = (inspect.getdoc(schema) or "").partition("\n\nAttributes:\n")
    meanings: dict[str, str] = {}
    names: list[str] = []
    for line in textwrap.dedent(attributes).splitlines():
        if found := ATTRIBUTE.match(line):
            names = found[1].split(", ")
            meanings |= dict.fromkeys(names, found[2])
        elif line.strip():
            meanings |= {name: f"{meanings[name]} {line.strip()}" for name in names}
    return text, meanings


def format_value(value: object) -> str:
    """A default as it would be typed; an empty text stays empty."""
    return value if isinstance(value, str) else json.dumps(value).replace('"', "")


def format_settings(settings: Sequence[Setting]) -> str:
    """One line per key as wide as the terminal, its meaning below."""
    width = min(shutil.get_terminal_size().columns, 110)
    lines = []
    for setting in settings:
        lines.append(f"{setting.key}={setting.default}")
        lines += textwrap.wrap(setting.meaning, width, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
