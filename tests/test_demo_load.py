"""Many visitors of the web page at once: what they take is bounded, and nobody gets what is another's."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit.demo_models import open_obedient
from kit.made_clips import draw_number, make_tone, write_clip
from kit.typed_commands import load_module

pytest.importorskip("gradio", reason="needs the extra demo (Gradio)")
import uvicorn

from mosi_e2e.demo import limits as says
from mosi_e2e.demo.__main__ import open_port
from mosi_e2e.demo.app import Page
from mosi_e2e.demo.limits import Limits
from mosi_e2e.demo.scoring import ScoringProcess
from mosi_e2e.demo.server import build_server
from mosi_e2e.demo.uploads import Uploads

LIMITS = Limits(max_mb=0.1, max_waiting=4)  # room for 300 kB of one address
load = load_module("benchmarks/demo_load.py")


class Line(ScoringProcess):
    """Notes which file is scored under which name."""

    def __init__(self, *what):
        super().__init__(*what)
        self.seen = {}

    def _run(self, job):
        self.seen[job.name] = job.video.read_bytes()
        return super()._run(job)


class Served:
    """The page on a port, in a thread; its model in a process."""

    def __init__(self, root: Path):
        self.root, self.scorer = root, Line(Path("runs/none"), open_obedient, LIMITS)
        self.uploads = uploads = Uploads(root, LIMITS)
        page = Page(self.scorer, uploads, LIMITS, self.scorer.open().result())
        self.port = open_port("127.0.0.1", 0)
        self.server = uvicorn.Server(
            uvicorn.Config(build_server(page, uploads, LIMITS, "127.0.0.1"), log_level="error")
        )
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.port]})
        self.thread.start()

    def talk(self, work, *what):
        """Run one of the benchmark's loads against this page."""

        async def run():
            async with load.open_client(f"http://127.0.0.1:{self.port.getsockname()[1]}") as client:
                return await work(client, *what)

        return asyncio.run(run())

    def files(self) -> list[Path]:
        return [path for path in self.root.rglob("*") if path.is_file()]

    def end(self) -> None:
        self.server.should_exit = True
        self.thread.join(timeout=30)
        self.scorer.close()
        self.port.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("served"))
    yield served
    served.end()


@pytest.fixture
def served(page, monkeypatch) -> Iterator[Served]:
    """The page, without what the test before sent."""
    yield page
    monkeypatch.setattr("mosi_e2e.demo.uploads.KEEP_S", -1)
    page.uploads.sweep()


@pytest.fixture(scope="module")
def content(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return write_clip(path, map(draw_number, range(10)), sound=make_tone(0.4, 16_000, 150)).read_bytes()


def test_a_score_is_not_held_up_by_slow_uploads(served, content):
    took, ends = served.talk(load.score_beside_slow_uploads, content, 20, 4.0)
    assert ends == {"came in": 20} and took < 30
    assert len(served.files()) == 20


def test_slow_uploads_take_their_room_from_the_start(served):
    async def crowd(client):
        sent = (load.end_upload(client, b"x" * 40_000, 2.0) for _ in range(20))
        return Counter(await asyncio.gather(*sent))

    fit = LIMITS.max_sender_bytes // 40_200
    assert served.talk(crowd) == {"came in": fit, says.SAY_OWN_SHARE: 20 - fit}
    assert sum(path.stat().st_size for path in served.files()) <= LIMITS.max_sender_bytes


def test_of_many_at_once_each_gets_the_own_score_or_is_sent_away(served, content):
    served.scorer.seen.clear()  # of the scores before
    kinds, figures, mixed = served.talk(load.score_at_once, content, 12)
    assert mixed == 0 and figures == {"−1.26"} and sum(kinds.values()) == 12
    assert set(kinds) <= {"scored", says.say_line_full(LIMITS)} and kinds["scored"] >= 1 + LIMITS.max_waiting
    assert len(served.scorer.seen) == kinds["scored"]
    assert all(got == load.sign(content, name) for name, got in served.scorer.seen.items())


def test_who_breaks_an_upload_off_leaves_nothing(served):
    before = served.files()

    async def leave(client):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(load.Visitor(client).upload(b"x" * 50_000, "x.mp4", 60), 1.0)

    served.talk(leave)
    deadline = time.monotonic() + 10
    while served.files() != before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert served.files() == before
