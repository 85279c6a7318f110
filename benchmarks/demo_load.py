"""What the web page does under load: slow uploads beside a score, and many uploads and scores at once.

python benchmarks/demo_load.py runs/sample_crossmodal clip.mp4 --slow 60 --at-once 20
"""

import argparse
import asyncio
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

SCORE = 1  # the number of the page's function
HEAD = b'--b\r\nContent-Disposition: form-data; name="files"; filename="%s"\r\n\r\n'
TAIL = b"\r\n--b--\r\n"
TITLE = re.compile(r'id=\\"result-title\\"[^>]*>([^<]+)<')
FIGURE = re.compile(r'class=\\"figure\\">([^<]+)<')
PROBLEM = re.compile(r"<strong>Not scored.</strong> ([^<]+)<")


class Visitor:
    """One browser tab, as the page's server sees it."""

    def __init__(self, client: httpx.AsyncClient):
        self.client, self.session = client, secrets.token_hex(5)

    async def upload(self, content: bytes, name: str, seconds: float = 0.0) -> str:
        """Send a file, evenly over so many seconds; its name on the server.

        Raises:
            httpx.HTTPStatusError: it is refused.
        """
        message = HEAD % name.encode() + content + TAIL
        headers = {"content-type": "multipart/form-data; boundary=b", "content-length": str(len(message))}
        answer = await self.client.post(
            "/gradio_api/upload", content=_trickle(message, seconds), headers=headers
        )
        answer.raise_for_status()
        return answer.json()[0]

    async def score(self, name: str) -> tuple[str, str]:
        """The title and the figure of the result, or `refused` and why."""
        data = {"fn_index": SCORE, "data": [{"path": name}], "session_hash": self.session}
        (await self.client.post("/gradio_api/queue/join", json=data)).raise_for_status()
        where = f"/gradio_api/queue/data?session_hash={self.session}"
        told = ""
        async with self.client.stream("GET", where) as stream:
            async for line in stream.aiter_lines():
                told += line
                if "close_stream" in line:
                    break
        if title := TITLE.search(told):
            return title[1], FIGURE.search(told)[1]
        return "refused", PROBLEM.search(told)[1]


