"""The web page without a browser: limits, files that go, the scoring process, the words of a result."""

import asyncio
import io
import shutil
import socket
import time
from contextlib import aclosing
from pathlib import Path

import av
import pytest
from kit.demo_models import WINDOWS, open_obedient
from kit.made_clips import draw_number, make_tone, write_clip
from kit.pages_read import PageReader

from mosi_e2e.demo import limits as says
from mosi_e2e.demo.__main__ import main
from mosi_e2e.demo.limits import Limits
from mosi_e2e.demo.scoring import RequestState, ScoringProcess
from mosi_e2e.export.__main__ import main as export
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
    scorer = ScoringProcess(Path("runs/none"), open_obedient, LIMITS)
    assert scorer.open().result() == {"synthetic": True}
    yield scorer
    scorer.close()


def score(scorer: ScoringProcess, video: Path) -> list:
    """All that the page knows of one request."""

    async def collect():
        return [step async for step in scorer.score(video, f"my {video.name}")]

    steps = asyncio.run(collect())
    video.with_name("progress.json").unlink()  # a request has a folder of its own
    return steps


def find_process(scorer: ScoringProcess, clips: Path) -> int:
    """Score a good clip, and return which process did."""
    answer = score(scorer, clips / "good.mp4")[-1]
    return int(answer.result["remarks"][0].removeprefix("process "))


def refuse(scorer: ScoringProcess, video: Path) -> str:
    with pytest.raises(UserError) as caught:
        score(scorer, video)
    return str(caught.value)


def test_progress_comes_before_the_result(scorer, clips):
    *steps, result = score(scorer, clips / "slow.mp4")
    assert result.result["score"] == -1.26 and result.timeline.count("\n") == 1 + len(WINDOWS)
    page = PageReader(result.page)
    assert page.faults == [] and result.result["video"] == "my slow.mp4" in page.text and "−1.26" in page.text
    assert all(isinstance(step, RequestState) for step in steps)
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
