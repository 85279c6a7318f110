"""Pictures of predict's page and overlay and of the web page, from clips of the synthetic sample set.

    python scripts/docs_pictures.py runs/sample_crossmodal data/sample/clips --out docs/images

Needs a trained sample model (`make demo`), playwright, Chromium and ffmpeg. Two clips stand side by side, so
that the pictures show who is who.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import av
from PIL import Image

from mosi_e2e.predict.overlay import write_overlay
from mosi_e2e.predict.page import write_result_page
from mosi_e2e.predict.predictor import Predictor

BROWSER = next((path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), None)
WIDTH, HEIGHT = 1000, 1330  # of the page's picture, pixels
MOMENT = 0.5  # of the overlay's picture: share of the video
MOST_BYTES = 150_000
PATIENCE_MS = 180_000


def put_side_by_side(left: Path, right: Path, path: Path) -> Path:
    """A video of two clips' pictures, with the sound of the first."""
    words = ["-filter_complex", "hstack=shortest=1", "-map", "0:a", "-crf", "18", str(path)]
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(left), "-i", str(right), *words], check=True)
    return path


def photograph_page(page: Path, path: Path) -> None:
    """The upper part of a result's page."""
    with open_browser() as view:
        view.goto(page.resolve().as_uri())
        view.screenshot(path=str(path))
    save_small(Image.open(path).convert("RGB"), path)


def photograph_web(run: Path, video: Path, path: Path) -> None:
    """The web page with the result of a video."""
    words = [sys.executable, "-m", "mosi_e2e.demo", str(run), "--port", "0"]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        address = next(line.split()[1] for line in server.stdout if line.startswith("open http"))
        with open_browser() as view:
            view.goto(address)
            view.set_input_files("#clip input[type=file]", str(video))
            view.click("#start:not([disabled])")
            view.wait_for_selector("#result-title")
            view.wait_for_function("document.querySelector('#player').readyState > 1")
            view.evaluate("document.querySelector('.result').scrollIntoView()")
            view.wait_for_timeout(1000)  # until nothing moves
            view.screenshot(path=str(path))
    finally:
        server.terminate()
        server.wait(timeout=30)
    save_small(Image.open(path).convert("RGB"), path)


@contextmanager
def open_browser() -> Iterator:
    """An empty page of a browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        view.set_default_timeout(PATIENCE_MS)
        yield view
        browser.close()


def photograph_overlay(overlay: Path, path: Path) -> None:
    """The frame at `MOMENT`."""
    with av.open(str(overlay)) as file:
        count = file.streams.video[0].frames
        frame = next(islice(file.decode(video=0), round(MOMENT * count), None))
        save_small(frame.to_image(), path)


def save_small(picture: Image.Image, path: Path) -> None:
    """As PNG of at most `MOST_BYTES`: with fewer colours until it is."""
    for colours in (256, 128, 64, 32):
        picture.quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)
        if path.stat().st_size <= MOST_BYTES:
            return
    raise SystemExit(f"{path} has {path.stat().st_size} bytes, more than {MOST_BYTES}: cut it smaller")


def main(argv: list[str] | None = None) -> int:
    """Write `predict_page.png`, `predict_overlay.png` and `web_page.png`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="run folder of the sample model")
    parser.add_argument("clips", type=Path, help="folder of the sample clips")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    args = parser.parse_args(argv)
    first, second = find_two(args.clips)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        video = put_side_by_side(first, second, work / "two_people.mp4")
        result = Predictor.open(args.run).predict(video)
        write_result_page(result, work / "page.html")
        write_overlay(result, video, work / "overlay.mp4")
        args.out.mkdir(parents=True, exist_ok=True)
        photograph_page(work / "page.html", args.out / "predict_page.png")
        photograph_overlay(work / "overlay.mp4", args.out / "predict_overlay.png")
        photograph_web(args.run, video, args.out / "web_page.png")
    return 0


def find_two(folder: Path) -> tuple[Path, Path]:
    """The longest clips of two different faces: the first by name of two sets of clips."""
    clips = sorted(folder.glob("*.mp4"))
    videos = list(dict.fromkeys(clip.stem.rpartition("_")[0] for clip in clips))
    longest = [max(folder.glob(f"{video}_*.mp4"), key=lambda clip: clip.stat().st_size) for video in videos]
    return longest[0], longest[1]


if __name__ == "__main__":
    sys.exit(main())
