"""The best and the worst clips of a board, with pictures out of the cache where it is still there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pandas as pd

from mosi_e2e.pages.page import embed
from mosi_e2e.pages.strips import CROP_SIDE, QUALITY, shrink
from mosi_e2e.report.boards import Board, System
from preprocessing.cache.crops import split_crops
from preprocessing.cache.facts import CLASS_NAME
from preprocessing.cache.packed import open_store
from preprocessing.cache.store import ClipStore
from preprocessing.errors import UserError

PICTURES = 3  # of each clip: early, middle, late
MARKS = "●■▲◆▼✚★"
COLOURS = ("blue", "orange", "green", "purple")


@dataclass(frozen=True)
class Mark:
    """One system's score on a clip's scale."""

    name: str
    sign: str
    colour: str
    place: float
    text: str


@dataclass(frozen=True)
class Sight:
    """A clip on the page.

    Attributes:
        clip_id, video_id: of it.
        label: text; `place` is that of the truth on the scale, in percent.
        error: mean absolute error over the systems.
        marks: the systems' scores.
        pictures: `data:` addresses.
        lacking: why there is none.
    """

    clip_id: str
    video_id: str
    label: str
    place: float
    error: float
    marks: Sequence[Mark]
    pictures: Sequence[str]
    lacking: str


class Thumbnails:
    """Face crops by clip, from the caches that the runs were trained on.

    Args:
        cache: another folder to look in; empty: where the run says.
    """

    def __init__(self, cache: str = ""):
        self.cache = cache
        self._stores: dict[str, ClipStore | str] = {}

    def find(self, board: Board) -> ClipStore | str:
        """The first cache of the board's runs that is still there, or why there is none."""
        runs = [run for system in board.systems for run in system.runs]
        said = [str((run.environment.get("cache") or {}).get("path", "")) for run in runs]
        paths = [self.cache] if self.cache else list(dict.fromkeys(path for path in said if path))
        found = [self._open(path) for path in paths]
        reason = found[0] if found else "no run says where its cache was; type --cache FOLDER"
        return next((one for one in found if isinstance(one, ClipStore)), reason)

    def _open(self, path: str) -> ClipStore | str:
        if path not in self._stores:
            self._stores[path] = open_cache(path)
        return self._stores[path]

    def pick(self, store: ClipStore | str, clip_id: str, label: float | str) -> tuple[list[str], str]:
        """At most `PICTURES` crops, and why there are none."""
        if isinstance(store, str):
            return [], store
        row = store.index[store.index.clip_id == clip_id]
        if row.empty:
            return [], f"not in the cache {store.root}"
        if not has_label(row.iloc[0], label):
            return [], f"the cache {store.root} has another label for it: it was made anew since"
        if "faces" not in row or row.faces.iloc[0] != "ok":
            return [], "no face in this clip" if "faces" in row else "the cache has no pictures"
        try:
            arrays = store.read(clip_id, "faces")
        except UserError as error:
            return [], str(error)
        return draw_crops(arrays["face_jpeg"], arrays["face_offset"], arrays["face_valid"]), ""


def has_label(row: pd.Series, label: float | str) -> bool:
    """Whether a clip's line of the index has a label; a map of names to sentiment is not looked into."""
    if isinstance(label, str):
        return row.get(CLASS_NAME) == label
    return CLASS_NAME in row or bool(np.isclose(row.label, label))


def open_cache(path: str) -> ClipStore | str:
    """The cache, or why it cannot be opened."""
    try:
        return open_store(path)
    except (UserError, OSError) as error:
        return f"the cache is not there any more ({error}); if it was moved, type --cache FOLDER"


def draw_crops(jpeg: np.ndarray, offset: np.ndarray, valid: np.ndarray) -> list[str]:
    """A few crops spread over the clip, as pictures of a page."""
    crops = split_crops(jpeg, offset)
    rows = np.flatnonzero(valid)
    chosen = (
        rows[np.unique(np.linspace(0, len(rows) - 1, PICTURES + 2).round().astype(int)[1:-1])]
        if len(rows)
        else []
    )
    pictures = [shrink(cv2.imdecode(crops[row], cv2.IMREAD_COLOR), CROP_SIDE) for row in chosen]
    coded = [cv2.imencode(".jpg", one, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes() for one in pictures]
    return [embed(one, "image/jpeg") for one in coded]


def rank_clips(board: Board, systems: Sequence[System]) -> pd.DataFrame:
    """Clips by the mean absolute error over the systems, worst first."""
    each = [system.clips.assign(error=(system.clips.score - system.clips.truth).abs()) for system in systems]
    ranked = each[0].assign(error=np.mean([one.error for one in each], axis=0))
    return ranked.sort_values(["error", "clip_id"], ascending=[False, True]).reset_index(drop=True)


def show_clips(
    board: Board, systems: Sequence[System], count: int, thumbnails: Thumbnails
) -> Mapping[str, list[Sight]]:
    """The `count` worst and best clips."""
    ranked = rank_clips(board, systems)
    count = min(count, len(ranked) // 2)
    store = thumbnails.find(board)
    scores = [dict(zip(system.clips.clip_id, system.clips.score, strict=True)) for system in systems]
    chosen = {"worst": ranked.head(count), "best": ranked.tail(count)[::-1]}
    return {
        name: [make_sight(clip, board, systems, scores, store, thumbnails) for clip in part.itertuples()]
        for name, part in chosen.items()
    }


def make_sight(
    clip: Any,
    board: Board,
    systems: Sequence[System],
    scores: Sequence[Mapping[str, float]],
    store: ClipStore | str,
    thumbnails: Thumbnails,
) -> Sight:
    """One row of `rank_clips` with the systems' scores, by clip, on one scale."""
    is_share = board.objective.task != "regression"  # scores lie in [0, 1]
    pictures, lacking = thumbnails.pick(store, clip.clip_id, clip.label)
    marks = [
        Mark(
            system.name,
            MARKS[number % len(MARKS)],
            COLOURS[number % len(COLOURS)],
            find_place(found[clip.clip_id], is_share),
            f"{found[clip.clip_id]:.2f}" if is_share else show_signed(found[clip.clip_id]),
        )
        for number, (system, found) in enumerate(zip(systems, scores, strict=True))
    ]
    label = clip.label if board.objective.classes else show_signed(clip.label)
    place = find_place(clip.truth, is_share)
    return Sight(clip.clip_id, clip.video_id, label, place, clip.error, marks, pictures, lacking)


def find_place(value: float, is_share: bool) -> float:
    """In percent of the scale, which ends at -3 and 3, or at 0 and 1."""
    share = value if is_share else (min(max(value, -3), 3) + 3) / 6
    return round(100 * share, 2)


def show_signed(value: float) -> str:
    """A value with its sign and two decimals."""
    return f"{round(value, 2) + 0.0:+.2f}"  # no -0.00
