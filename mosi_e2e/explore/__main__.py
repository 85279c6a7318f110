"""`python -m mosi_e2e.explore`: look at a cache before believing anything that was trained on it."""

import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from mosi_e2e.explore import survey as tables
from mosi_e2e.explore.charts import draw_set
from mosi_e2e.explore.choice import name_clips, spread_clips
from mosi_e2e.explore.portrait import Portrait, draw_portrait
from mosi_e2e.explore.shift import compare_splits
from mosi_e2e.pages import Notice, write_page
from mosi_e2e.tables import SYNTHETIC_NOTE
from preprocessing.arguments import Parser
from preprocessing.errors import UserError, command
from preprocessing.packed import open_store
from preprocessing.store import ClipStore


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Write the page."""
    parser = Parser(
        prog="python -m mosi_e2e.explore",
        description="One page about a cache: clips on a time axis, labels, coverage, what was refused.",
        epilog="example: python -m mosi_e2e.explore cache/mosi --labels data/mosi --out explore/",
    )
    parser.add_argument("cache", help="folder that preprocessing wrote, or a pack of it")
    parser.add_argument(
        "--out", type=Path, default=Path("explore"), help="folder of the page; default: explore/"
    )
    parser.add_argument(
        "--count", type=int, default=8, help="clips shown, spread over splits and labels; default: 8"
    )
    parser.add_argument("--clips", help="show these instead: --clips=ID,ID")
    parser.add_argument(
        "--labels", type=Path, help="the raw set (label file or folder): shows frames with the face box, too"
    )
    args = parser.parse_args(argv)
    if args.count < 0:
        raise UserError(f"--count must be 0 or more, but is {args.count}; type for example --count 8")
    store = open_store(args.cache)
    wanted = [name for name in (args.clips or "").split(",") if name]
    shown = name_clips(store.index, wanted) if wanted else spread_clips(store.index, args.count)
    raw = find_raw(args.labels) if args.labels else {}
    portraits = [
        draw_portrait(store, clip, raw.get(clip["clip_id"]))
        for clip in tqdm(shown.to_dict("records"), unit="clip", desc="drawing")
    ]
    path = write_page(args.out, "explore.html", describe_set(store, portraits))
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, {len(portraits)} clips shown; open it in a browser")
    return 0


def find_raw(labels: Path) -> dict[str, Path]:
    """Raw file per clip id."""
    from preprocessing.labels import read_labels

    return {entry.clip_id: entry.path for entry in read_labels(labels)}


def describe_set(store: ClipStore, portraits: Sequence[Portrait]) -> dict:
    """All that `templates/explore.html` asks for."""
    clips = tables.survey(store)
    failures = tables.read_failures(store)
    shifts = compare_splits(clips[clips.usable])
    notices = [tables.judge_shift(shifts)]
    if store.synthetic:
        notices.insert(0, Notice("warning", SYNTHETIC_NOTE))
    return {
        "title": f"What is in {Path(store.root).name}",
        "lead": f"{len(clips)} clips, with {', '.join(store.meta['stages'])}. Everything here was read from "
        "the cache itself: it is what a model gets to see.",
        "synthetic": store.synthetic,
        "notices": notices,
        "facts": tables.list_facts(clips, failures),
        "charts": draw_set(clips),
        "splits": tables.tabulate_splits(clips),
        "shift": tables.tabulate_shift(shifts) if shifts else None,
        "states": tables.tabulate_states(store.index),
        "odd": tables.tabulate_odd(clips),
        "failures": tables.tabulate_failures(failures) if failures else None,
        "portraits": portraits,
    }


if __name__ == "__main__":
    sys.exit(main())
