"""Tables of measured results are those of the files that benchmarks wrote."""

import json
import re
from pathlib import Path

import pytest
from kit.doc_pages import TEXTS
from kit.typed_commands import load_module

from mosi_e2e.experiments.formats import lay_out, to_markdown

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
FORMS = {
    "words": lambda rows: load_module("benchmarks/words.py").format_rows(rows),
    "faces": lambda rows: load_module("benchmarks/face_robustness.py").format_rows(rows),
    "ablation": lambda summary: to_markdown(lay_out(summary)),
}
# Tables of figures stand where all results are, where speed is, and on pages that need one of their own:
# the demo's, the ready model's, trivial baselines, and what the recognisers cost.
FIGURES = {"results.md", "benchmarks/RESULTS.md", "README.md", "ready.md", "metrics.md", "words.md"}


@pytest.mark.parametrize(
    ("path", "form"),
    [(path, form) for path in FILES for form in FORMS if path.stem.startswith(form)],
    ids=lambda value: getattr(value, "stem", value),
)
def test_the_page_shows_what_was_measured(path, form):
    assert FORMS[form](json.loads(path.read_text())) in (ROOT / "docs" / "results.md").read_text()


def test_tables_of_figures_are_pasted_on_no_other_page():
    """A row of them has three or more cells that begin with a decimal number."""
    row = re.compile(r"^\|(?:.*\| *\**[-+]?\d+\.\d){3}", re.M)
    assert {page for page, text in TEXTS.items() if row.search(text)} == FIGURES
