"""The sample variant in which only the coincidence of face and voice carries the label."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from preprocessing.sample.__main__ import main
from preprocessing.sample.layouts import command_line
from preprocessing.sample.performance import CONTROL_HZ, perform
from preprocessing.sample.plan import FPS, SampleOptions, plan_set
from preprocessing.sample.timing import SLOTS, Events, deal_events

HALF = SLOTS // 2


@pytest.fixture(scope="module")
def dealt():
    return deal_events(20_000, np.random.default_rng(0))


def test_labels_are_the_share_of_smiles_on_a_stress():
    voice = (True,) * HALF + (False,) * HALF
    assert Events(voice, voice).label == 3
    assert Events(voice, voice[::-1]).label == -3
    assert Events(voice, (True, True, False, False, True, True, False, False)).label == 0


def test_every_label_is_as_frequent(dealt):
    counts = Counter(one.label for one in dealt)
    assert set(counts) == {-3, -1.5, 0, 1.5, 3} and set(counts.values()) == {4000}


@pytest.mark.parametrize("stream", ["voice", "face"])
def test_neither_pattern_alone_says_anything(dealt, stream):
    """Given the label, all 70 patterns are equally likely (chi-square, 69 degrees: 99.9 % below 112)."""
    patterns = [tuple(slot in on for slot in range(SLOTS)) for on in combinations(range(SLOTS), HALF)]
    for label in (-3, 0, 3):
        found = Counter(getattr(one, stream) for one in dealt if one.label == label)
        assert set(found) <= set(patterns)
        expected = sum(found.values()) / len(patterns)
        assert sum((found[p] - expected) ** 2 / expected for p in patterns) < 112


def test_streams_do_not_leak_into_each_other():
    """Face and voice follow their own events; the jaw moves equally in every slot."""
    plans = [p for p in plan_set(SampleOptions(clips=60, videos=3, cue="timing")) if p.label == -3]
    assert len(plans) >= 9
    for plan in plans:
        face, voice = perform(plan)
        at = (np.arange(plan.n_frames) + 0.5) / FPS
        loudness = np.interp(at, np.arange(voice.loudness.size) / CONTROL_HZ, voice.loudness)
        assert np.corrcoef(loudness, face.smile)[0, 1] < -0.05  # stress and smile never meet at -3
        bumps = np.sort(face.jaw[1:-1][(face.jaw[1:-1] > face.jaw[:-2]) & (face.jaw[1:-1] >= face.jaw[2:])])
        assert len(bumps) == SLOTS and bumps[0] > 0.8 * bumps[-1]


def test_events_fit_into_the_clip_and_levels_say_nothing():
    plans = plan_set(SampleOptions(clips=90, videos=6, cue="timing"))
    means = []
    for plan in plans:
        face, voice = perform(plan)
        peaks = [
            (track > track.max() / 2).nonzero()[0]
            for track in (face.smile - face.smile.min(), voice.loudness)
        ]
        assert all(peak[0] > 0 for peak in peaks) and peaks[0][-1] < plan.n_frames - 1
        means.append((plan.label, face.smile.mean(), voice.loudness.mean(), np.log(voice.f0_hz).std()))
    correlation = np.corrcoef(np.array(means).T)[0, 1:]
    assert np.abs(correlation).max() < 0.35  # 90 clips: three standard errors are 0.32


def test_the_usual_set_is_what_it_was():
    usual, timed = (plan_set(SampleOptions(clips=12, videos=6, cue=cue)) for cue in ("mood", "timing"))
    assert all(clip.events is None for clip in usual)
    assert all(clip.events and clip.face_cue == clip.voice_cue == 0 for clip in timed)
    assert [clip.name for clip in usual] == [clip.name for clip in timed]


def test_the_command_makes_it_and_says_so(tmp_path, capsys):
    words = ["--out", str(tmp_path / "set"), "--clips", "3", "--videos", "3", "--workers", "1"]
    assert main([*words, "--cue", "timing"]) == 0
    text = (tmp_path / "set" / "README.txt").read_text()
    assert "--cue timing" in text and "how many smiles fall on a stressed syllable" in text
    assert main(words) == 2  # the usual set is another one
    assert "--cue" not in command_line(SampleOptions())
