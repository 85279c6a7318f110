"""What the sample set contains: videos, clips, labels and the cues that face and voice will show.

A plan holds no picture and no sound, so a set can be planned, counted and tested without rendering it.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from preprocessing.errors import UserError
from preprocessing.sample.portraits import PORTRAITS
from preprocessing.sample.timing import Events, deal_events

FPS = 25
SPLIT_SHARE = {"train": 10 / 16, "valid": 3 / 16, "test": 3 / 16}
LABEL_STD = 1.55
BETWEEN_VIDEOS = 0.30  # share of the label variance; 0.26 to 0.34 in the folds of MOSI
CUE_NOISE = 0.57  # of each cue, in standard deviations of the label
CUES = ("mood", "timing")


@dataclass(frozen=True)
class SampleOptions:
    """Everything that decides the set's bytes.

    `cue` is what carries the label: `mood`, the level of face and voice, or `timing`, when their events
    coincide.
    """

    layout: str = "course"
    zip: bool = False
    clips: int = 96
    videos: int = 16
    seed: int = 0
    cue: str = "mood"


@dataclass(frozen=True)
class Filming:
    """How one video is filmed.

    `zoom` is relative to the portrait's own scale, `stretch` the face's width against its height,
    `position` the face's middle as a share of the frame; `gain`, `warmth` and `side_light` are shares
    of brightness, `tint` of colour behind the person.
    """

    portrait: str
    mirror: bool
    zoom: float
    stretch: float
    position: tuple[float, float]
    gain: float
    warmth: float
    side_light: float
    tint_bgr: tuple[float, float, float]
    tint: float


@dataclass(frozen=True)
class Speaker:
    """The voice of one video: pitch in Hz, formant scale, level in dB, breathiness 0 to 1."""

    f0_hz: float
    formant_scale: float
    level_db: float
    breath: float


@dataclass(frozen=True)
class ClipPlan:
    """One clip: whose it is, what it is labelled, and how positive its face and its voice are.

    Both cues are the label plus a noise of their own, in label units; with `events` they are 0, and the
    label lies in the events' timing. `entropy` seeds all that is random.
    """

    video_id: str
    clip_id: int
    split: str
    label: float
    n_frames: int
    face_cue: float
    voice_cue: float
    look: Filming
    speaker: Speaker
    entropy: tuple[int, ...]
    events: Events | None = None

    @property
    def name(self) -> str:
        """`<video_id>_<clip_id>`, unique in the set."""
        return f"{self.video_id}_{self.clip_id}"

    @property
    def duration_s(self) -> float:
        """Length in seconds, a whole number of frames."""
        return self.n_frames / FPS


def plan_set(options: SampleOptions) -> list[ClipPlan]:
    """Plans all clips of a set; the same options give the same plan.

    Raises:
        UserError: fewer than three videos, or fewer clips than videos.
    """
    if options.videos < 3 or options.clips < options.videos:
        raise UserError(
            "--videos is at least 3 (one a split) and --clips at least --videos; "
            f"got --videos {options.videos} --clips {options.clips}: type --videos 3 --clips 6"
        )
    ids = name_videos(options.videos)
    sizes = [len(part) for part in np.array_split(np.arange(options.clips), options.videos)]
    clips, first = [], 0
    for split, count in split_videos(options.videos).items():
        videos = range(first, first + count)
        clips += _plan_split(split, videos, ids, sizes, options)
        first += count
    return clips


def split_videos(videos: int) -> dict[str, int]:
    """Number of videos per split: 10, 3, 3 of 16, never none."""
    held_out = {split: max(1, round(SPLIT_SHARE[split] * videos)) for split in ("valid", "test")}
    return {"train": videos - sum(held_out.values()), **held_out}


def name_videos(count: int) -> list[str]:
    """`sample_01`, `sample_02`, ..: never mistaken for real videos, and sorted as text they stay in order."""
    width = max(2, len(str(count)))
    return [f"sample_{number:0{width}d}" for number in range(1, count + 1)]


def make_labels(sizes: list[int], rng: np.random.Generator) -> np.ndarray:
    """Labels of one split in [-3, 3], video by video, [sum of sizes].

    Evenly spread quantiles in random order stand in for draws, so that a split of three videos, too,
    has the spread of MOSI: 30 % of the variance between videos, steps of 0.2, now and then a quarter
    or third.
    """
    offsets = _spread(len(sizes), rng) * np.sqrt(BETWEEN_VIDEOS)
    within = [_spread(size, rng) * np.sqrt(1 - BETWEEN_VIDEOS) for size in sizes]
    raw = np.concatenate([offset + part for offset, part in zip(offsets, within, strict=True)])
    raw = np.clip(LABEL_STD * raw + rng.normal(0, 0.15, raw.size), -3, 3)
    fifths = np.round(raw * 5) / 5
    odd = np.array([0.25, 0.33, 0.5, 0.67, 0.75])
    fraction = odd[np.abs(np.abs(raw)[:, None] % 1 - odd).argmin(axis=1)]
    fractions = np.sign(raw) * (np.floor(np.abs(raw)) + fraction)
    labels = np.where((rng.random(raw.size) < 0.06) & (np.abs(raw) < 2.5), fractions, fifths)
    return labels + 0.0  # no negative zero


def make_cues(labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Face cue and voice cue of one split: the label, each with its own noise, label units.

    The noises are made uncorrelated with the label and with each other within the split: in 18 clips
    chance alone would now and then make one stream as good as both.
    """
    noise = rng.normal(size=(labels.size, 2))
    if labels.size > 4:
        basis, _ = np.linalg.qr(np.column_stack([np.ones(labels.size), labels, noise]))
        noise = basis[:, 2:] * np.sqrt(labels.size)
    face, voice = (labels[:, None] + CUE_NOISE * LABEL_STD * noise).T
    return face, voice


