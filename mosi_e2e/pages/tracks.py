"""One clip as rows above one time axis: what the page draws, as paths and places in percent.

The lines are drawn into a box of 1000 x 100 that the page stretches over the row, so a row is as wide as the
window and its text stays text.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from preprocessing.cache.store import ClipStore
from preprocessing.cache.words import unpack_words

BOX_WIDTH, BOX_HEIGHT, MARGIN = 1000, 100, 6
LIVELY = 5  # expression traces shown per clip
NO_EXPRESSION = re.compile(r"_neutral|pose|gaze|eyeLook|AU\d+_c|[xyzXYZ]_\d|p_")
FIRST_SEMITONE_HZ = 27.5  # openSMILE's F0 is in semitones above it
MAX_GAP = 2.5  # steps; a longer one is a gap in the line
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600)
COLOURS = ("blue", "orange", "green")


@dataclass(frozen=True)
class Line:
    """A curve: SVG path, class of its colour, name (empty where the track has one line)."""

    path: str
    colour: str
    name: str = ""


@dataclass(frozen=True)
class Tile:
    """A picture in a strip: place and width in percent of the row."""

    source: str
    alt: str
    left: float
    width: float


@dataclass(frozen=True)
class Label:
    """A word in a row: place and width in percent, what is said of it, its colour and how strong that is."""

    text: str
    left: float
    width: float
    about: str
    colour: str = ""
    strength: float = 0.0


@dataclass(frozen=True)
class Track:
    """One row.

    Attributes:
        name, scale: at its left: what it is, and what its bottom and top mean.
        kind: lines | area | image | strip | words | absent; what the template draws.
        lines: curves, or the one outline of an area.
        source: `data:` address of an image that fills the row.
        stills: pictures of a strip.
        labels: words.
        aspect: width / height of a strip's row.
        alt: the row in words.
    """

    name: str
    scale: str = ""
    kind: str = "lines"
    lines: Sequence[Line] = ()
    source: str = ""
    stills: Sequence[Tile] = ()
    labels: Sequence[Label] = ()
    aspect: float = 1.0
    alt: str = ""


@dataclass(frozen=True)
class Axis:
    """The time axis of a clip: its end in seconds and (seconds as text, place in percent) of its ticks."""

    end_s: float
    ticks: list[tuple[str, float]] = field(default_factory=list)

    def percent(self, second: float) -> float:
        """Where a second lies on the axis, in percent."""
        return round(100 * second / self.end_s, 3)


def make_axis(end_s: float) -> Axis:
    """An axis with four to ten ticks at round seconds."""
    step = next((step for step in TICKS if end_s / step <= 10), TICKS[-1])
    axis = Axis(end_s)
    seconds = np.arange(0, end_s + 1e-9, step)
    return Axis(end_s, [(f"{second:g}", axis.percent(second)) for second in seconds])


def absent(name: str, state: str) -> Track:
    """A row that says why there is nothing."""
    return Track(name, kind="absent", scale=state.replace("_", " "), alt=f"{name}: {state.replace('_', ' ')}")


def draw_line(axis: Axis, time: np.ndarray, values: np.ndarray, low: float, high: float) -> str:
    """SVG path of a curve; it breaks where values are NaN or rows are missing.

    Args:
        axis: of the clip.
        time: [T] seconds.
        values: [T].
        low, high: what the row's bottom and top mean.
    """
    x = np.round(BOX_WIDTH * time / axis.end_s, 1)
    share = (values - low) / ((high - low) or 1.0)
    y = np.round(BOX_HEIGHT - MARGIN - share * (BOX_HEIGHT - 2 * MARGIN), 1)
    step = np.median(np.diff(time)) if len(time) > 1 else 0.0
    words, pen_down = [], False
    for number, known in enumerate(np.isfinite(values)):
        near = number > 0 and time[number] - time[number - 1] <= MAX_GAP * step
        if known:
            words.append(f"{'L' if pen_down and near else 'M'}{x[number]:g} {y[number]:g}")
        pen_down = known
    return "".join(words)


def draw_curves(
    axis: Axis,
    name: str,
    time: np.ndarray,
    curves: dict[str, np.ndarray],
    unit: str,
    low: float | None = None,
) -> Track:
    """A row of up to three curves on one scale, which is that of their values, or starts at `low`."""
    stacked = np.concatenate(list(curves.values()))
    known = stacked[np.isfinite(stacked)]
    if not len(known):
        return absent(name, "no value")
    bottom, top = (known.min() if low is None else low), known.max()
    lines = [
        Line(draw_line(axis, time, values, bottom, top), colour, label if len(curves) > 1 else "")
        for (label, values), colour in zip(curves.items(), COLOURS, strict=False)
    ]
    scale = f"{bottom:.3g} to {top:.3g}{f' {unit}' if unit else ''}"
    return Track(name, scale, "lines", lines, alt=f"{name} over time, {scale}")


def find_pitch(store: ClipStore) -> int | None:
    """Number of the low-level descriptor that is the pitch (F0 in semitones, 0 = unvoiced)."""
    names = store.columns("acoustics", "lld") if "acoustics" in store.meta["stages"] else []
    return next((i for i, name in enumerate(names) if name.startswith("F0semitone")), None)


def track_pitch(store: ClipStore, clip_id: str, axis: Axis) -> list[Track]:
    """Pitch in Hz with gaps where nothing is voiced, and loudness."""
    arrays = store.read(clip_id, "acoustics", ["lld", "lld_time"])
    rows, time = arrays["lld"], arrays["lld_time"]
    names = store.columns("acoustics", "lld")
    tracks = []
    pitch = find_pitch(store)
    if pitch is not None:
        semitones = rows[:, pitch].astype(np.float64)
        tracks.append(draw_pitch(axis, time, np.where(semitones > 0, semitones, np.nan)))
    loudness = next((i for i, name in enumerate(names) if name.startswith("Loudness")), None)
    if loudness is not None:
        tracks.append(draw_curves(axis, "loudness", time, {"loudness": rows[:, loudness]}, "", low=0.0))
    return tracks


def draw_pitch(axis: Axis, time: np.ndarray, semitones: np.ndarray) -> Track:
    """Pitch on a log scale of an octave or more; a tracker's jumps by octaves lie at its edges."""
    known = semitones[np.isfinite(semitones)]
    if not len(known):
        return absent("pitch (F0)", "nothing voiced")
    low, high = np.percentile(known, (5, 95))
    more = max((12 - (high - low)) / 2, 1.0)
    low, high = low - more, high + more
    path = draw_line(axis, time, np.clip(semitones, low, high), low, high)
    scale = "{:.0f} to {:.0f} Hz, log".format(*(FIRST_SEMITONE_HZ * 2 ** (edge / 12) for edge in (low, high)))
    return Track("pitch (F0)", scale, "lines", [Line(path, "blue")], alt=f"pitch over time, {scale}")


