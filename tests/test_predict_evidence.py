"""What a model's own record allows to say of a score, and what is said first."""

import json
from dataclasses import replace

import numpy as np
import pytest
from kit.demo_models import make_result
from kit.made_predictor import CROSS, give_evidence, make_small_cache, write_run, write_video
from kit.pages_read import PageReader

from mosi_e2e.hub import load
from mosi_e2e.predict.describe import describe
from mosi_e2e.predict.evidence import Evidence, read_evidence, weigh
from mosi_e2e.predict.page import write_result_page
from mosi_e2e.predict.panel import Panel
from mosi_e2e.predict.predictor import PredictOptions, Predictor
from mosi_e2e.predict.summary import find_leading
from mosi_e2e.predict.words import tell
from mosi_e2e.runs.calibration import Calibration

pytestmark = pytest.mark.usefixtures("one_thread")
TWELVE = [[0.4]] * 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evidence")
    make_small_cache(folder / "made")
    write_video(folder / "clip.mp4", 0.8)
    return folder


@pytest.fixture
def run(folder, tmp_path):
    return write_run(tmp_path / "cross", folder / "made" / "cache", CROSS)


def predict(run, folder, level: float = 0.9):
    return Predictor.open(run).predict(folder / "clip.mp4", options=PredictOptions(draws=10, level=level))


def test_the_interval_comes_first_and_the_spread_under_its_own_name(run, folder):
    result = predict(give_evidence(run, errors=TWELVE), folder)
    assert (result.interval.low, result.interval.high) == pytest.approx(
        (result.score - 0.4, result.score + 0.4)
    )
    assert (result.interval.split, result.interval.videos) == ("test", 12)
    assert result.timeline[0].low == pytest.approx(result.score - 0.4)
    text = describe(result)
    assert text.index("90 % interval") < text.index("spread of 10 dropout samples")
    assert "not a prediction interval" in text and result.warnings == []
    stored = result.to_dict()
    assert stored["interval"]["videos"] == 12 and stored["spread"]["method"] == "10 dropout samples"


def test_a_class_is_named_only_where_the_interval_leaves_one(folder, tmp_path):
    run = write_run(tmp_path / "sure", folder / "made" / "cache", CROSS, seed=2)  # its score is not near 0
    score = predict(give_evidence(run, errors=TWELVE), folder).score
    sign, size = ("positive" if score > 0 else "negative"), abs(score)
    for error, expected in ((size - 0.01, sign), (size + 0.01, "undecided")):
        assert predict(give_evidence(run, errors=[[error]] * 12), folder).label_class == expected


def test_three_videos_give_no_interval_and_no_class_and_say_why(run, folder):
    result = predict(give_evidence(run, errors=TWELVE[:3]), folder)
    assert result.interval is None and result.label_class is None and result.score is not None
    assert "only 3 videos" in result.why_none and "9 videos are needed" in result.why_none
    assert predict(run, folder, level=0.75).interval is not None


def test_a_model_no_better_than_its_trivial_baseline_says_so_first(run, folder):
    result = predict(give_evidence(run, mae=2.21, baseline=2.07, errors=[[0.01]] * 12), folder)
    (warning,) = result.warnings
    assert "does not beat a trivial baseline" in warning and "2.21" in warning and "2.07" in warning
    assert describe(result).splitlines()[1].strip().startswith("warning: the model cross does not beat")
    assert result.label_class is None and result.interval is not None
    assert result.to_dict()["model"]["evidence"]["cross"]["beats_baseline"] is False
    picture = np.zeros((240, 320, 3), np.uint8)
    Panel(result).draw(picture, 0.2)
    assert (picture[2, 2] == (196, 74, 0)).all()


def test_a_lead_within_chance_and_a_missing_record_are_remarked_upon(run, folder):
    close = predict(give_evidence(run, mae=1.0, baseline=1.05), folder)
    assert close.warnings == [] and any("may be no better" in one for one in close.remarks)
    for name in ("metrics_test.json", "calibration.json"):
        (run / name).unlink()
    unknown = predict(run, folder)
    assert any("has no metrics" in one and "mosi_e2e.evaluate" in one for one in unknown.remarks)
    assert unknown.interval is None and "held-out clips are not known" in unknown.why_none


