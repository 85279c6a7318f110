"""The parts of a prediction: where a video is cut, what streams and seconds are worth."""

import dataclasses
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from kit.demo_models import make_result
from kit.tiny_models import TINY_CROSS

from mosi_e2e.data.batch import collate
from mosi_e2e.models.config import CrossModalConfig, FusionConfig, TokenConfig
from mosi_e2e.models.crossmodal import CrossModalTransformer
from mosi_e2e.predict.figure import draw_figure
from mosi_e2e.predict.inputs import list_videos, name_outputs
from mosi_e2e.predict.pictures import MOST, Album
from mosi_e2e.predict.result import PersonResult, VideoResult
from mosi_e2e.predict.scoring import Scorer, cut_seconds, share_out
from mosi_e2e.predict.segments import choose_cuts
from mosi_e2e.predict.summary import spread_of_draws
from preprocessing.config import SAMPLE_RATE
from preprocessing.errors import UserError

LENGTHS = (1.5, 4.0, 9.0)
COLUMNS, CLIP_S, RATE = 6, 5, 10


pytestmark = pytest.mark.usefixtures("one_thread")


def make_speech(seconds, pauses):
    """Noise [S] int16 with near silence of 0.5 s around the given moments."""
    sound = np.random.default_rng(0).normal(0, 3000, round(seconds * SAMPLE_RATE))
    for pause in pauses:
        sound[round((pause - 0.25) * SAMPLE_RATE) : round((pause + 0.25) * SAMPLE_RATE)] *= 0.01
    return sound.astype(np.int16)


def test_a_video_is_cut_where_it_is_quiet():
    pauses = [3.0, 8.2, 11.9, 16.0]
    cuts = choose_cuts(make_speech(20, pauses), 20.0, LENGTHS)
    assert [start for start, _ in cuts[1:]] == pytest.approx(pauses, abs=0.15)


@pytest.mark.parametrize("seconds", [9.1, 20.0, 61.37, 300.0])
def test_windows_cover_the_video_and_keep_to_their_lengths(seconds):
    rng = np.random.default_rng(1)
    for sound in (make_speech(seconds, np.sort(rng.uniform(1, seconds - 1, 9))), np.zeros(0, np.int16)):
        cuts = choose_cuts(sound, seconds, LENGTHS)
        assert cuts[0][0] == 0 and cuts[-1][1] == seconds
        assert all(one[1] == other[0] for one, other in itertools.pairwise(cuts))
        lengths = np.array([end - start for start, end in cuts])
        assert lengths.min() >= 1.4 and lengths.max() <= 9.1
    assert lengths.std() < 0.3 and lengths.mean() == pytest.approx(4.0, abs=1.0)  # silence: equal ones


def test_a_video_as_short_as_a_training_clip_is_one_window():
    assert choose_cuts(make_speech(9, [3, 6]), 9.0, LENGTHS) == [(0.0, 9.0)]
    assert choose_cuts(np.zeros(0, np.int16), 0.05, LENGTHS) == [(0.0, 0.05)]


def test_shapley_values_keep_the_rules_that_define_them():
    rng, players = np.random.default_rng(2), ("a", "b", "c")
    sets = [frozenset(one) for size in range(4) for one in itertools.combinations(players, size)]
    worth = {one: float(rng.normal()) for one in sets}
    shares = share_out(worth, players)
    assert sum(shares.values()) == pytest.approx(worth[frozenset("abc")] - worth[frozenset()])
    orders = list(itertools.permutations(players))  # by the definition, over all orders of joining
    for player in players:
        before = [frozenset(order[: order.index(player)]) for order in orders]
        gain = np.mean([worth[one | {player}] - worth[one] for one in before])
        assert shares[player] == pytest.approx(gain)
    useless = {one: worth[one - {"c"}] for one in sets}
    assert share_out(useless, players)["c"] == pytest.approx(0)