def track_behaviour(store: ClipStore, clip_id: str, axis: Axis) -> list[Track]:
    """The liveliest expression traces of this clip, and the head."""
    time, rows = read_tokens(store, clip_id, "behaviour")
    names = store.columns("behaviour", "behaviour")
    traces = {
        name: np.mean([rows[:, i] for i in columns], axis=0) for name, columns in pair_sides(names).items()
    }
    tracks = draw_liveliest(axis, time, traces)
    turns = [(n, i) for n, i in zip(("pitch", "yaw", "roll"), find_head(names), strict=False)]
    if turns:
        curves = {name: np.degrees(rows[:, column]) for name, column in turns}
        tracks.append(draw_curves(axis, "head turn", time, curves, "°"))
    return tracks


def track_imported(store: ClipStore, clip_id: str, axis: Axis, stage: str) -> list[Track]:
    """The liveliest columns of a stage that a cache of imported features brings along."""
    time, rows = read_tokens(store, clip_id, stage)
    names = store.columns(stage, stage)
    return draw_liveliest(axis, time, {f"{stage} {name}": rows[:, i] for i, name in enumerate(names)})


def track_words(store: ClipStore, clip_id: str, axis: Axis) -> Track:
    """What is said, each word at its time."""
    arrays = store.read(clip_id, "words")
    half = arrays["words_length"] / 2
    starts, ends = np.maximum(arrays["words_time"] - half, 0.0), arrays["words_time"] + half
    rows = zip(unpack_words(arrays["words"]), starts, ends, arrays["words_confidence"], strict=True)
    labels = [
        Label(word, axis.percent(start), axis.percent(end - start), f"{start:.2f} to {end:.2f} s, {sure:.2f}")
        for word, start, end, sure in rows
    ]
    return Track("words", "", "words", labels=labels, alt=" ".join(label.text for label in labels))


