"""Scores as `mosi_e2e.evaluate` writes them."""

import json

import pytest

from mosi_e2e.evaluate import main


def read_metrics(path):
    return json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def score_file(tmp_path, table, *words, name="mine.csv", **options):
    """Scores of a table of predictions, as written by the command."""
    table.to_csv(tmp_path / name, index=False, **options)
    out = tmp_path / "metrics.json"
    assert main(["--predictions", str(tmp_path / name), "--out", str(out), *words]) == 0
    return read_metrics(out)
