"""What the web page shows of a result."""

import base64
import json

import numpy as np
import pytest
from kit.demo_models import make_result
from kit.pages_read import PageReader

from mosi_e2e.demo.view import describe_result, format_time, word_score
from mosi_e2e.demo.worker import Answer
from mosi_e2e.pages.fill import render
from mosi_e2e.pages.tables import SYNTHETIC_MODEL


def show(name: str = "clip.mp4", **changes) -> dict:
    """What the page shows of the made result."""
    result = make_result(remarks=["one remark"]).to_dict() | {"video": name} | changes
    return describe_result(Answer(result, "a,b\n1,2\n", "<p>page</p>"))


def test_the_score_is_told_in_words_and_on_the_scale():
    shown = show()
    assert (shown["score"], shown["word"], shown["kind"]) == ("−1.26", "negative", "negative")
    assert shown["place"] == 29.0 and shown["interval"] == {"left": 18.33, "right": 40.0}
    sentences = " ".join(shown["sentences"])
    assert "Probability of positive: 17 %." in sentences and "off by 0.85" in sentences
    assert "90 % interval: −1.90 to −0.60, by the errors on 20 videos." in sentences
    assert "Spread of 30 dropout samples: −1.30 to −1.20." in sentences and "not a prediction" in sentences
    assert [word_score(one) for one in (-9, 0.49, 2.6)] == [
        "strongly negative",
        "neutral",
        "strongly positive",
    ]
    plain = show(interval=None, spread=None, probability=None, model={"test_mae": None})
    assert plain["sentences"] == [] and plain["interval"] is None  # the class stands beside the score
    weighed = show(
        weight={"face": 0.0, "words": 1.0}, by_stream={"face": 0.5, "words": -1.26}, probability=None
    )
    assert weighed["sentences"][0] == "Words −1.26 (decides), face +0.50."
    unsure = show(label_class=None, why_none="no class: the reason", warnings=["a warning"])
    assert unsure["word"] == "no class" and "No class: the reason." in unsure["sentences"]
    bare = show(label_class=None, why_none="no class: the reason", probability=None)
    assert bare["sentences"][0] == "No class: the reason."
    assert unsure["remarks"] == ["A warning.", "One remark."]


def points(path: str) -> np.ndarray:
    return np.array(path.strip("MZ").replace("L", " ").split(), float).reshape(-1, 2)


def test_the_curve_is_a_staircase_with_its_interval_and_breaks_where_there_is_no_score():
    first, second = show()["curve"]
    line = points(first["line"])
    np.testing.assert_allclose(line[:, 0], [0, 250, 250, 375, 375, 500])
    np.testing.assert_allclose(line[:, 1], [56.7, 56.7, 25, 25, 46.7, 46.7])
    band = points(first["band"])
    np.testing.assert_allclose(band[:6, 1] + 10, band[:5:-1, 1], atol=0.11)  # 0.6 of 6 between the two edges
    assert (band[:6, 1] < line[:, 1]).all()
    assert second["line"].startswith("M750.0 0.0")  # a score beyond the scale stays in sight
    blind = [window | {"low": None, "high": None} for window in make_result().to_dict()["timeline"]]
    assert show(timeline=blind)["curve"][0]["band"] == ""


def test_seconds_moments_times_and_bars():
    shown = show()
    assert shown["effects"] == "M0.0 50H125.0V60.0H0.0ZM125.0 50H250.0V45.0H125.0Z"
    assert shown["moments"][0] == ("Highest: +5.00 at 0:06", 6.0) and shown["moments"][2][1] == 0.0
    assert show(timeline=make_result().to_dict()["timeline"][:1], deciding=None)["moments"] == []
    assert [format_time(t) for t in (0, 7.04, 59.96, 61.5, 600)] == [
        "0:00",
        "0:07",
        "1:00",
        "1:01.5",
        "10:00",
    ]
    face, speech, behaviour = shown["bars"]
    assert (face.text, face.left, face.width, face.alone) == ("−1.10", 31.67, 18.33, "−0.20")
    assert (speech.left, speech.width, speech.is_positive) == (50.0, 7.33, True)
    assert (behaviour.text, behaviour.alone) == ("missing", "–")


