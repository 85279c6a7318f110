"""One clip, ready to be shown."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mosi_e2e.data.streams import find_stream, known_streams
from mosi_e2e.pages.sound import make_player, track_spectrogram, track_wave
from mosi_e2e.pages.strips import track_crops, track_frames
from mosi_e2e.pages.tracks import (
    Axis,
    Track,
    absent,
    make_axis,
    track_behaviour,
    track_box,
    track_imported,
    track_pitch,
    track_words,
)
from preprocessing.cache.store import ClipStore
from preprocessing.stages import list_stages
from preprocessing.stages.heard import Acoustics, Waveform
from preprocessing.stages.seen import Behaviour


@dataclass(frozen=True)
class ClipView:
    """A clip on the page.

    Attributes:
        clip_id, split: of the index.
        label: text; `place` is where it lies between -3 and 3, in percent, None = unlabelled.
        facts: short texts beside it.
        axis: the time axis that all tracks share.
        tracks: rows, from top to bottom.
        player: the sound as a `data:` address, or empty.
    """

    clip_id: str
    split: str
    label: str
    place: float | None
    facts: Sequence[str]
    axis: Axis
    tracks: Sequence[Track]
    player: str


def view_clip(store: ClipStore, clip: Mapping[str, Any], raw: Path | None = None) -> ClipView:
    """Read one clip and lay it out.

    Args:
        store: the cache.
        clip: its line of the index.
        raw: the raw clip; with it, frames with face boxes are shown too.
    """
    clip_id, label, seconds = clip["clip_id"], clip["label"], clip["duration_s"]
    axis = make_axis(float(np.nanmax([seconds, 0.1])))
    tracks: list[Track] = []
    for stage in order_stages(store.meta["stages"]):
        is_there = clip[stage] == "ok"
        tracks += draw_stage(store, clip_id, stage, axis, raw) if is_there else [absent(stage, clip[stage])]
    facts = [f"{seconds:.1f} s"]
    if not np.isnan(clip["face_ratio"]):
        facts.append(f"face in {100 * clip['face_ratio']:.0f} % of the sampled frames")
    has_sound = clip.get(Waveform.name) == "ok"
    return ClipView(
        clip_id,
        clip["split"],
        "no label" if np.isnan(label) else f"{label:+.2f}",
        None if np.isnan(label) else round(100 * (min(max(label, -3), 3) + 3) / 6, 2),
        facts,
        axis,
        tracks,
        make_player(store.read(clip_id, Waveform.name)["waveform"]) if has_sound else "",
    )


def order_stages(names: Iterable[str]) -> list[str]:
    """What is seen, what is heard, and then what others have measured."""
    heard = {stage.name: stage.hears for stage in list_stages()}
    return sorted(names, key=lambda name: heard.get(name, 2))


def draw_stage(store: ClipStore, clip_id: str, stage: str, axis: Axis, raw: Path | None) -> list[Track]:
    """The rows of one stage that the clip has, by what its streams are."""
    streams = [one for one in known_streams().values() if one.stage == stage] or [find_stream(stage)]
    stream = streams[0]
    if stream.kind == "crops":
        faces = store.read(clip_id, stage)
        frames = [track_frames(raw, faces, axis)] if raw else []
        return [*frames, track_crops(faces, axis), track_box(faces, axis)]
    if stream.kind == "waveform":
        sound = store.read(clip_id, stage)[stream.key]
        return [track_wave(sound, axis), track_spectrogram(sound, axis)]
    if stream.kind == "words":
        return [track_words(store, clip_id, axis)]
    if stage == Acoustics.name:
        return track_pitch(store, clip_id, axis)
    if stage == Behaviour.name:
        return track_behaviour(store, clip_id, axis)
    return track_imported(store, clip_id, axis, stage)
