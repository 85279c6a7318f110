"""The interval around a score: from errors on held-out clips, each video counted once."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from kit.typed_commands import load_module

from mosi_e2e.runs import calibration
from mosi_e2e.runs.calibration import Calibration, calibrate


def make_table(errors: list[list[float]]) -> pd.DataFrame:
    rows = [
        {"clip_id": f"{video}_{clip}", "video_id": video, "label": error, "score": 0.0}
        for video, several in enumerate(errors)
        for clip, error in enumerate(several)
    ]
    return pd.DataFrame(rows)


def make_calibration(errors: list[list[float]]) -> Calibration:
    return Calibration("test", "same", errors)


def test_the_half_width_is_the_weighted_quantile_by_its_definition():
    rng = np.random.default_rng(0)
    errors = [rng.normal(size=rng.integers(1, 6)).tolist() for _ in range(12)]

    def share(size):
        return sum(np.mean(np.abs(one) <= size) for one in errors) / 13

    for level in (0.5, 0.8, 0.9, 12 / 13):
        width = make_calibration(errors).half_width(level)
        assert share(width) >= level - 1e-9 > share(np.nextafter(width, 0))


def test_a_video_of_many_clips_counts_as_much_as_one_of_a_single_clip():
    few = make_calibration([[1.0]] * 9 + [[3.0]])
    many = make_calibration([[1.0]] * 9 + [[3.0] * 100])
    assert few.half_width(0.8) == many.half_width(0.8) == 1.0


@pytest.mark.parametrize(("videos", "level", "has_one"), [(3, 0.9, False), (3, 0.75, True), (9, 0.9, True)])
def test_few_videos_allow_no_high_level_and_the_reason_is_given(videos, level, has_one):
    found = make_calibration([[1.0, 2.0]] * videos)
    assert (found.half_width(level) is not None) == has_one
    if not has_one:
        told = found.explain_lack(level)
        assert "only 3 videos" in told and "75 % at most" in told and "9 videos are needed" in told


def test_errors_are_of_clipped_scores_and_of_classes_for_the_binary_task():
    table = pd.DataFrame({"clip_id": ["a", "b", "c"], "video_id": ["x", "x", "y"]})
    table["label"], table["score"] = [3.0, -1.0, np.nan], [4.5, 0.0, 0.0]
    assert calibrate(table, "test", "regression").errors == [[0.0, -1.0]]
    table["label"], table["score"] = [2.0, 0.0, -0.4], [0.75, 0.5, 1.0]
    assert calibrate(table, "test", "binary").errors == [[1.5], [-6.0]]  # 0 is neither


def test_the_errors_of_runs_are_averaged_only_over_the_same_clips():
    one = calibrate(make_table([[1.0], [2.0]]), "test", "regression")
    other = calibrate(make_table([[1.0], [2.0]]).assign(score=2.0), "test", "regression")
    assert calibration.average([one, other]).errors == [[0.0], [1.0]]
    assert calibration.average([one, calibrate(make_table([[1.0], [2.1]]), "test", "regression")]) is None
    assert calibration.average([one, replace(one, split="valid")]) is None


def test_a_run_keeps_its_errors_and_forgets_those_of_former_weights(tmp_path):
    path, table = tmp_path / calibration.NAME, make_table([[1.0]])
    calibration.record(tmp_path, "valid", table, "regression", synthetic=True)
    calibration.record(tmp_path, "train", table, "regression", synthetic=False)
    assert not path.exists()
    calibration.record(tmp_path, "valid", table, "regression", synthetic=False)
    calibration.record(tmp_path, "test", make_table([[2.0], [0.5]]), "regression", synthetic=False)
    assert calibration.read(path.read_bytes()).split == "test"
    other_machine, trained_longer = table.assign(score=0.001), table.assign(score=0.5)
    calibration.record(tmp_path, "valid", other_machine, "regression", synthetic=False)
    assert calibration.read(path.read_bytes()).errors == [[2.0], [0.5]]
    calibration.record(tmp_path, "valid", trained_longer, "regression", synthetic=False)
    assert calibration.read(path.read_bytes()).split == "valid"


def test_an_older_runs_errors_come_from_its_predictions(tmp_path):
    assert calibration.recover(tmp_path, "regression") is None
    make_table([[1.0, -1.0], [2.0]]).to_csv(tmp_path / "predictions_test.csv", index=False)
    metrics = tmp_path / "metrics_test.json"
    metrics.write_text(json.dumps({"synthetic": True}))
    assert calibration.recover(tmp_path, "regression") is None
    metrics.write_text(json.dumps({"synthetic": False}))
    found = calibration.read(calibration.recover(tmp_path, "regression"))
    assert found.errors == [[1.0, -1.0], [2.0]] and found.split == "test"


@pytest.fixture(scope="module")
def simulation():
    """The simulation of `benchmarks/conformal_coverage.py`, which runs 1,000 sets."""
    return load_module("benchmarks/conformal_coverage.py")


def test_the_interval_covers_what_it_claims_where_clips_counted_singly_do_not(simulation):
    source = simulation.POPULATIONS["long videos easier"]
    found = simulation.measure_coverage(source, 20, [0.8], sets=60)
    # The guarantee ends at 1 / 21 above the level for errors without ties.
    assert 0.79 <= found["by video", 0.8][0] <= 0.87 and found["by clip", 0.8][0] < 0.79