def test_bars_and_seconds_have_the_scales_of_the_prediction_page():
    small, large = (show(contribution={"face": value})["bars"][0].width for value in (0.04, 0.47))
    assert (small, large) == (0.67, 7.83)
    (far,) = show(contribution={"face": -7.0})["bars"]
    assert (far.left, far.width) == (0.0, 50.0)  # stays in its field
    window = make_result().to_dict()["timeline"][0]
    for effect, reach, height in ((0.04, 1, 48.0), (1.0, 1, 0.0), (1.5, 3, 25.0), (-9.0, 3, 100.0)):
        shown = show(timeline=[window | {"seconds": [{"start_s": 0.0, "end_s": 1.0, "effect": effect}]}])
        assert shown["effects_reach"] == reach and f"V{height}H" in shown["effects"]
        assert f"from −{reach} to +{reach}" in render("demo_result.html", shown)


def test_words_are_coloured_by_what_they_add():
    shown = describe_result(Answer(make_result().to_dict(), "", "", None))
    (part, words), *others = shown["lines"]
    assert not others and part.time == "0:00 – 0:02"
    assert [(word, kind, strength) for word, _, kind, strength in words] == [
        ("<good>", "plus", 0.4),
        ("bad", "minus", 1.0),
    ]
    page = render("demo_result.html", shown)
    assert "&lt;good&gt;" in page and "−2.00, heard with 80 % confidence" in page


def test_who_was_scored_is_shown_where_there_are_several_people():
    shown = describe_result(Answer(make_result().to_dict(), "", "", b"a picture"))
    assert shown["people"] == [("person 1 (left)", "−1.26"), ("person 2 (right)", "no score")]
    page = PageReader(render("demo_result.html", shown))
    (picture,) = page.all("img")
    assert base64.b64decode(picture["src"].partition(",")[2]) == b"a picture" and page.faults == []
    one = PageReader(render("demo_result.html", show(people=make_result().to_dict()["people"][:1])))
    assert one.all("img") == [] and "Who was scored" not in one.text


@pytest.mark.parametrize("duration", [0.4, 1.9, 2.0, 2.6, 2.99, 3.0, 5.9, 6.1, 65.0, 299.0, 601.0])
def test_labels_of_the_time_axis_keep_apart_on_a_phone(duration):
    field, letter = 293, 6.5  # pixels at a width of 390
    ticks = show(duration_s=duration)["ticks"]
    assert ticks[0] == (0.0, "0:00")
    ends = []
    for left, text in ticks:
        middle = left / 100 * field + (letter * len(text) / 2 if left == 0 else 0)  # the first starts at 0
        ends += [middle - letter * len(text) / 2, middle + letter * len(text) / 2]
    assert all(after - before >= 8 for before, after in zip(ends[1::2], ends[2::2], strict=False))


def test_the_downloads_hold_the_result_under_the_visitors_name():
    page, whole, table = show("my clip.mp4")["downloads"]
    assert base64.b64decode(page.address.removeprefix("data:text/html;base64,")) == b"<p>page</p>"
    content = json.loads(base64.b64decode(whole.address.partition(",")[2]))
    assert content == make_result(remarks=["one remark"]).to_dict() | {"video": "my clip.mp4"}
    assert (page.name, whole.name, table.name) == ("my clip.html", "my clip.json", "my clip.csv")
    assert base64.b64decode(table.address.partition(",")[2]) == b"a,b\n1,2\n"


def test_a_result_is_well_formed_and_what_others_named_is_escaped():
    name = '"><script>alert(1)</script>.mp4'
    page = PageReader(render("demo_result.html", show(name, remarks=["<b>bold</b>", SYNTHETIC_MODEL])))
    assert page.faults == [] and page.all("script") == [] and page.all("b") == []
    assert name in page.text and "<b>bold</b>." in page.text and "SYNTHETIC" not in page.text
    assert page.all("video")[0]["aria-label"]
