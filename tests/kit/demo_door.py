"""The whole web page without a port, for visitors who send what they like."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

from kit.demo_models import make_result
from starlette.testclient import TestClient

from mosi_e2e.demo.app import Page
from mosi_e2e.demo.limits import Limits
from mosi_e2e.demo.server import build_server
from mosi_e2e.demo.uploads import Uploads
from mosi_e2e.demo.worker import Answer

LIMITS = Limits(max_mb=1, max_waiting=0)  # room for two uploads of the greatest size
HOME = "http://127.0.0.1"
VIDEO = b"a video"


class HonestScorer:
    """Scores nothing; it notes what it was given."""

    def __init__(self):
        self.seen: list[tuple[str, bytes]] = []

    async def score(self, video: Path, name: str) -> AsyncIterator[Answer]:
        self.seen.append((name, video.read_bytes()))
        if name == "fail.mp4":
            raise RuntimeError(f"nobody foresaw this in {video}")
        yield Answer(make_result().to_dict() | {"video": name}, "", "")


class Door:
    """The whole page without a port."""

    def __init__(self, root: Path):
        self.root, self.scorer = root / "page", HonestScorer()
        self.uploads = Uploads(self.root, LIMITS)
        page = Page(self.scorer, self.uploads, LIMITS, {"synthetic": True})
        self.app = build_server(page, self.uploads, LIMITS, "127.0.0.1")
        self.client = TestClient(self.app, base_url=HOME)

    def come_from(self, address: str) -> TestClient:
        return TestClient(self.app, base_url=HOME, client=(address, 50_000))

    def files(self) -> list[Path]:
        return [path for path in self.root.rglob("*") if path.is_file()]

    def call(self, number: int, data: list, visitor: str = "") -> str:
        """Call one of the page's functions in both ways that there are; all that is answered."""
        visitor = visitor or secrets.token_hex(5)
        message = {"fn_index": number, "data": data, "session_hash": visitor}
        told = self.client.post("/gradio_api/run/predict", json=message).text
        assert self.client.post("/gradio_api/queue/join", json=message).status_code == 200
        with self.client.stream("GET", f"/gradio_api/queue/data?session_hash={visitor}") as stream:
            for line in stream.iter_lines():
                told += line
                if "close_stream" in line:
                    break
        return told


def upload(client: TestClient, content: bytes = VIDEO, name: str = "my clip.mp4", **headers):
    return client.post("/gradio_api/upload", files={"files": (name, content)}, headers=headers)


def name_file(path: object, **more) -> dict:
    """How Gradio's messages name a file."""
    return {"path": path, "meta": {"_type": "gradio.FileData"}, **more}
