"""The set in numbers: one pass over the cache, then tables and warnings."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from mosi_e2e.config import SPLITS
from mosi_e2e.explore.choice import find_usable, list_stages
from mosi_e2e.explore.shift import MIN_WAYS, Shift, clustered_error, share_between_videos
from mosi_e2e.pages.page import Notice, Table
from mosi_e2e.pages.tracks import find_pitch
from preprocessing.cache.store import ClipStore
from preprocessing.stages.heard import Acoustics

SHOWN_FAILURES = 200
WHY_NO_VOICE = (
    "voiced: share of openSMILE's 10 ms rows with a pitch, so pauses and voiceless sounds count as none"
)


def survey(store: ClipStore) -> pd.DataFrame:
    """The index with two columns more: `usable`, and `voiced`, the share of 10 ms rows with a pitch.

    `voiced` is NaN where the clip has no sound or the cache no pitch.
    """
    clips = store.index.copy()
    pitch = find_pitch(store)
    usable = find_usable(clips)
    voiced = []
    for clip in tqdm(clips.itertuples(), total=len(clips), unit="clip", desc="surveying"):
        has_rows = pitch is not None and usable[clip.Index] and getattr(clip, Acoustics.name) == "ok"
        rows = store.read(clip.clip_id, Acoustics.name, ["lld"])["lld"] if has_rows else np.zeros((0, 1))
        voiced.append((rows[:, pitch] > 0).mean() if len(rows) else np.nan)
    return clips.assign(usable=usable, voiced=voiced)


def read_failures(store: ClipStore) -> list[dict[str, str]]:
    """The rows of `failures.csv`; a packed cache has none, then what its index says."""
    path = Path(store.root) / "failures.csv"
    if path.is_file():
        with path.open(newline="") as file:
            return list(csv.DictReader(file))
    lost = store.index[~find_usable(store.index)]
    return [
        {"clip_id": clip.clip_id, "stage": "clip", "error": "the cause is in the cache's failures.csv"}
        for clip in lost.itertuples()
    ]


def list_facts(clips: pd.DataFrame, failures: Sequence[dict]) -> list[tuple[str, str]]:
    """(value, name) of what one wants to know first."""
    usable = clips[clips.usable]
    seconds = usable.duration_s.sum()
    length = f"{seconds / 3600:.1f} h" if seconds >= 5400 else f"{seconds / 60:.1f} min"
    between = share_between_videos(usable)
    facts = [
        (f"{len(usable):,}", "clips"),
        (f"{usable.video_id.nunique():,}", "videos"),
        (length, "of video"),
        (percent(usable.face_ratio.mean()), "of sampled frames with a face"),
        (percent(usable.voiced.mean()), "of the time voiced"),
        (percent(np.nan if between is None else between), "of label variance between videos"),
        (f"{len({failure['clip_id'] for failure in failures}):,}", "clips refused or failed"),
    ]
    return [(value, name) for value, name in facts if value != "–"]


def tabulate_splits(clips: pd.DataFrame) -> Table:
    """One row per split."""
    rows = []
    for name in [split for split in SPLITS if (clips.split == split).any()]:
        part = clips[clips.split == name]
        usable = part[part.usable]
        label = usable.label.dropna()
        rows.append(
            [
                name,
                f"{len(usable)}",
                f"{usable.video_id.nunique()}",
                f"{usable.duration_s.sum() / 60:.1f}",
                f"{len(label)}",
                number(label.mean(), sign=True),
                number(clustered_error(usable[usable.label.notna()])),
                f"{(label < 0).sum()} / {(label == 0).sum()} / {(label > 0).sum()}",
                percent(usable.face_ratio.mean()),
                percent(usable.voiced.mean()),
                f"{len(part) - len(usable)}",
            ]
        )
    names = ["split", "clips", "videos", "minutes", "labelled", "mean label", "its s.e.", "− / 0 / +"]
    names += ["face", "voiced", "not usable"]
    return Table(f"Splits. s.e.: standard error with clips clustered by video; {WHY_NO_VOICE}.", names, rows)


def tabulate_shift(shifts: Sequence[Shift]) -> Table:
    """Label shift between splits, a row per pair."""
    rows = [
        [
            f"{first} → {second}",
            number(one.difference, sign=True),
            number(one.error),
            p_value(one.p_difference),
            f"{one.distance:.2f}",
            p_value(one.p_distance),
            f"{one.variation:.2f}",
        ]
        for one in shifts
        for first, second in [one.splits]
    ]
    names = ["splits", "mean difference", "its s.e.", "p (mean)", "KS distance", "p (KS)", "TV of 7 classes"]
    return Table(
        "Label shift between splits. p: permutation test that deals whole videos to the two splits 10,000 "
        "times, Holm-adjusted over the pairs; KS: Kolmogorov-Smirnov; TV: total variation distance.",
        names,
        rows,
    )


def judge_shift(shifts: Sequence[Shift]) -> Notice:
    """What the table of shifts comes to."""
    shifted = [one for one in shifts if one.is_shifted]
    if shifted:
        lines = [
            f"{one.splits[0]} → {one.splits[1]}: mean label {one.difference:+.2f} "
            f"(standard error {one.error:.2f}), p = {p_value(one.p_difference)} for the mean, "
            f"{p_value(one.p_distance)} for the distribution"
            for one in shifted
        ]
        return Notice(
            "warning",
            "The labels shift between splits more than dealing the videos by chance explains. A threshold or "
            "an offset that was tuned on one of them hurts on the other.",
            lines,
        )
    untested = [one for one in shifts if one.p_difference is None]
    if not shifts or len(untested) == len(shifts):
        return Notice(
            "note",
            f"Too few labelled videos to say whether labels shift between splits: the permutation test needs "
            f"{MIN_WAYS} ways to deal the videos of two splits.",
        )
    return Notice("good", "No label shift between splits beyond what dealing the videos by chance explains.")


def tabulate_states(index: pd.DataFrame) -> Table:
    """Clips per stage and state."""
    stages = list_stages(index)
    states = sorted({state for stage in stages for state in index[stage].unique()} - {"ok"})
    rows = [
        [stage, *(str(int((index[stage] == state).sum())) for state in ("ok", *states))] for stage in stages
    ]
    return Table("What each stage made of the clips", ["stage", "ok", *states], rows)


def tabulate_failures(failures: Sequence[dict[str, str]]) -> Table:
    """The first failures, a row each."""
    rows = [[one["clip_id"], one["stage"], one["error"]] for one in failures[:SHOWN_FAILURES]]
    more = len(failures) - len(rows)
    ending = f" (the first {SHOWN_FAILURES}; {more} more in failures.csv)" if more else ""
    return Table(
        f"Clips that are not in the cache, or not whole, and why{ending}", ["clip", "stage", "reason"], rows
    )


def tabulate_odd(clips: pd.DataFrame, each: int = 3) -> Table:
    """Usable clips at the ends: least face, least voice, shortest, longest."""
    usable = clips[clips.usable]
    ends = (("least face", "face_ratio", True), ("least voice", "voiced", True))
    ends += (("shortest", "duration_s", True), ("longest", "duration_s", False))
    rows = []
    for name, column, ascending in ends:
        known = usable[usable[column].notna()].sort_values([column, "clip_id"], ascending=[ascending, True])
        for clip in known.head(each).itertuples():
            seconds, label = f"{clip.duration_s:.1f} s", number(clip.label, sign=True)
            values = [percent(clip.face_ratio), percent(clip.voiced), seconds, label]
            rows.append([clip.clip_id, name, clip.split, *values])
    columns = ["clip", "because", "split", "face", "voiced", "length", "label"]
    return Table("Worth a look: the clips at the ends", columns, rows)


def percent(value: float) -> str:
    """A share in percent."""
    return "–" if np.isnan(value) else f"{100 * value:.0f} %"


def number(value: float, sign: bool = False) -> str:
    """A value with two decimals."""
    return "–" if np.isnan(value) else f"{round(value, 2) + 0.0:{'+' if sign else ''}.2f}"  # no -0.00


def p_value(value: float | None) -> str:
    """A p-value; small ones as a bound."""
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