def test_windows_are_taken_to_err_together():
    draws = np.random.default_rng(3).normal(size=(4000, 2)) * [0.1, 0.3]
    low, high = spread_of_draws(draws, np.array([1.0, 2.9]), 0.9)
    assert high[0] - 1 == pytest.approx(1.645 * 0.1, rel=0.1) and high[1] == 3.0
    assert 2.9 - low[1] == pytest.approx(1.645 * 0.3, rel=0.1)


def make_clip(rng, label):
    """Noise in which one second carries the label: in two columns of behaviour, or two of the descriptors."""
    where = int(rng.integers(CLIP_S))
    streams = {}
    for name, rate in (("behaviour", RATE), ("acoustics", 2 * RATE)):
        time = ((np.arange(CLIP_S * rate) + 0.5) / rate).astype(np.float32)
        values = rng.normal(size=(len(time), COLUMNS)).astype(np.float32)
        values[(time >= where) & (time < where + 1), :2] += 2 * label
        streams[name] = {"values": values, "time": time}
    return {"index": 0, "clip_id": "", "label": label, "weight": 1.0, "streams": streams}, where


def remove_second(example, start):
    """The clip's own rows of a second taken out, before anything is encoded."""
    streams = {}
    for name, rows in example["streams"].items():
        kept = (rows["time"] < start) | (rows["time"] >= start + 1)
        streams[name] = {key: values[kept] for key, values in rows.items()}
    return example | {"streams": streams}


@pytest.fixture(scope="module")
def trained():
    """A small model that has learned to find the second that matters."""
    torch.manual_seed(0)
    config = CrossModalConfig(
        streams=["behaviour", "acoustics"],
        behaviour=TokenConfig(width=16),
        acoustics=TokenConfig(width=16, stride=2, context=1),
        fusion=FusionConfig(width=16, heads=2, layers=1, self_layers=1, dropout=0.0),
        head_dropout=0.0,
    )
    model = CrossModalTransformer(config, dict.fromkeys(config.streams, COLUMNS))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    rng = np.random.default_rng(4)
    for _ in range(100):
        labels = rng.uniform(-2.5, 2.5, 16)
        batch = collate([make_clip(rng, label)[0] for label in labels])
        loss = (model(batch).score - batch["label"]).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.8  # against 1.25 of always 0
    return Scorer(model.eval(), "regression", config.streams)


def score(scorer, example, seconds=CLIP_S):
    edges = cut_seconds(seconds)
    return scorer.read([scorer.encode(example, edges)], [edges], 0, 0)


def test_removing_the_marked_second_changes_the_score_more_than_removing_any(trained):
    """The marks come from leaving out tokens; here the clip's own rows are left out."""
    rng = np.random.default_rng(5)
    marked, random, hits = [], [], 0
    for label in (*rng.uniform(1.5, 2.5, 6), *rng.uniform(-2.5, -1.5, 6)):
        example, where = make_clip(rng, label)
        reading = score(trained, example)
        change = [
            abs(reading.score[0] - score(trained, remove_second(example, start)).score[0])
            for start in range(CLIP_S)
        ]
        second = int(np.abs(reading.effect[0]).argmax())
        marked.append(change[second])
        random.append(np.mean(change))  # what a second drawn at random brings on average
        hits += second == where
    assert np.mean(marked) > 2 * np.mean(random)
    assert hits >= 9


def test_a_second_that_carries_a_positive_label_pushes_the_score_up(trained):
    for label in (2.0, -2.0):
        example, where = make_clip(np.random.default_rng(6), label)
        assert score(trained, example).effect[0][where] * label > 0


