"""Templates → text: pages, and cards in Markdown."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup


def render(template: str, context: Mapping[str, Any]) -> str:
    """Fill a template of `templates/`; whatever is put into a page is escaped.

    Args:
        template: its name.
        context: what it asks for; pages want `title` and `lead`.
    """
    return open_templates().get_template(template).render(context)


@cache
def open_templates() -> Environment:
    """The templates, read once per process."""
    templates = Environment(
        loader=PackageLoader("mosi_e2e.pages"),
        autoescape=select_autoescape(),  # of pages, not of Markdown
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["breakable"] = breakable
    return templates


def breakable(text: str) -> Markup:
    """A name that may be broken behind its underscores and slashes, rather than anywhere.

    >>> breakable("runs/late_fusion")
    Markup('runs/<wbr>late_<wbr>fusion')
    """
    return Markup("<wbr>").join(re.split(r"(?<=[_/])(?=\w)", str(text)))