def _plan_split(
    split: str, videos: range, ids: list[str], sizes: list[int], options: SampleOptions
) -> list[ClipPlan]:
    """The clips of one split, video by video."""
    rng = np.random.default_rng((options.seed, 1, videos.start))
    labels, face_cues, voice_cues, events = _carry_labels(
        [sizes[video] for video in videos], options.cue, rng
    )
    clips = []
    for video in videos:
        look, speaker = _draw_look(video, rng), _draw_speaker(rng)
        for clip_id in range(1, sizes[video] + 1):
            at = len(clips)
            clips.append(
                ClipPlan(
                    video_id=ids[video],
                    clip_id=clip_id,
                    split=split,
                    label=round(float(labels[at]), 2),
                    n_frames=int(rng.integers(3 * FPS, 4 * FPS + 1)),
                    face_cue=float(face_cues[at]),
                    voice_cue=float(voice_cues[at]),
                    look=look,
                    speaker=speaker,
                    entropy=(options.seed, 2, video, clip_id),
                    events=events[at],
                )
            )
    return clips


def _carry_labels(
    sizes: list[int], cue: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[Events | None]]:
    """Labels, face cues, voice cues and events of one split's clips."""
    if cue == "timing":
        events = deal_events(sum(sizes), rng)
        none = np.zeros(len(events))
        return np.array([one.label for one in events]), none, none, events
    labels = make_labels(sizes, rng)
    return labels, *make_cues(labels, rng), [None] * labels.size


def _draw_look(video: int, rng: np.random.Generator) -> Filming:
    """How a video is filmed; neighbouring videos show different portraits."""
    return Filming(
        portrait=list(PORTRAITS)[video % len(PORTRAITS)],
        mirror=bool(rng.integers(2)),
        zoom=float(rng.uniform(1.0, 1.2)),
        stretch=float(rng.uniform(0.97, 1.03)),
        position=(float(rng.uniform(0.46, 0.54)), float(rng.uniform(0.47, 0.51))),
        gain=float(rng.uniform(0.8, 1.1)),
        warmth=float(rng.uniform(-0.12, 0.12)),
        side_light=float(rng.uniform(-0.25, 0.25)),
        tint_bgr=tuple(float(value) for value in rng.uniform(40, 220, 3)),
        tint=float(rng.uniform(0.15, 0.45)),
    )


def _draw_speaker(rng: np.random.Generator) -> Speaker:
    """The voice of a video; voices differ less than moods do, or no cue could be heard across videos."""
    return Speaker(
        f0_hz=float(175 * 2 ** (rng.uniform(-1.5, 1.5) / 12)),
        formant_scale=float(rng.uniform(0.93, 1.07)),
        level_db=float(rng.uniform(-1.0, 1.0)),
        breath=float(rng.uniform(0.3, 1.0)),
    )


def _spread(count: int, rng: np.random.Generator) -> np.ndarray:
    """Normal quantiles in random order, mean 0 and standard deviation 1 (a single one is 0)."""
    scores = np.array([NormalDist().inv_cdf((i + 0.5) / count) for i in range(count)])
    return rng.permutation(scores / max(scores.std(), 1e-9))
