"""From a clip's plan to what face and voice do over time.

The cue of a stream sets the level of its tracks for the whole clip, or its events say when it acts.
Rendering takes tracks only, so it need not know how a label is expressed.
"""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter1d

from preprocessing.sample.face import FacePose
from preprocessing.sample.plan import FPS, ClipPlan
from preprocessing.sample.timing import SLOT_S, Events, place_slots, pulse

CONTROL_HZ = 200  # rate of the voice tracks
VOWELS = ("a", "e", "i", "o", "u", "@")


class Syllable(NamedTuple):
    """When a syllable sounds (seconds), its vowel, whether it is stressed, how strongly it hisses."""

    start: float
    length: float
    vowel: str
    stressed: bool
    hiss: float


class VoiceTracks(NamedTuple):
    """What a voice does, at `CONTROL_HZ`.

    f0_hz, loudness (0 to 1), hiss (0 to 1): [time]; vowels: weight of each of `VOWELS`, [time, vowel].
    `level_db` is the loudness of the voiced parts against full scale.
    """

    f0_hz: np.ndarray
    loudness: np.ndarray
    hiss: np.ndarray
    vowels: np.ndarray
    level_db: float


class Performance(NamedTuple):
    """What one clip shows and sounds like: the face at every frame, the voice at `CONTROL_HZ`."""

    face: FacePose
    voice: VoiceTracks


def perform(plan: ClipPlan) -> Performance:
    """Acts out a plan: the voice first, since the jaw follows it."""
    rng = np.random.default_rng(plan.entropy)
    if plan.events is not None:
        return _coincide(plan, plan.events, rng)
    mood = np.clip(plan.voice_cue / 3, -1.3, 1.3)
    syllables = speak(mood, plan.duration_s, rng)
    voice = _sound(syllables, mood, plan, rng)
    return Performance(face=_move(voice, plan, rng), voice=voice)


def speak(mood: float, duration_s: float, rng: np.random.Generator) -> list[Syllable]:
    """Syllables in phrases with pauses between; a brighter mood speaks faster and pauses less."""
    tempo = 4.3 * 2 ** (0.5 * mood + rng.normal(0, 0.05))  # syllables a second
    syllables, time = [], rng.uniform(0.08, 0.16)
    left, vowels = int(rng.integers(4, 8)), []
    while True:
        stressed = bool(rng.random() < 0.35)
        length = (1.2 if stressed else 0.95) / tempo * rng.lognormal(0, 0.12)
        if time + length > duration_s - 0.08:
            return syllables
        vowels = vowels or list(rng.permutation(VOWELS))  # dealt like cards: no clip is all of one vowel
        syllables.append(
            Syllable(
                time,
                length,
                str(vowels.pop()),
                stressed,
                float(rng.random() < 0.5) * rng.uniform(0.3, 1),
            )
        )
        time += length
        left -= 1
        if left == 0:
            time += rng.uniform(0.16, 0.32) * 2 ** (-0.6 * mood)
            left = int(rng.integers(4, 8))


def _sound(syllables: list[Syllable], mood: float, plan: ClipPlan, rng: np.random.Generator) -> VoiceTracks:
    """Pitch, loudness, hiss and vowels over time; pitch level and range and loudness follow the mood."""
    time = np.arange(round(plan.duration_s * CONTROL_HZ)) / CONTROL_HZ
    loudness, hiss, accent = np.zeros((3, time.size))
    vowels = np.zeros((time.size, len(VOWELS)))
    for syllable in syllables:
        at = (time - syllable.start) / syllable.length  # 0 to 1 within the syllable
        inside = (at >= 0) & (at < 1)
        swell = np.sin(np.pi * np.clip((at - 0.18) / 0.8, 0, 1)) ** 0.6
        loudness = np.maximum(loudness, swell * (1.0 if syllable.stressed else 0.75) * inside)
        hiss = np.maximum(hiss, syllable.hiss * np.exp(-np.square((at - 0.1) / 0.1)))
        accent += (1.0 if syllable.stressed else -0.2) * np.exp(-np.square((at - 0.5) / 0.5))
        vowels[inside, VOWELS.index(syllable.vowel)] = 1
    drift = _wander(time.size, 0.25 * CONTROL_HZ, rng)
    height = 4.5 * mood + rng.normal(0, 0.4)  # semitones over the speaker's own pitch
    liveliness = 1.6 * 2 ** (1.1 * mood + rng.normal(0, 0.15))
    semitones = height + liveliness * (accent + 0.4 * drift) - 0.5 * time
    vowels = gaussian_filter1d(vowels, 0.02 * CONTROL_HZ, axis=0) + 1e-3
    return VoiceTracks(
        f0_hz=np.clip(plan.speaker.f0_hz * 2 ** (semitones / 12), 75, 480),
        loudness=gaussian_filter1d(loudness, 0.008 * CONTROL_HZ),
        hiss=hiss,
        vowels=vowels / vowels.sum(axis=1, keepdims=True),
        level_db=float(-24 + plan.speaker.level_db + 5 * mood + rng.normal(0, 0.5)),
    )