def test_an_exported_folder_knows_what_its_run_knew(run, folder, tmp_path):
    give_evidence(run, mae=2.21, baseline=2.07, errors=TWELVE)
    load(run).save_pretrained(tmp_path / "exported")
    ours, theirs = predict(run, folder), Predictor.open(tmp_path / "exported").predict(folder / "clip.mp4")
    assert theirs.interval == ours.interval and "2.07" in theirs.warnings[0]
    through_hub = load(tmp_path / "exported").predict(folder / "clip.mp4")
    assert through_hub.interval == ours.interval and "2.07" in through_hub.warnings[0]


def test_what_may_be_said_depends_on_streams_runs_and_clips():
    errors = Calibration("test", "same", TWELVE)
    good = Evidence("test", "mae", 0.5, (0.4, 0.6), "zero", 1.0, errors)
    assert weigh([good], False, 0.9, []).half_width == 0.4
    lacking = weigh([good], False, 0.9, ["face"])
    assert lacking.half_width is None and "face missing" in lacking.why_none
    assert "synthetic" in weigh([good], True, 0.9, []).why_none
    other = replace(good, calibration=replace(errors, clips="other"))
    assert "not scored on the same clips" in weigh([good, other], False, 0.9, []).why_none
    bad = replace(good, value=1.0)
    assert not weigh([good, bad], False, 0.9, []).has_class and weigh([good, good], False, 0.9, []).has_class


def test_of_several_baselines_the_hardest_counts_and_valid_stands_in_for_test():
    floors = {"train_mean": {"mae": 1.4}, "zero": {"mae": 1.3}, "majority": {"mae": None}}
    scores = {"metrics": {"mae": 1.35}, "interval": {"mae": [1.2, 1.5]}, "floors": floors}
    found = read_evidence({"metrics_valid.json": json.dumps(scores).encode()}, "regression")
    assert (found.split, found.baseline, found.beats_baseline) == ("valid", "zero", False)


def test_a_stream_leads_only_by_more_than_could_be_told_apart():
    assert find_leading({"face": 0.02, "speech": 0.01}, 0.1) is None
    assert find_leading({"face": -0.50, "speech": 0.45}, 0.1) is None
    assert find_leading({"face": -0.60, "speech": 0.45}, 0.1) == "face"


def test_no_second_is_marked_where_all_matter_little(run, folder):
    result = predict(give_evidence(run, errors=[[2.9]] * 12), folder)  # a tenth of the half-width: 0.29
    assert result.deciding is None


def test_warnings_stand_before_the_score_on_the_page_and_in_the_overlay(tmp_path):
    result = replace(make_result(), warnings=["a warning"])
    write_result_page(result, tmp_path / "page.html")
    page = PageReader((tmp_path / "page.html").read_text())
    assert page.text.index("A warning") < page.text.index("−1.26")
    picture = np.zeros((240, 320, 3), np.uint8)
    Panel(result).draw(picture, 0.5)  # the result's model is synthetic
    assert (picture[1, 1] == (196, 74, 0)).all()


def test_the_panel_has_a_row_for_everybody():
    result = make_result()
    both = replace(result, people=[result.people[0], replace(result.people[0], number=2, name="person 2")])
    heights = []
    for shown in (replace(result, people=result.people[:1]), both):
        picture = np.full((480, 640, 3), 255, np.uint8)
        Panel(shown).draw(picture, 0.5)
        dark = (picture[60:, 3].max(axis=-1) < 120).sum()
        heights.append(int(dark))
        bars = (np.abs(picture[-dark:].astype(int) - (255, 140, 40)).max(axis=-1) < 20).any(axis=1)
        assert np.diff(np.flatnonzero(np.diff(np.r_[0, bars, 0]))).size  # there are bars
    assert heights[1] > 1.4 * heights[0]


def test_an_undecided_score_says_what_that_means():
    person = replace(make_result().people[0], label_class="undecided")
    assert any("allow both signs" in sentence for sentence in tell(person))
