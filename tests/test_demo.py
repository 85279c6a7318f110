"""The web page without a browser: limits, files that go, the scoring process, the words of a result."""

import asyncio
import base64
import io
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import aclosing
from pathlib import Path

import av
import numpy as np
import pytest
from kit.demo_models import WINDOWS, make_result, open_obedient
from kit.made_clips import draw_number, make_tone, write_clip
from kit.pages_read import PageReader

from mosi_e2e.demo import limits as says
from mosi_e2e.demo.__main__ import main
from mosi_e2e.demo.limits import Limits
from mosi_e2e.demo.scoring import Progress, Scorer
from mosi_e2e.demo.uploads import PREFIX, Upload, Uploads, open_folder, remove_left_over
from mosi_e2e.demo.view import describe_result, format_time, word_score
from mosi_e2e.demo.worker import Answer
from mosi_e2e.export.__main__ import main as export
from mosi_e2e.pages.fill import render
from mosi_e2e.pages.tables import SYNTHETIC_MODEL
from preprocessing.errors import UserError

TIMEOUT_S = 2.5
LIMITS = Limits(max_mb=1, max_minutes=0.1, timeout=TIMEOUT_S, max_waiting=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """The same clip under names that the model obeys, one of 7 seconds, and one that is no video."""
    folder = tmp_path_factory.mktemp("clips")
    clip = write_clip(folder / "good.mp4", map(draw_number, range(10)), sound=make_tone(0.4, 16_000, 150))
    for name in ("hang", "slow", "die", "fail", "unfit"):
        shutil.copyfile(clip, folder / f"{name}.mp4")
    write_clip(folder / "long.mp4", map(draw_number, range(8)), times_ms=range(0, 8000, 1000))
    (folder / "broken.mp4").write_bytes(b"no video at all" * 100)
    return folder


@pytest.fixture
def clips(made, tmp_path) -> Path:
    """In a folder of this test's own: the progress is written beside the clip."""
    shutil.copytree(made, tmp_path / "clips")
    return tmp_path / "clips"


@pytest.fixture(scope="module")
def scorer():
    scorer = Scorer(Path("runs/none"), open_obedient, LIMITS)
    assert scorer.open().result() == {"synthetic": True}
    yield scorer
    scorer.close()


def score(scorer: Scorer, video: Path) -> list:
    """All that the page knows of one request."""

    async def collect():
        return [step async for step in scorer.score(video, f"my {video.name}")]

    steps = asyncio.run(collect())
    video.with_name("progress.json").unlink()  # a request has a folder of its own
    return steps


def find_process(scorer: Scorer, clips: Path) -> int:
    """Score a good clip, and return which process did."""
    answer = score(scorer, clips / "good.mp4")[-1]
    return int(answer.result["remarks"][0].removeprefix("process "))


def refuse(scorer: Scorer, video: Path) -> str:
    with pytest.raises(UserError) as caught:
        score(scorer, video)
    return str(caught.value)


def test_progress_comes_before_the_result(scorer, clips):
    *steps, result = score(scorer, clips / "slow.mp4")
    assert result.result["score"] == -1.26 and result.timeline.count("\n") == 1 + len(WINDOWS)
    page = PageReader(result.page)
    assert page.faults == [] and result.result["video"] == "my slow.mp4" in page.text and "−1.26" in page.text
    assert all(isinstance(step, Progress) for step in steps)
    assert steps[-1].what == "opening the model" or steps[-1].share == 0.5
    assert steps[-1].seconds > steps[0].seconds


def test_a_hanging_video_is_ended_at_the_time_limit_and_the_next_is_scored(scorer, clips):
    before = find_process(scorer, clips)
    start = time.monotonic()
    assert refuse(scorer, clips / "hang.mp4") == says.say_late(LIMITS)
    assert TIMEOUT_S <= time.monotonic() - start < TIMEOUT_S + 2
    after = find_process(scorer, clips)
    assert after != before and not Path(f"/proc/{before}").exists()


def test_a_dying_process_costs_its_own_video_only(scorer, clips):
    assert refuse(scorer, clips / "die.mp4") == says.SAY_DIED
    assert find_process(scorer, clips)


def test_an_unforeseen_error_is_told_and_logged(scorer, clips, caplog):
    assert refuse(scorer, clips / "fail.mp4") == says.SAY_BROKEN
    assert "nobody foresaw this" in caplog.text
    assert find_process(scorer, clips)


def test_too_long_and_unreadable_videos_are_refused_with_what_to_do(scorer, clips):
    assert "limit is 6 seconds: cut a shorter piece" in refuse(scorer, clips / "long.mp4")
    assert "Save it as MP4" in refuse(scorer, clips / "broken.mp4")
    assert refuse(scorer, clips / "unfit.mp4") == "The video cannot be scored: it is unfit"


class Wire(io.RawIOBase):
    """A file that is written as it comes, with nothing fixed afterwards: so browsers record."""

    def __init__(self, path: Path):
        self._file = path.open("wb")

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        return self._file.write(data)

    def close(self) -> None:
        self._file.close()


def test_a_recording_that_does_not_say_how_long_it_is_has_its_length_all_the_same(scorer, clips):
    path = clips / "recording.webm"
    with Wire(path) as wire, av.open(wire, "w", format="webm", options={"live": "1"}) as file:
        stream = file.add_stream("libvpx", rate=2, width=128, height=96)
        for number in range(14):
            frame = av.VideoFrame.from_ndarray(draw_number(number), format="rgb24")
            frame.pts = number
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    with av.open(str(path)) as file:
        assert file.duration is None
    assert "lasts 7 seconds and the limit is 6 seconds" in refuse(scorer, path)


def test_one_is_scored_one_waits_and_the_third_is_sent_away(scorer, clips):
    async def crowd():
        first, second, third = (scorer.score(clips / "slow.mp4", "slow.mp4") for _ in range(3))
        async with aclosing(first), aclosing(second), aclosing(third):
            started, waiting = await anext(first), await anext(second)
            with pytest.raises(UserError) as full:
                await anext(third)
            results = [[step async for step in line][-1] for line in (first, second)]
            return started, waiting, str(full.value), results

    started, waiting, full, results = asyncio.run(crowd())
    assert (started.ahead, waiting.ahead) == (0, 1)
    assert full == says.say_line_full(LIMITS) and "1 video waiting" in full
    assert [one.result["score"] for one in results] == [-1.26, -1.26]


def test_who_leaves_gives_the_place_up_and_the_process_ends(scorer, clips):
    process = find_process(scorer, clips)

    async def leave():
        async with aclosing(scorer.score(clips / "hang.mp4", "hang.mp4")) as steps:
            async for step in steps:
                if step.share:
                    return

    start = time.monotonic()
    asyncio.run(leave())
    assert time.monotonic() - start < TIMEOUT_S
    assert find_process(scorer, clips) != process


def upload(uploads: Uploads, content: bytes = b"video", name: str = "my clip.MP4") -> Upload:
    with uploads.receive("192.0.2.7", len(content)) as upload:
        upload.path.write_bytes(content)
        upload.rename(name)
    return upload


def list_files(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*") if path.parent != root)


def test_a_claimed_upload_leaves_nothing_whatever_happens(tmp_path):
    uploads = Uploads(tmp_path, LIMITS)
    mine = upload(uploads)
    uploads.hold("a", mine)

    def fail(video: Path):
        assert video.read_bytes() == b"video" and video.suffix == ".mp4" and not mine.path.exists()
        (video.parent / "left").mkdir()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), uploads.claim("a", mine) as video:
        fail(video)
    assert list_files(tmp_path) == []
    with pytest.raises(UserError, match="choose the file again"), uploads.claim("a", mine):
        pass
    removed = upload(uploads)
    removed.path.unlink()  # by a program that cleans the temporary folder
    with pytest.raises(UserError, match="choose the file again"), uploads.claim("a", removed):
        pass
    with uploads.claim("a", upload(uploads)) as video:
        shutil.rmtree(video.parent)  # by the same
    assert list_files(tmp_path) == []


def test_an_upload_goes_when_another_takes_its_place_or_the_visitor_leaves(tmp_path):
    uploads = Uploads(tmp_path, LIMITS)
    first = upload(uploads, b"first")
    uploads.hold("a", first)
    uploads.hold("a", first)  # said twice
    second = upload(uploads, b"second")
    uploads.hold("a", second)
    assert not first.path.exists() and second.path.exists()
    uploads.hold("a", None)
    assert list_files(tmp_path) == []


def test_a_suffix_is_short_and_plain(tmp_path):
    uploads = Uploads(tmp_path / "not" / "there", LIMITS)
    assert upload(uploads, name="a.Müp4567890x").path.suffix == ".mp456789"
    Uploads(tmp_path / "not" / "there", LIMITS)  # the same folder again


def test_the_room_is_used_to_its_last_byte(tmp_path):
    uploads = Uploads(tmp_path, Limits(max_mb=1, max_waiting=0))
    for sender in ("192.0.2.7", "192.0.2.8"):
        with uploads.receive(sender, 1_000_000):
            pass
    with pytest.raises(UserError, match=re.escape(says.SAY_DISK_FULL)), uploads.receive("192.0.2.9", 1):
        pass


def test_what_is_old_is_swept_and_what_is_new_stays(tmp_path, monkeypatch):
    uploads = Uploads(tmp_path, LIMITS)
    upload(uploads, b"old").since -= 15 * 60 + 1
    (uploads.requests / "orphan").mkdir()
    (uploads.requests / "file").touch()  # not made by a page
    new, busy = upload(uploads, b"new"), upload(uploads, b"busy")
    new.since -= 15 * 60 - 30
    uploads.hold("b", new)
    with uploads.claim("a", busy) as video:
        uploads.sweep()
        assert video.exists()
    assert list_files(tmp_path) == sorted([new.path.name, "file"])
    uploads.hold("b", None)
    assert list_files(tmp_path) == ["file"]


def test_the_folder_goes_at_the_end_and_after_a_kill(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def fail(root: Path):
        (root / "file").touch()
        remove_left_over(tmp_path)
        assert root.is_dir()  # its process lives
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), open_folder() as root:
        fail(root)
    assert not root.exists()
    with open_folder() as root:
        root.rmdir()  # by a program that cleans the temporary folder
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / f"{PREFIX}{gone.pid}-abc").mkdir()
    (tmp_path / f"{PREFIX}{gone.pid}-file").touch()  # not made by a page
    remove_left_over(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"{PREFIX}{gone.pid}-file"]


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