async def _trickle(message: bytes, seconds: float) -> AsyncIterator[bytes]:
    pieces = max(round(seconds / 0.2), 1)
    size = -(-len(message) // pieces)
    for start in range(0, len(message), size):
        yield message[start : start + size]
        await asyncio.sleep(seconds / pieces)


@dataclass
class Peak:
    """The most of each that was seen in use.

    Attributes:
        memory: bytes of the page's own process.
        handles: its open files and connections.
        disk: bytes in its temporary folder.
        wait_s: seconds until the page itself was there, for one more visitor.
    """

    process: psutil.Process
    folder: Path
    memory: int = 0
    handles: int = 0
    disk: int = 0
    wait_s: float = 0.0
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def watch(self, client: httpx.AsyncClient) -> None:
        """Look again and again, until `stop`."""
        while not self._ended.is_set():
            start = time.monotonic()
            (await client.get("/")).raise_for_status()
            self.wait_s = max(self.wait_s, time.monotonic() - start)
            self.memory = max(self.memory, self.process.memory_info().rss)
            self.handles = max(self.handles, self.process.num_fds())
            self.disk = max(self.disk, sum(size_files(self.folder)))
            await asyncio.sleep(0.2)

    def stop(self) -> None:
        self._ended.set()

    def __str__(self) -> str:
        return (
            f"page's own process {self.memory / 1e6:.0f} MB and {self.handles} handles at most, "
            f"uploads {self.disk / 1e6:.1f} MB at most, the page came within {self.wait_s:.2f} s"
        )


def size_files(folder: Path) -> Iterator[int]:
    """Bytes of each file that is still there."""
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                yield path.stat().st_size
        except FileNotFoundError:
            continue


def open_client(address: str) -> httpx.AsyncClient:
    """As many connections as are asked for, and none twice, as of different machines."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx.AsyncClient(base_url=address, timeout=600, limits=limits)


@contextmanager
def serve(run: Path, *words: str) -> Iterator[tuple[str, psutil.Process, Path]]:
    """The page in a process of its own: its address, the process, and where it writes."""
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "mosi_e2e.demo", str(run), "--port", "0", *words],
            env=os.environ | {"TMPDIR": folder},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            address = next(line.split()[1] for line in process.stdout if line.startswith("open http"))
            yield address, psutil.Process(process.pid), Path(folder)
        finally:
            process.terminate()
            process.wait(timeout=30)


async def score_beside_slow_uploads(
    client: httpx.AsyncClient, content: bytes, count: int, seconds: float
) -> tuple[float, Counter]:
    """Seconds that a score takes while so many uploads trickle in, and how those end."""
    slow = [asyncio.create_task(end_upload(client, content, seconds)) for _ in range(count)]
    await asyncio.sleep(min(1.0, seconds / 2))  # all have begun
    took = await _time_score(client, content)
    return took, Counter(await asyncio.gather(*slow))


async def end_upload(client: httpx.AsyncClient, content: bytes, seconds: float) -> str:
    """`came in`, or why it was refused."""
    try:
        await Visitor(client).upload(content, "slow.mp4", seconds)
    except httpx.HTTPStatusError as error:
        return error.response.text
    return "came in"


async def _time_score(client: httpx.AsyncClient, content: bytes) -> float:
    start, visitor = time.monotonic(), Visitor(client)
    title, told = await visitor.score(await visitor.upload(content, "mine.mp4"))
    assert title == "mine.mp4", told
    return time.monotonic() - start


async def score_at_once(
    client: httpx.AsyncClient, content: bytes, count: int
) -> tuple[Counter, set[str], int]:
    """So many visitors at the same moment, each with a file of their own.

    Returns:
        How they end, the different figures, and how many got the result of somebody else.
    """

    async def visit(number: int) -> tuple[str, str, str]:
        visitor, name = Visitor(client), f"clip_{number}.mp4"
        return name, *(await visitor.score(await visitor.upload(sign(content, name), name)))

    ends = await asyncio.gather(*map(visit, range(count)))
    kinds = Counter(told if title == "refused" else "scored" for _, title, told in ends)
    figures = {told for _, title, told in ends if title != "refused"}
    return kinds, figures, sum(title not in (name, "refused") for name, title, _ in ends)


def sign(content: bytes, name: str) -> bytes:
    """The same video as another file: a box at its end that players skip holds the name."""
    return content + (len(name) + 8).to_bytes(4, "big") + b"free" + name.encode()


async def measure(address: str, peak: Peak, content: bytes, slow: int, at_once: int, seconds: float) -> None:
    """Print what each kind of load does."""
    async with open_client(address) as client:
        print(f"a score alone: {await _time_score(client, content):.1f} s", flush=True)
        watching = asyncio.create_task(peak.watch(client))
        took, ends = await score_beside_slow_uploads(client, content, slow, seconds)
        print(f"a score beside {slow} uploads of {seconds:g} s each: {took:.1f} s; {dict(ends)}", flush=True)
        kinds, figures, mixed = await score_at_once(client, content, at_once)
        print(f"{at_once} at once: {dict(kinds)}; {len(figures)} different score(s), {mixed} mixed up")
        peak.stop()
        await watching
        print(peak)


def main() -> None:
    """Start the page, load it, and print what happened."""
    parser = argparse.ArgumentParser(description="The web page under load.")
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("video", type=Path, help="what every visitor uploads")
    parser.add_argument("--slow", type=int, default=60, help="uploads that trickle in beside a score")
    parser.add_argument("--seconds", type=float, default=20, help="that each of them takes")
    parser.add_argument("--at-once", type=int, default=20, help="visitors who upload and score at once")
    args = parser.parse_args()
    with serve(args.run) as (address, process, folder):
        peak = Peak(process, folder)
        work = measure(address, peak, args.video.read_bytes(), args.slow, args.at_once, args.seconds)
        asyncio.run(work)


if __name__ == "__main__":
    main()
