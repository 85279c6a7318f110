"""Tables of measured results are those of the files that benchmarks wrote."""

import json
from pathlib import Path

import pytest
from kit.typed_commands import load_module

from mosi_e2e.experiments.formats import lay_out, to_markdown

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
FORMS = {
    "words": lambda rows: load_module("benchmarks/words.py").format_rows(rows),
    "faces": lambda rows: load_module("benchmarks/face_robustness.py").format_rows(rows),
    "ablation": lambda summary: to_markdown(lay_out(summary)),
}


@pytest.mark.parametrize(
    ("path", "form"),
    [(path, form) for path in FILES for form in FORMS if path.stem.startswith(form)],
    ids=lambda value: getattr(value, "stem", value),
)
def test_the_page_shows_what_was_measured(path, form):
    assert FORMS[form](json.loads(path.read_text())) in (ROOT / "docs" / "results.md").read_text()
