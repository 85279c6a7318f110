"""What the documentation's pages do not say by hand: settings, how to contribute, changes.

The settings come from the dataclasses that are the schema of every configuration file: a key that is added
there is on the page, with its default and what its docstring says.
"""

import dataclasses
import inspect
import json
import typing
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
SCHEMAS = {  # heading → command, module, class
    "A run": ("accelerate launch -m mosi_e2e.train", "mosi_e2e.config", "RunConfig"),
    "Preprocessing": ("python -m preprocessing", "preprocessing.config", "PreprocessConfig"),
    "An ablation": ("python -m mosi_e2e.ablate", "mosi_e2e.ablation.config", "AblationConfig"),
    "A search": ("python -m mosi_e2e.search", "mosi_e2e.search", "SearchConfig"),
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie beside the README."""
    for name in ("CONTRIBUTING.md", "CHANGELOG.md"):
        files.append(File.generated(config, name.lower(), content=(ROOT / name).read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Add all keys to the page of settings."""
    del config, files
    return f"{markdown}\n{list_settings()}" if page.file.src_uri == "settings.md" else markdown


def list_settings() -> str:
    """Every key of every schema, as Markdown."""
    lines = []
    for heading, (command, module, name) in SCHEMAS.items():
        lines += [f"## {heading}\n", f"`{command} --config FILE [key=value ...]`\n"]
        for prefix, section in list_sections(getattr(import_module(module), name)()):
            lines += describe_section(prefix, section)
    return "\n".join(lines)


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


def describe_section(prefix: str, section: object) -> list[str]:
    """Heading, what the docstring says, and a table of the keys."""
    text, said = read_docstring(type(section))
    rows = [
        f"| `{prefix}{field.name}` | {format_value(getattr(section, field.name))} "
        f"| {escape(said.get(field.name, ''))} |"
        for field in dataclasses.fields(section)
        if not dataclasses.is_dataclass(field.type) and not named_sections(field.type)
    ]
    heading = [f"### `{prefix.rstrip('.')}`\n"] if prefix else []
    table = ["| key | default | |", "|---|---|---|", *rows, ""] if rows else []
    return [*heading, f"{text}\n", *table]


def read_docstring(schema: type) -> tuple[str, dict[str, str]]:
    """Its prose, and what its `Attributes` say of each field; `low, high: ...` speaks of both."""
    text, said = [], {}
    for section in griffe.Docstring(inspect.getdoc(schema) or "").parse("google"):
        if section.kind is griffe.DocstringSectionKind.attributes:
            for attribute in section.value:
                said |= dict.fromkeys(attribute.name.split(", "), attribute.description)
        elif section.kind is griffe.DocstringSectionKind.text:
            text.append(section.value)
    return "\n\n".join(text), said


def format_value(value: object) -> str:
    """A default as it would be typed."""
    if value == "":
        return "empty"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`".replace('"', "")


def escape(text: str) -> str:
    """One line, for a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")
