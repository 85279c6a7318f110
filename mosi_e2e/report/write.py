"""The files of a report."""

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from mosi_e2e.pages.page import write_page
from mosi_e2e.report.gallery import Gallery
from mosi_e2e.report.markdown import write_markdown
from mosi_e2e.report.page import Wish, make_report
from mosi_e2e.report.runs import Run
from preprocessing.cache.store import write_atomic


def write_report(runs: Sequence[Run], strays: Sequence[str], wish: Wish, out: Path) -> Path:
    """Figures, page and Markdown; returns the page's path."""
    with tqdm(desc="drawing", unit=" figures", delay=0.5) as bar:
        report = make_report(runs, strays, wish, Gallery(out / "figures", bar))
    path = write_page(out, "report.html", report.context())
    write_atomic(out / "report.md", write_markdown(report).encode(errors="backslashreplace"))
    return path
