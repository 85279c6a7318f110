"""The report in a real browser: a point says which clip it is, nothing overflows, nothing is fetched."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from kit.made_runs import MadeRun, make_clips, write_run

from mosi_e2e.report.__main__ import main

CHROMIUM = next((path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), None)
WORDS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync")
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    root, clips = tmp_path_factory.mktemp("report"), make_clips(videos=6, clips=4)
    write_run(root / "runs", MadeRun("late_fusion_with_a_long_name"), clips)
    write_run(root / "runs", MadeRun("crossmodal", "crossmodal", seed=1, skill=0.4), clips)
    write_run(
        root / "runs", MadeRun("other/late_fusion_with_a_long_name"), make_clips(4, 4, 3), "cache/another_set"
    )
    assert main([str(root / "runs"), "--out", str(root / "out"), "--clips", "1"]) == 0
    return root


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright, which the extra dev installs")
    if CHROMIUM is None:
        pytest.skip("needs chromium or google-chrome on the path")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=WORDS)
        yield started
        started.close()


@pytest.fixture
def open_page(browser, made):
    """Opens the report; at the end nothing may have been complained about or fetched."""
    complaints, contexts = [], []

    def start(**options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(request.url) if "http" in request.url[:4] else 0)
        page.goto((made / "out" / "index.html").as_uri())
        return page

    yield start
    for context in contexts:
        context.close()
    assert complaints == []


def place_of(stage, clip_id):
    """Where a clip's point lies on the screen, from its score and label alone."""
    spot = stage.evaluate("(s, id) => JSON.parse(s.dataset.spots).find((one) => one[2] === id)", clip_id)
    box = stage.bounding_box()
    return box["x"] + spot[0] / 100 * box["width"], box["y"] + spot[1] / 100 * box["height"]


def test_pointing_at_a_point_names_its_clip_label_and_score(open_page, made):
    page = open_page(viewport={"width": 1280, "height": 900})
    table = pd.read_csv(made / "runs" / "crossmodal" / "predictions_test.csv")
    clip = table.loc[table.score.idxmax()]
    stage = page.locator(".stage[data-name=crossmodal]")
    stage.scroll_into_view_if_needed()
    assert page.locator(".tip:visible").count() == 0
    page.mouse.move(*place_of(stage, clip.clip_id))
    told = stage.locator(".tip").inner_text()
    assert clip.clip_id in told and f"label {clip.label:+.2f}, score {clip.score:+.2f}" in told
    assert page.locator(".ring:visible").count() == 2  # the same clip in the other system's picture
    page.mouse.move(5, 5)
    assert page.locator(".tip:visible").count() == 0


def test_the_point_lies_where_the_picture_has_it(open_page, made):
    """The dot under the highest point's place is blue; a little beside it, it is not."""
    page = open_page(viewport={"width": 1280, "height": 900})
    table = pd.read_csv(made / "runs" / "crossmodal" / "predictions_test.csv")
    stage = page.locator(".stage[data-name=crossmodal]")
    stage.scroll_into_view_if_needed()
    x, y = place_of(stage, table.clip_id[table.score.idxmax()])
    shot = page.screenshot(clip={"x": x - 16, "y": y - 16, "width": 32, "height": 32})
    assert darkest(shot)[0] == pytest.approx(16, abs=2.5) and darkest(shot)[1] == pytest.approx(16, abs=2.5)


def darkest(shot: bytes) -> tuple[float, float]:
    """Middle (x, y) of the pixels of the points' blue."""
    import cv2
    import numpy as np

    blue, green, red = (
        cv2.imdecode(np.frombuffer(shot, np.uint8), cv2.IMREAD_COLOR).astype(int).transpose(2, 0, 1)
    )
    rows, columns = np.nonzero((blue - red > 110) & (green < 160))
    return float(columns.mean()), float(rows.mean())


def test_the_keyboard_goes_from_clip_to_clip(open_page):
    page = open_page(viewport={"width": 1280, "height": 900})
    stage = page.locator(".stage").first
    names = stage.evaluate("(s) => JSON.parse(s.dataset.spots).map((one) => one[2])")
    stage.focus()
    for key, name in (
        ("ArrowRight", names[0]),
        ("ArrowRight", names[1]),
        ("End", names[-1]),
        ("Home", names[0]),
    ):
        page.keyboard.press(key)
        assert name in stage.locator(".tip").inner_text()
    page.keyboard.press("Escape")
    assert not stage.locator(".tip").is_visible()


def test_a_phone_shows_it_without_sideways_scrolling_and_answers_a_tap(open_page):
    page = open_page(viewport=PHONE, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    scores = page.locator(".scroll").first
    assert scores.evaluate("(box) => box.scrollWidth > box.clientWidth")
    stage = page.locator(".stage").first
    stage.scroll_into_view_if_needed()
    name = stage.evaluate("(s) => JSON.parse(s.dataset.spots)[0][2]")
    page.touchscreen.tap(*place_of(stage, name))
    assert name in stage.locator(".tip").inner_text()
    tip, box = stage.locator(".tip").bounding_box(), stage.bounding_box()
    assert box["x"] - 1 <= tip["x"] and tip["x"] + tip["width"] <= box["x"] + box["width"] + 1


def test_without_script_and_on_paper_it_is_a_plain_page(open_page):
    page = open_page(viewport={"width": 794, "height": 1123}, java_script_enabled=False)
    page.emulate_media(media="print")
    assert page.locator(".stage img").first.bounding_box()["width"] > 200
    for hidden in (".hint", ".tip", ".ring"):
        assert page.locator(f"{hidden}:visible").count() == 0
    table = page.locator("table.scores").first.bounding_box()
    assert table["x"] + table["width"] <= 794
