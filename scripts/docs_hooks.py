"""What the documentation's pages do not say by hand: settings, how to contribute, changes.

The settings come from the dataclasses that are the schema of every configuration file: a key that is added
there is on the page, with its default and what its docstring says.
"""

from importlib import import_module
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from mosi_e2e.settings import SCHEMAS, describe_keys, list_sections, read_docstring

ROOT = Path(__file__).resolve().parents[1]


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
    for verb, (heading, command, module, name) in SCHEMAS.items():
        lines += [f"## {heading}\n", f"`{command} --config FILE [key=value ...]`, `mosi settings {verb}`\n"]
        for prefix, section in list_sections(getattr(import_module(module), name)()):
            lines += describe_section(prefix, section)
    return "\n".join(lines)


def describe_section(prefix: str, section: object) -> list[str]:
    """Heading, what the docstring says, and a table of the keys."""
    text, _ = read_docstring(type(section))
    rows = [
        f"| `{one.key}` | {f'`{one.default}`' if one.default else 'empty'} | {escape(one.meaning)} |"
        for one in describe_keys(prefix, section)
    ]
    heading = [f"### `{prefix.rstrip('.')}`\n"] if prefix else []
    table = ["| key | default | |", "|---|---|---|", *rows, ""] if rows else []
    return [*heading, f"{text}\n", *table]


def escape(text: str) -> str:
    """One line, for a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")
