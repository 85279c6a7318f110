"""Tables of measured results are those of the files that benchmarks wrote."""

import json
from pathlib import Path

import pytest
from kit.typed_commands import load_module

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "benchmarks" / "results").glob("words_*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_page_shows_what_was_measured(path):
    table = load_module("benchmarks/words.py").format_rows(json.loads(path.read_text()))
    assert len(FILES) and table in (ROOT / "docs" / "results.md").read_text()
