"""Reports of made runs."""

from kit.made_runs import make_clips
from kit.pages_read import check_page

from mosi_e2e.report.__main__ import main

MOST_BYTES = 1_200_000  # of the largest page here: five systems in three tables
CLIPS = make_clips(videos=12, clips=5)


def report(runs, out, *words):
    assert main([str(runs), "--out", str(out), *words]) == 0
    return check_page(out / "index.html", MOST_BYTES)
