"""Results as text."""

import pytest

from mosi_e2e.pages.tables import SYNTHETIC_NOTE, format_scores
from mosi_e2e.scores.metrics import REGRESSION_KEYS


def make_scores(mae, synthetic=False, task="regression", **more):
    metrics = dict.fromkeys(REGRESSION_KEYS, 0.5) | {"mae": mae} | more
    interval = {key: [-1.123, -0.456] for key in metrics}
    floors = {"zero": {"mae": 1.25}}
    return {
        "n": 8,
        "videos": 3,
        "task": task,
        "synthetic": synthetic,
        "metrics": metrics,
        "interval": interval,
        "floors": floors,
    }


def test_a_row_for_each_system_and_one_for_each_floor():
    lines = format_scores({"first": make_scores(0.75), "second": make_scores(0.8)}).splitlines()
    assert lines[0].split() == list(REGRESSION_KEYS)
    assert [line.split()[0] for line in lines] == ["mae", "first", "95", "second", "95", "floor:", "8"]
    assert lines[1].split()[1] == "0.750" and lines[3].split()[1] == "0.800"
    assert lines[5].split()[:3] == ["floor:", "zero", "1.250"]
    assert lines[5].split()[3:] == ["-"] * (len(REGRESSION_KEYS) - 1)
    assert lines[6] == "8 clips of 3 videos."


def test_columns_stand_under_their_names_and_never_touch():
    long_name = "a_run_with_a_rather_long_name_indeed"
    lines = format_scores({long_name: make_scores(0.75)}).splitlines()[:-1]
    assert len({len(line) for line in lines}) == 1
    assert lines[2].split()[4:] == ["-1.12..-0.46"] * len(REGRESSION_KEYS)
    for key in REGRESSION_KEYS:
        end = lines[0].index(f" {key} " if f" {key} " in lines[0] else f" {key}") + 1 + len(key)
        assert lines[1][end - 1] != " " and (end == len(lines[1]) or lines[1][end] == " ")


def test_an_undefined_value_is_a_dash_never_a_number():
    scores = make_scores(0.75)
    scores["metrics"]["corr"] = scores["interval"]["corr"] = None
    row, interval = format_scores({"one": scores}).splitlines()[1:3]
    place = list(REGRESSION_KEYS).index("corr")
    assert row.split()[1 + place] == "-" and interval.split()[4 + place] == "-"


@pytest.mark.parametrize("synthetic", [True, False])
def test_synthetic_results_are_named_so(synthetic):
    assert (SYNTHETIC_NOTE in format_scores({"one": make_scores(0.75, synthetic)})) == synthetic


def test_the_number_of_clips_is_no_metric():
    header = format_scores({"one": make_scores(0.75, n=7)}).splitlines()[0]
    assert "n" not in header.split()