def _move(voice: VoiceTracks, plan: ClipPlan, rng: np.random.Generator) -> FacePose:
    """The face at every frame: smile, brows and lift of the head follow the cue, the jaw the voice."""
    count = plan.n_frames
    frame_s = (np.arange(count) + 0.5) / FPS
    mood = np.clip(plan.face_cue / 3, -1.3, 1.3) + 0.12 * _wander(count, 0.4 * FPS, rng)
    track_s = np.arange(voice.loudness.size) / CONTROL_HZ
    openness = voice.vowels @ np.array([1.0, 0.7, 0.45, 0.7, 0.4, 0.6])  # of VOWELS
    jaw = np.interp(frame_s, track_s, gaussian_filter1d(voice.loudness * openness, 0.03 * CONTROL_HZ))
    beat = np.interp(frame_s, track_s, gaussian_filter1d(voice.loudness, 0.12 * CONTROL_HZ))
    return FacePose(
        smile=np.clip(0.1 + 1.0 * mood, -1.1, 1.2),
        brow=np.clip(1.0 * mood + 0.15 * _wander(count, 0.3 * FPS, rng) + 0.25 * (beat - 0.5), -1, 1),
        jaw=np.clip(0.85 * jaw, 0, 1),
        lid=np.clip(_blink(frame_s, rng) + 0.12 * np.clip(-mood, 0, 1), 0, 1),
        turn=rng.uniform(-0.25, 0.25) + 0.5 * _wander(count, 0.6 * FPS, rng),
        nod=np.clip(-0.9 * mood, -1, 1) + 0.2 * _wander(count, 0.4 * FPS, rng) + 0.3 * (beat - 0.5),
        shift_x=0.04 * _wander(count, 0.8 * FPS, rng),
        shift_y=0.03 * _wander(count, 0.6 * FPS, rng) + 0.03 * beat,
        tilt=rng.uniform(-2, 2) + 1.2 * _wander(count, 0.7 * FPS, rng),
        zoom=1 + 0.012 * _wander(count, 0.8 * FPS, rng),
    )


def _coincide(plan: ClipPlan, events: Events, rng: np.random.Generator) -> Performance:
    """A syllable in every slot, stressed where the voice acts; a smile in each slot where the face acts."""
    middle = place_slots(plan.duration_s, rng)
    time = np.arange(round(plan.duration_s * CONTROL_HZ)) / CONTROL_HZ
    spoken = pulse(time, middle, (True,) * len(middle), 0.3 * SLOT_S)
    stress = pulse(time, middle, events.voice, 0.4 * SLOT_S)
    vowels = np.full((time.size, len(VOWELS)), 1 / len(VOWELS))
    voice = VoiceTracks(
        f0_hz=np.clip(plan.speaker.f0_hz * 2 ** ((7 * stress + 0.3 * rng.normal()) / 12), 75, 480),
        loudness=spoken * (0.3 + 0.7 * stress),
        hiss=np.zeros(time.size),
        vowels=vowels,
        level_db=float(-22 + plan.speaker.level_db),
    )
    frame_s = (np.arange(plan.n_frames) + 0.5) / FPS
    smile = pulse(frame_s, middle, events.face, 0.4 * SLOT_S)
    mumble = pulse(frame_s, middle, (True,) * len(middle), 0.3 * SLOT_S)  # the same in every slot
    still = 0.1 * _wander(plan.n_frames, 0.6 * FPS, rng)
    face = FacePose(
        smile=-0.3 + 1.4 * smile,
        brow=-0.2 + 1.1 * smile,
        jaw=0.25 * mumble,
        lid=_blink(frame_s, rng),
        turn=rng.uniform(-0.2, 0.2) + still,
        nod=0.1 * _wander(plan.n_frames, 0.6 * FPS, rng),
        shift_x=0.2 * still,
        shift_y=0.1 * still,
        tilt=rng.uniform(-2, 2) + still,
        zoom=1 + 0.05 * still,
    )
    return Performance(face=face, voice=voice)


def _blink(frame_s: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """How far the lids are down: a blink of a fifth of a second every one to three seconds."""
    lid, time = np.zeros(frame_s.size), rng.uniform(0.3, 1.5)
    while time < frame_s[-1]:
        lid = np.maximum(lid, np.exp(-np.square((frame_s - time) / 0.07)))
        time += rng.uniform(1.0, 3.0)
    return lid


def _wander(count: int, smoothness: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth random movement about 0 with standard deviation 1, [count]."""
    margin = int(3 * smoothness)
    path = gaussian_filter1d(rng.normal(size=count + 2 * margin), smoothness)[margin : margin + count]
    return path * np.sqrt(2 * np.sqrt(np.pi) * smoothness)