def test_a_single_row_belongs_to_no_second():
    """Functionals speak for the whole window: leaving out the second in its middle keeps them."""
    model = CrossModalTransformer(
        CrossModalConfig(streams=["functionals"], functionals=TokenConfig(width=8), fusion=TINY_CROSS.fusion),
        {"functionals": COLUMNS},
    ).eval()
    rows = {"values": np.ones((1, COLUMNS), np.float32), "time": np.array([2.5], np.float32)}
    example = {"index": 0, "clip_id": "", "label": 0.0, "weight": 1.0, "streams": {"functionals": rows}}
    effect = score(Scorer(model, "regression", ["functionals"]), example).effect[0]
    assert np.abs(effect).max() < 1e-6  # rounding: the seconds are rows of one batch, the whole is another


def test_a_second_that_is_silent_anyway_adds_nothing():
    """Leaving out sound means silence: where it is silent already, nothing changes."""
    torch.manual_seed(0)
    model = CrossModalTransformer(replace(TINY_CROSS, streams=["speech"]), {}).eval()
    sound = np.random.default_rng(7).normal(0, 0.1, 4 * SAMPLE_RATE).astype(np.float32)
    effects = []
    for loudness in (1.0, 0.0):
        rows = {"values": loudness * sound, "time": np.zeros(1, np.float32)}
        example = {"index": 0, "clip_id": "", "label": 0.0, "weight": 1.0, "streams": {"speech": rows}}
        effects.append(
            np.abs(score(Scorer(model, "regression", ["speech"]), example, 4).effect[0][1:-1]).min()
        )
    assert effects[0] > 1e-4 and effects[0] > 30 * effects[1]


def test_seconds_are_never_longer_than_one():
    assert cut_seconds(1.4)[:-1] == pytest.approx([0, 0.7])
    assert [len(cut_seconds(length)) - 1 for length in (0.2, 1.0, 1.01, 5.0, 5.2)] == [1, 1, 2, 5, 6]


def test_a_video_has_its_first_persons_fields_with_their_types():
    own = {one.name: one.type for one in dataclasses.fields(PersonResult)}
    shown = {name: own[name] for name in own.keys() - {"number", "name", "portrait"}}
    properties = {name: thing for name, thing in vars(VideoResult).items() if isinstance(thing, property)}
    assert {name: one.fget.__annotations__["return"] for name, one in properties.items()} == shown
    result = make_result()
    assert all(getattr(result, name) is getattr(result.people[0], name) for name in shown)
    assert not hasattr(VideoResult, "__getattr__")  # type checkers would take any name then


def test_the_picture_shows_words_at_their_times_where_there_are_some():
    result = make_result()
    rows = draw_figure(result, result.people[0]).axes
    (words,) = [ax for ax in rows if any(text.get_text() == "words" for text in ax.texts)]
    assert [text.get_text() for text in words.texts] == ["words", "<good>", "bad"]
    good, bad = words.patches[:2]
    assert (good.get_x(), good.get_width()) == pytest.approx((0.1, 0.4))
    assert good.get_alpha() < bad.get_alpha() and good.get_facecolor()[:3] != bad.get_facecolor()[:3]
    quiet = replace(result.people[0], timeline=[replace(one, words=[]) for one in result.timeline])
    assert len(draw_figure(result, quiet).axes) == len(rows) - 1


def test_an_album_of_a_long_video_stays_small():
    album = Album()
    for number in range(3000):
        album.offer(number / 5, np.zeros((48, 64, 3), np.uint8))
    times = [still.time for still in album.stills]
    assert MOST <= len(times) < 2 * MOST and np.ptp(np.diff(times)) < 1e-9 and times[-1] > 580


def test_folders_mean_their_videos_and_outputs_never_overwrite_one_another(tmp_path):
    for name in ("b.MP4", "a.webm", "notes.txt", ".hidden.mp4", "a.mp4", "a_overlay.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "x.mp4").mkdir()  # a folder all the same
    found = list_videos([tmp_path, tmp_path / "a.mp4"])
    assert [path.name for path in found] == ["a.mp4", "a.webm", "b.MP4"]
    assert list(name_outputs([*found, Path("x/a.mp4")]).values()) == ["a", "a_webm", "b", "a_mp4"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no video file"):
        list_videos([tmp_path / "empty"])
