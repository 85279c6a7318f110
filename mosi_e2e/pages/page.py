"""Self-contained HTML pages: one file, no network, readable on a phone and on paper.

What all pages have in common is here and in `templates/`: `page.html` is the skeleton that a page's own
template extends, `parts.html` has the macros that show a `Picture`, a `Table` or a `Notice`.

    {% extends "page.html" %}{% import "parts.html" as parts %}
    {% block content %}{{ parts.table(scores) }}{{ parts.figure(curves) }}{% endblock %}
"""

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from mosi_e2e.pages.fill import render
from preprocessing.cache.store import write_atomic

NUMBER = re.compile(r"[-+−±<]?\s?[\d.,]+(\s?(±|\.\.|/)\s?[-+−]?[\d.,]+)*(\s?(%|s|min|kB|MB|Hz|px))?|[–-]|")
# Text stays text, in the reader's own font; the salt makes equal figures equal files.
SVG_STYLE = {"svg.fonttype": "none", "svg.hashsalt": "mosi_e2e", "font.family": "sans-serif", "font.size": 10}


@dataclass(frozen=True)
class Picture:
    """A picture inside the page.

    Attributes:
        source: a `data:` address.
        alt: what it says, for those who do not see it.
        caption: below it; may be empty.
        is_wide: takes the page's whole width instead of a card's.
    """

    source: str
    alt: str
    caption: str = ""
    is_wide: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of text; the first cell of a row is its name.

    Attributes:
        caption: what the rows are.
        columns: headings.
        rows: one text per column.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    @property
    def is_number(self) -> list[bool]:
        """Per column, whether it holds nothing but numbers, which are set to the right."""
        return [all(NUMBER.fullmatch(row[i]) for row in self.rows) for i in range(len(self.columns))]


@dataclass(frozen=True)
class Notice:
    """A remark that is not to be missed: `kind` is `warning`, `note` or `good`."""

    kind: str
    text: str
    details: Sequence[str] = field(default_factory=tuple)


def embed(data: bytes, media_type: str) -> str:
    """A `data:` address."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def draw_svg(figure: Figure, alt: str, caption: str = "", is_wide: bool = False) -> Picture:
    """A matplotlib figure as a picture that stays sharp at any size.

    Draw it about 4.2 inches wide: then its text is readable at the width of a phone. It is embedded as an
    image, not as elements of the page, because matplotlib gives the same ids in every figure.
    """
    text = io.StringIO()
    with matplotlib.rc_context(SVG_STYLE):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    return Picture(embed(text.getvalue().encode(), "image/svg+xml"), alt, caption, is_wide)


def write_page(folder: Path, template: str, context: Mapping[str, Any]) -> Path:
    """Render into `folder/index.html`, which appears whole."""
    path = folder / "index.html"
    write_atomic(path, render(template, context).encode(errors="backslashreplace"))  # names of others
    return path
