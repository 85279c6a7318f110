"""The web page in a real browser: a real video goes up, its score comes back, nothing stays."""

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import SHARED
from kit.browsed import (
    PATIENCE_MS,
    Server,
    choose,
    download,
    measure_gaps,
    overflow,
    player,
    score,
    visits,
    write_demo_run,
    write_long,
)
from kit.made_clips import make_tone, write_clip
from kit.made_set import PORTRAIT, write_face
from kit.pages_read import PageReader

sync_api = pytest.importorskip("playwright.sync_api", reason="needs the extra dev (playwright)")
pytest.importorskip("gradio", reason="needs the extra demo (Gradio)")

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync "
    "--use-fake-device-for-media-stream --use-fake-ui-for-media-stream"
)
REAL_CLIP = SHARED / "data/clips/real/openvna_no_re_asr_raw.mp4"
LIMITS = ("--max-mb", "2", "--max-minutes", "0.5")

pytestmark = [
    pytest.mark.slow,  # a server and a browser take half a minute to start
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs the browser /usr/bin/chromium"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return write_demo_run(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def server(run, tmp_path_factory) -> Iterator[Server]:
    server = Server(run, tmp_path_factory.mktemp("temporary"), *LIMITS)
    server.wait()
    yield server
    server.end()


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS.split())
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, server):
    with visits(browser, server.address) as open_at:
        yield open_at


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """A real clip of a speaking person where there is one, else a portrait and a tone."""
    return REAL_CLIP if REAL_CLIP.exists() else write_face(tmp_path_factory.mktemp("c") / "face.mp4", 1, 3.0)


def test_a_video_goes_up_and_its_score_comes_back_linked_with_the_player(open_page, server, clip):
    page = open_page(1280)
    assert "synthetic clips" in page.inner_text("#synthetic")
    assert "2 MB and 30 seconds" in page.inner_text("#limits")
    choose(page, clip)
    page.wait_for_selector("#start:not([disabled])")
    assert [Path(name).suffix for name in server.files()] == [clip.suffix]
    page.click("#start")
    page.wait_for_selector("#progress")
    page.wait_for_selector("#result-title")
    server.wait_until_empty()  # the page still shows all of it

    shown = page.inner_text(".score .figure")
    result = json.loads(download(page, "json"))
    assert shown == f"{result['score']:+.2f}".replace("-", "−")
    assert f"{result['spread']['high']:+.2f}".replace("-", "−") in page.inner_text(".score")
    assert "disagrees with itself" in page.inner_text(".score") and result["video"] == clip.name
    table = download(page, "csv").splitlines()
    assert table[0].startswith("person,start_s,end_s,score") and len(table) == 1 + len(result["timeline"])
    assert page.locator(".streams tbody tr").count() == len(result["contribution"])
    one_page = PageReader(download(page, "html"))
    assert one_page.faults == [] and clip.name in one_page.text and shown in one_page.text

    page.wait_for_function("document.querySelector('#player').readyState > 0")
    duration = result["duration_s"]
    page.locator("#timeline").scroll_into_view_if_needed()
    box = page.locator("#timeline").bounding_box()
    page.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 20)
    assert player(page, "currentTime") == pytest.approx(0.75 * duration, abs=0.05 * duration)
    before = page.evaluate("parseFloat(document.querySelector('#cursor').style.left)")
    assert before == pytest.approx(75, abs=1)
    page.evaluate(
        "document.querySelector('#player').currentTime = 0; document.querySelector('#player').play()"
    )
    page.wait_for_function("document.querySelector('#player').currentTime > 0.3")
    page.evaluate("document.querySelector('#player').pause()")
    page.wait_for_function("parseFloat(document.querySelector('#cursor').style.left) < 70")
    place = page.evaluate("parseFloat(document.querySelector('#cursor').style.left)")
    assert 0 < place == pytest.approx(100 * player(page, "currentTime") / duration, abs=5)


def test_on_a_phone_and_by_keyboard_alone(open_page, server, clip):
    page = open_page(390)
    assert overflow(page) <= 0
    focus = "document.activeElement.getAttribute('aria-label') || document.activeElement.id"
    page.keyboard.press("Tab")
    assert "upload" in page.evaluate(focus)
    choosers = []
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    for _ in range(20):  # the button is there before it listens
        page.keyboard.press("Enter")
        page.wait_for_timeout(300)
        if choosers:
            break
    choosers[0].set_files(str(clip))
    page.wait_for_selector("#start:not([disabled])")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate(focus) == "start":
            break
    page.keyboard.press("Enter")
    page.wait_for_selector("#result-title")
    page.wait_for_function("document.querySelector('#player').readyState > 0")
    assert page.evaluate(focus) == "result-title"
    assert overflow(page) <= 0
    page.focus("#player")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "timeline":
            break
    page.keyboard.press("ArrowRight")
    first = player(page, "currentTime")
    page.keyboard.press("ArrowRight")
    assert 0 < first < player(page, "currentTime")
    assert re.match(r"0:0\d\.\d, score [+−]\d", page.get_attribute("#timeline", "aria-valuetext"))
    page.keyboard.press("Space")
    page.wait_for_function("!document.querySelector('#player').paused")
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelector('#player').paused")
    page.keyboard.press("Home")
    assert player(page, "currentTime") == 0
    page.click("#again")
    page.wait_for_selector("#clip input[type=file]", state="attached")
    assert page.locator("#result-title").count() == 0
    server.wait_until_empty()


