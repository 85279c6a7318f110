"""The web page in a process of its own, and what a visitor does in a browser."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from kit.launched import ROOT, free_port
from kit.made_cache import make_cache
from kit.made_clips import write_clip
from kit.tiny_models import MODELS, TINY_CROSS, tiny_model

from mosi_e2e.config import DataConfig, RunConfig
from mosi_e2e.runs.checkpoint import cache_facts, save_model
from preprocessing.cache.store import ClipStore

PATIENCE_MS = 180_000  # for machines that have other work


def write_demo_run(root: Path) -> Path:
    """A run folder with a tiny model of random weights."""
    store = ClipStore(make_cache(root / "made"))
    fusion = replace(TINY_CROSS.fusion, dropout=0.1)  # for the interval
    config = replace(MODELS["crossmodal"], crossmodal=replace(TINY_CROSS, fusion=fusion))
    settings = RunConfig(data=DataConfig(cache=str(store.root)), model=config)
    facts = cache_facts(store, config, [0.0, 1.0])
    save_model(root / "run" / "best", tiny_model(config, store), settings, facts)
    return root / "run"


class Server:
    """`python -m mosi_e2e.demo` in a process of its own."""

    def __init__(self, run: Path, temporary: Path, *words: str):
        self.temporary, self.port = temporary, free_port()
        self.address = f"http://127.0.0.1:{self.port}/"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mosi_e2e.demo", str(run), "--port", str(self.port), *words],
            cwd=ROOT,
            env=os.environ | {"TMPDIR": str(temporary), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait(self) -> None:
        for line in self.process.stdout:
            if line.startswith("open http://127.0.0.1:"):
                return
        raise AssertionError("the page did not start")

    def files(self) -> list[str]:
        """All that lies in the temporary folder."""
        return [str(path) for path in self.temporary.rglob("*") if path.is_file()]

    def wait_until_empty(self) -> None:
        deadline = time.monotonic() + 20
        while self.files() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert self.files() == []

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=20)


@contextmanager
def visits(browser, address: str) -> Iterator[Callable]:
    """Opens the page at a width; afterwards nothing must have been asked of any other address."""
    asked, contexts = [], []

    def open_at(width: int):
        context = browser.new_context(viewport={"width": width, "height": 800})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.wait_for_selector("#clip input[type=file]", state="attached")
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert len(asked) > 5
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []


def choose(page, path: Path) -> None:
    page.set_input_files("#clip input[type=file]", str(path))


def score(page, path: Path) -> None:
    choose(page, path)
    page.click("#start:not([disabled])")
    page.wait_for_selector("#result-title")
    page.wait_for_function("document.querySelector('#player').readyState > 0")


def player(page, what: str):
    return page.evaluate(f"document.querySelector('#player').{what}")


def overflow(page) -> int:
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


def measure_gaps(page) -> list[float]:
    """Pixels between the labels of the time axis."""
    return page.evaluate(
        """() => {
          const labels = [...document.querySelectorAll(".ticks span")];
          const boxes = labels.map((one) => one.getBoundingClientRect());
          return boxes.slice(1).map((box, number) => box.left - boxes[number].right);
        }"""
    )


def download(page, name: str) -> str:
    with page.expect_download() as caught:
        page.click(f"a[download$='.{name}']")
    return caught.value.path().read_text()


def write_long(path: Path, seconds: int = 40) -> Path:
    """A grey picture, once a second."""
    return write_clip(
        path, [np.full((96, 128, 3), 90, np.uint8)] * seconds, times_ms=range(0, 1000 * seconds, 1000)
    )