def test_wrong_options_say_what_to_type(capsys):
    for words, told in (
        (["--max-mb", "0"], "--max-mb 100"),
        (["--max-waiting", "-1"], "--max-waiting 8"),
        (["--timeout", "nan"], "--timeout 600"),
    ):
        assert main(["runs/none", *words]) == 2
        error = capsys.readouterr().err
        assert told in error and error.count("\n") == 1


def test_what_is_no_run_is_told_as_other_commands_tell_it(tmp_path, capsys):
    (tmp_path / "late" / "best").mkdir(parents=True)
    (tmp_path / "late" / "best" / "model.safetensors").touch()
    for name in ("lat", "late/best/x", "."):
        told = []
        for command, options in ((export, ["--out", str(tmp_path / "model")]), (main, [])):
            assert command([str(tmp_path / name), *options]) == 2
            told.append(capsys.readouterr())
        assert told[0] == told[1] and told[1].out == ""  # nothing was opened
        assert told[1].err.startswith("error: ") and told[1].err.count("\n") == 1
    assert f"type one of the runs in it: {tmp_path / 'late'}" in told[1].err


def test_a_taken_port_is_told_before_the_model_is_opened(tmp_path, capsys):
    (tmp_path / "model.safetensors").write_text("never read")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main([str(tmp_path), "--port", str(port)]) == 2
    assert f"--port {port + 1}" in capsys.readouterr().err