def test_what_is_refused_is_told_with_what_to_do_and_the_page_goes_on(open_page, server, tmp_path):
    page = open_page(390)
    large = tmp_path / "large.mp4"
    large.write_bytes(b"x" * 2_100_000)
    choose(page, large)
    page.wait_for_selector("#hint.warning")
    assert "The limit is 2 MB: cut a shorter piece" in page.inner_text("#hint")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video" * 100)
    for path, told in (
        (broken, "Save it as MP4"),
        (write_long(tmp_path / "long.mp4"), "limit is 30 seconds"),
    ):
        choose(page, path)
        page.click("#start:not([disabled])")
        page.wait_for_selector(f"#problem:has-text('{told}')")
        assert overflow(page) <= 0
    server.wait_until_empty()
    choose(page, write_long(tmp_path / "left.mp4", seconds=3))
    page.wait_for_selector("#start:not([disabled])")
    assert server.files() != []
    page.context.close()  # the visitor leaves without a score
    server.wait_until_empty()


@pytest.mark.parametrize("width", [1280, 390])
def test_a_hint_is_shown_for_a_video_that_does_not_play_and_for_no_other(open_page, clip, tmp_path, width):
    page = open_page(width)
    choose(page, clip)
    page.wait_for_function("document.querySelector('#clip video')?.readyState > 1")
    page.wait_for_selector("#start:not([disabled])")
    page.evaluate("document.querySelector('#clip video').play()")
    page.wait_for_function("document.querySelector('#clip video').currentTime > 0.2")
    assert not page.is_visible("#hint")
    field = page.locator("#clip").bounding_box()
    for part in ("[data-testid=source-select]", "video"):
        box = page.locator(f"#clip {part}").bounding_box()
        assert box["y"] >= field["y"] and box["y"] + box["height"] <= field["y"] + field["height"]
    page.reload()
    page.wait_for_selector("#clip input[type=file]", state="attached")
    choose(page, write_clip(tmp_path / "strange.avi", [PORTRAIT] * 20, codec="mpeg4"))
    page.wait_for_selector("#start:not([disabled])")
    page.wait_for_selector("#hint:has-text('cannot show this form of video')")
    assert overflow(page) <= 0
    page.click("#start")
    page.wait_for_selector("#unplayable:not([hidden])")
    assert "as MP4 (H.264) it would play here" in page.inner_text(".player")


@pytest.mark.parametrize("width", [1280, 390])
def test_of_two_people_a_picture_says_who_was_scored(open_page, tmp_path, width):
    page = open_page(width)
    small = cv2.resize(PORTRAIT, (200, 200))
    pair = np.hstack([np.pad(small, ((50, 50), (20, 20), (0, 0)), mode="edge"), PORTRAIT])
    score(page, write_clip(tmp_path / "two.mp4", [pair] * 40, sound=make_tone(1.6, 44_100, 150)))
    assert re.match(r"person 1 \(right\)\s+[+−]\d", page.inner_text("#people li:first-child"))
    assert page.inner_text("#people li:last-child").startswith("person 2 (left)")
    assert page.evaluate("document.querySelector('.people img').naturalWidth") > 300
    assert overflow(page) <= 0


def test_labels_of_the_time_axis_keep_apart_on_a_phone(open_page, tmp_path):
    page = open_page(390)
    score(page, write_face(tmp_path / "three.mp4", 1, 2.96))
    gaps = measure_gaps(page)
    assert len(gaps) == 2 and min(gaps) > 8
    assert overflow(page) <= 0


def test_a_recording_is_scored(open_page, server):
    page = open_page(390)
    page.click("button[aria-label='Capture from camera']")
    page.click("text=Click to Access Webcam")
    page.click("button[aria-label='start recording']:has-text('Record')")
    page.wait_for_timeout(4000)
    page.click("button[aria-label='start recording']:has-text('Stop')")
    page.wait_for_selector("#start:not([disabled])")
    page.wait_for_function("document.querySelector('#clip video').duration < 60")
    assert "Infinity" not in page.inner_text("#clip") and not page.is_visible("#hint")
    page.click("#start")
    page.wait_for_selector("#result-title")
    assert json.loads(download(page, "json"))["duration_s"] > 1
    server.wait_until_empty()


def test_who_stops_or_leaves_ends_the_work_and_the_next_video_is_scored(open_page, server, clip, tmp_path):
    longer = write_face(tmp_path / "longer.mp4", 1, 25)
    for end in ("stop", "leave"):
        page = open_page(1280)
        choose(page, longer)
        page.click("#start:not([disabled])")
        page.wait_for_selector("#progress:has-text('picture')")
        if end == "stop":
            page.click("#stop")
            page.wait_for_selector("#clip input[type=file]", state="attached")
        else:
            page.context.close()
        server.wait_until_empty()
    score(open_page(1280), clip)


def test_a_request_beyond_its_time_is_ended_and_told(browser, run, tmp_path, clip):
    server = Server(run, tmp_path, "--timeout", "0.2")
    server.wait()
    page = browser.new_page()
    page.goto(server.address)
    page.wait_for_selector("#clip input[type=file]", state="attached")
    choose(page, clip)
    page.click("#start:not([disabled])")
    page.wait_for_selector("#problem:has-text('limit of 0.2 seconds')", timeout=PATIENCE_MS)
    page.close()
    server.end()
    assert list(tmp_path.iterdir()) == []


def test_only_this_machine_is_listened_to_and_only_under_its_own_name(server):
    import httpx

    assert httpx.get(server.address).status_code == 200
    assert httpx.get(server.address, headers={"Host": "elsewhere.example"}).status_code == 400
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing; says under which address others see this machine
        outside = probe.getsockname()[0]
    if outside.startswith("127."):
        pytest.skip("this machine has no address but its own")
    with socket.socket() as other:
        assert other.connect_ex((outside, server.port)) != 0


def test_the_folder_is_gone_when_the_page_ends(server):
    assert server.files() == [] and len(list(server.temporary.iterdir())) == 1
    server.end()
    assert list(server.temporary.iterdir()) == []