def read_tokens(store: ClipStore, clip_id: str, stage: str) -> tuple[np.ndarray, np.ndarray]:
    """Times [T] and rows [T, D] of a stage; rows that are not valid are NaN."""
    arrays = store.read(clip_id, stage)
    rows = arrays[stage].astype(np.float64)
    valid = arrays.get(f"{stage}_valid", np.ones(len(rows), bool))
    return arrays[f"{stage}_time"], np.where(valid[:, None], rows, np.nan)


def draw_liveliest(axis: Axis, time: np.ndarray, traces: dict[str, np.ndarray]) -> list[Track]:
    """The traces that move most, by name."""
    spread = {name: np.std(values[np.isfinite(values)]) for name, values in traces.items()}
    lively = sorted(spread, key=lambda name: (-spread[name], name))[:LIVELY]
    return [
        draw_curves(axis, spell(name), time, {name: traces[name]}, "", low=min(0.0, np.nanmin(traces[name])))
        for name in sorted(lively)
    ]


def pair_sides(names: Sequence[str]) -> dict[str, list[int]]:
    """Expression columns by name; left and right of one movement are one trace, their mean.

    >>> pair_sides(["jawOpen", "mouthSmileLeft", "mouthSmileRight", "pose_yaw_rad"])
    {'jawOpen': [0], 'mouthSmile': [1, 2]}
    """
    found: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        if NO_EXPRESSION.match(name):
            continue
        base = re.sub(r"(Left|Right)$", "", name)
        both = base != name and f"{base}Left" in names and f"{base}Right" in names
        found.setdefault(base if both else name, []).append(number)
    return found


def spell(name: str) -> str:
    """A column's name for people.

    >>> spell("mouthShrugUpper"), spell("AU12_r")
    ('mouth shrug upper', 'AU12_r')
    """
    return re.sub(r"(?<=[a-z])([A-Z])", lambda found: f" {found[1].lower()}", name)


def find_head(names: Sequence[str]) -> list[int]:
    """Columns of pitch, yaw and roll in radians, MediaPipe's or OpenFace's; empty without them."""
    for wanted in (("pose_pitch_rad", "pose_yaw_rad", "pose_roll_rad"), ("pose_Rx", "pose_Ry", "pose_Rz")):
        if all(name in names for name in wanted):
            return [list(names).index(name) for name in wanted]
    return []


def track_box(arrays: dict[str, np.ndarray], axis: Axis) -> Track:
    """Where the face is in the picture: a jump here is a jump of the track."""
    box = np.where(arrays["face_valid"][:, None], arrays["face_box"], np.nan).astype(np.float64)
    curves = {
        "across": (box[:, 0] + box[:, 2]) / 2,
        "down": (box[:, 1] + box[:, 3]) / 2,
        "height": box[:, 3] - box[:, 1],
    }
    return draw_curves(axis, "face box", arrays["face_time"], curves, "px", low=0.0)
