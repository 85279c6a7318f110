"""The page about a cache."""

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from mosi_e2e.explore import survey as tables
from mosi_e2e.explore.charts import draw_set
from mosi_e2e.explore.choice import name_clips, spread_clips
from mosi_e2e.explore.clip_view import ClipView, view_clip
from mosi_e2e.explore.shift import compare_splits
from mosi_e2e.pages.page import Notice, write_page
from mosi_e2e.pages.tables import SYNTHETIC_NOTE
from preprocessing.cache.packed import open_store
from preprocessing.cache.store import ClipStore


def explore(cache: str, out: Path, count: int, wanted: Sequence[str], labels: Path | None) -> str:
    """Write the page.

    Args:
        cache: folder that preprocessing wrote, or a pack of it.
        out: folder of the page.
        count: clips shown, spread over splits and labels.
        wanted: ids of the clips shown instead, if any.
        labels: the raw set, whose frames are then shown with the face box.

    Returns:
        What was written, in one line.
    """
    store = open_store(cache)
    shown = name_clips(store.index, wanted) if wanted else spread_clips(store.index, count)
    raw = find_raw(labels) if labels else {}
    views = [
        view_clip(store, clip, raw.get(clip["clip_id"]))
        for clip in tqdm(shown.to_dict("records"), unit="clip", desc="drawing")
    ]
    path = write_page(out, "explore.html", describe_set(store, views))
    return f"{path}: {path.stat().st_size / 1e6:.2f} MB, {len(views)} clips shown; open it in a browser"


def find_raw(labels: Path) -> dict[str, Path]:
    """Raw file per clip id."""
    from preprocessing.sets.labels import read_labels

    return {entry.clip_id: entry.path for entry in read_labels(labels)}


def describe_set(store: ClipStore, views: Sequence[ClipView]) -> dict:
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
        "views": views,
    }
