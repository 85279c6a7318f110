"""Predicting: any video, scored as a clip of the cache would be, with what the score rests on."""

import csv
import json
import shutil
from itertools import pairwise

import av
import numpy as np
import pytest
import torch
from kit.made_clips import write_clip
from kit.made_predictor import (
    CROSS,
    LATE,
    draw_people,
    give_evidence,
    make_small_cache,
    make_talk,
    write_run,
    write_video,
)
from kit.one_clip import OneClip
from kit.pages_read import check_page
from scipy.stats import t as student

from mosi_e2e.data.batch import collate
from mosi_e2e.data.dataset import read_stream
from mosi_e2e.data.streams import find_stream
from mosi_e2e.predict.__main__ import main
from mosi_e2e.predict.overlay import write_overlay
from mosi_e2e.predict.predictor import PredictOptions, Predictor
from preprocessing.errors import UserError
from preprocessing.media.file import Media
from preprocessing.stages.look import look_at_frames

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("predict")


@pytest.fixture(scope="module")
def cache(folder):
    return make_small_cache(folder / "made")


@pytest.fixture(scope="module")
def run(folder, cache):
    return write_run(folder / "cross", cache)


@pytest.fixture(scope="module")
def predictor(run):
    return Predictor.open(run)


@pytest.fixture(scope="module")
def video(folder):
    """As short as a training clip: one window."""
    return write_video(folder / "short.mp4", 1.2)


@pytest.fixture(scope="module")
def long_result(folder, predictor):
    return predictor.predict(write_video(folder / "long.mp4", 6.0))


def test_several_threads_see_what_one_sees(video, predictor):
    config = predictor.config
    one, three = (
        list(look_at_frames(Media(video, config.decode), config, threads=threads)) for threads in (1, 3)
    )
    assert len(one) == 9 and all(glance.faces for glance in one)  # 1.2 s at 7.5 a second
    for a, b in zip(one, three, strict=True):
        assert (a.position, a.is_cropped) == (b.position, b.is_cropped)
        assert np.array_equal(a.faces[0].points, b.faces[0].points) and a.faces[0].crop == b.faces[0].crop


@pytest.mark.parametrize("model", [CROSS, LATE], ids=["crossmodal", "late_fusion"])
def test_a_short_video_scores_as_the_clip_would_in_evaluation(folder, cache, video, model):
    run = write_run(folder / f"same_{model.name}", cache, model)
    predictor = Predictor.open(run)
    stages = frozenset(find_stream(name).stage for name in predictor.streams)
    store = OneClip(video, predictor.config, stages)
    streams = {name: read_stream(store, "a_1", find_stream(name)) for name in predictor.streams}
    example = {"index": 0, "clip_id": "a_1", "label": 0.0, "weight": 1.0, "streams": streams}
    with torch.no_grad():
        expected = predictor.members[0].scorer.model(collate([example]))
    result = predictor.predict(video)
    assert len(result.timeline) == 1 and abs(float(expected.score)) < 3
    assert result.score == pytest.approx(float(expected.score), abs=1e-4)
    heads = {name: float(score) for name, score in expected.by_stream.items()}
    assert result.by_stream == pytest.approx(heads, abs=1e-4)


def test_a_long_video_is_covered_by_windows_like_training_clips(long_result, predictor):
    windows = long_result.timeline
    assert windows[0].start_s == 0
    assert windows[-1].end_s == long_result.duration_s == pytest.approx(6, abs=0.1)
    assert all(a.end_s == b.start_s for a, b in pairwise(windows))
    _, _, longest = predictor.facts.train_seconds
    assert len(windows) >= 3 and max(one.end_s - one.start_s for one in windows) <= longest + 0.2
    weights = [one.end_s - one.start_s for one in windows]
    assert long_result.score == pytest.approx(np.average([one.score for one in windows], weights=weights))


def test_contributions_add_up_to_the_score_less_that_of_nothing(long_result):
    for one in [long_result, *long_result.timeline]:
        total = sum(one.contribution.values())
        assert total == pytest.approx(one.score - long_result.score_absent, abs=1e-5)
    assert all(abs(value) > 1e-4 for value in long_result.contribution.values())


@pytest.mark.slow
def test_the_encoders_run_once_per_window_whatever_is_asked(folder, run, long_result):
    predictor = Predictor.open(run)
    calls = dict.fromkeys(predictor.streams, 0)
    for name, encoder in predictor.members[0].scorer.model.encoders.items():
        encoder.register_forward_hook(lambda *_, name=name: calls.__setitem__(name, calls[name] + 1))
    again = predictor.predict(folder / "long.mp4", options=PredictOptions(draws=50))
    windows = len(long_result.timeline)
    assert calls == dict.fromkeys(predictor.streams, windows) | {"speech": windows + 1}  # and a pause, once
    assert again.score == pytest.approx(long_result.score, abs=1e-6)


def test_the_spread_is_the_dropouts_and_comes_out_alike_again(video, predictor):
    first, again = predictor.predict(video), predictor.predict(video)
    assert first.spread == again.spread and first.spread.method == "20 dropout samples"
    assert first.spread.low < first.score < first.spread.high
    wider = predictor.predict(video, options=PredictOptions(level=0.99)).spread
    assert wider.high - wider.low > first.spread.high - first.spread.low
    assert predictor.predict(video, options=PredictOptions(draws=0)).spread is None


@pytest.mark.slow
def test_several_runs_give_their_mean_and_students_interval(folder, cache, video):
    runs = [write_run(folder / f"seed_{seed}", cache, seed=seed) for seed in range(3)]
    scores = np.array([Predictor.open(run).predict(video).score for run in runs])
    result = Predictor.open_many(runs).predict(video)
    assert result.score == pytest.approx(scores.mean())
    low, high = student.interval(0.9, 2, scores.mean(), scores.std(ddof=1) * np.sqrt(4 / 3))
    assert (result.spread.low, result.spread.high) == pytest.approx((max(low, -3), min(high, 3)))
    assert "3 training runs" in result.spread.method
    with pytest.raises(UserError, match="the same streams"):
        Predictor.open_many([runs[0], write_run(folder / "other", cache, LATE)])


def test_a_binary_model_gives_a_probability_and_knows_no_neutral(folder, cache, video):
    run = write_run(folder / "binary", cache, task="binary")
    sure = Predictor.open(give_evidence(run, errors=[[0.1]] * 12)).predict(video)
    assert sure.score == pytest.approx(6 * sure.probability - 3) and sure.interval is None
    assert sure.label_class == "undecided"  # so sure a model would be near 0 or 1
    half = 3 - abs(sure.score) + 0.01
    able = Predictor.open(give_evidence(run, errors=[[half]] * 12)).predict(video)
    assert able.label_class == ("positive" if able.probability > 0.5 else "negative")
    assert Predictor.open(give_evidence(run, errors=[[5.9]] * 12)).predict(video).label_class == "undecided"


def test_what_is_missing_is_said_and_the_score_comes_from_the_rest(folder, predictor):
    silent = predictor.predict(write_video(folder / "mute.mp4", 1.2, has_sound=False))
    assert silent.streams_missing == ["speech"] and silent.contribution["speech"] == pytest.approx(
        0, abs=1e-6
    )
    assert silent.score is not None and any("there is no sound" in remark for remark in silent.remarks)
    faceless = predictor.predict(write_video(folder / "wall.mp4", 1.2, people=0))
    assert faceless.streams_missing == ["behaviour", "face"] and faceless.face_ratio == 0
    assert faceless.score == pytest.approx(faceless.alone["speech"], abs=1e-6)
    assert "no face was found: what is left is voice" in faceless.remarks
    assert faceless.label_class is None
    nothing = predictor.predict(write_video(folder / "nothing.mp4", 1.2, people=0, has_sound=False))
    assert nothing.score is None and nothing.label_class is None and nothing.timeline == []
    assert "there is no score: there is no sound and no face was found" in nothing.remarks
    hush = write_video(folder / "hush.mp4", 1.2, people=0, is_silent=True)
    assert predictor.predict(hush).score is None  # a silent track is no voice


def test_two_people_have_a_result_each_and_nobody_a_voice_that_is_not_clearly_theirs(folder, predictor):
    result = predictor.predict(write_video(folder / "two.mp4", 1.2, people=2))  # the same still mouth twice
    one, other = result.people
    assert (one.voice_ratio, other.voice_ratio) == (0.0, 0.0)
    assert one.streams_missing == other.streams_missing == ["speech"]
    assert abs(one.portrait.box[0, 0] - other.portrait.box[0, 0]) > 200  # left and right
    assert result.score == one.score and any("2 people" in remark for remark in result.remarks)
    assert any("In the only window nobody clearly speaks" in remark for remark in result.remarks)


@pytest.mark.slow
def test_a_webcam_recording_without_a_length_and_with_uneven_frames(folder, predictor):
    """As a browser writes it: VP8 and Opus, frames whenever they come, no duration in the header."""
    import av

    times = np.cumsum(np.random.default_rng(0).choice([20, 33, 90], 60)).tolist()
    plain = write_clip(
        folder / "plain.webm", draw_people(60 / 25), times_ms=times, codec="libvpx",
        options={"deadline": "realtime", "cpu-used": "8"}, sound=make_talk(times[-1] / 1000),
        sample_rate=48_000, audio_codec="libopus",
    )  # fmt: skip
    live = folder / "webcam.webm"
    with av.open(str(plain)) as source, av.open(str(live), "w", options={"live": "1"}) as target:
        streams = {one.index: target.add_stream_from_template(one) for one in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    with av.open(str(live)) as file:
        assert not file.duration
    result = predictor.predict(live)
    assert result.duration_s == pytest.approx(times[-1] / 1000, abs=0.2)
    assert result.streams_missing == [] and result.face_ratio == 1


def test_the_command_writes_its_files_and_one_bad_video_costs_itself_alone(folder, run, video, capsys):
    videos = folder / "videos"
    videos.mkdir()
    shutil.copy(video, videos / "good.mp4")
    (videos / "garbage.mp4").write_bytes(bytes(range(256)) * 8)
    (videos / "notes.txt").write_text("no video")
    out = folder / "out"
    assert main([str(run), str(videos), "--out", str(out), "--overlay"]) == 1
    printed = capsys.readouterr()
    assert "garbage.mp4 cannot be scored" in printed.err and "1 of 2 videos failed" in printed.err
    assert printed.out.index("warning: SYNTHETIC") < printed.out.index("nothing seen or heard")
    result = json.loads((out / "good.json").read_text())
    assert {"score", "by_stream", "contribution", "timeline", "streams_missing"} <= result.keys()
    assert {"start_s", "end_s", "score"} <= result["timeline"][0].keys() and result["model"]["synthetic"]
    rows = list(csv.DictReader((out / "good.csv").open()))
    assert [float(row["score"]) for row in rows] == [one["score"] for one in result["timeline"]]
    page = check_page(out / "good.html", 1_000_000)
    assert f"{result['score']:+.2f}".replace("-", "−") in page.text and "SYNTHETIC" in page.text
    assert (out / "good.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in out.iterdir()) == [
        "good.csv", "good.html", "good.json", "good.png", "good_overlay.mp4",
    ]  # fmt: skip


def test_the_overlay_keeps_pictures_and_sound_and_shows_the_score(folder, predictor, video):
    write_overlay(predictor.predict(video), video, folder / "drawn.mp4")
    with av.open(str(video)) as before, av.open(str(folder / "drawn.mp4")) as after:
        pictures = [[f.to_ndarray(format="rgb24") for f in file.decode(video=0)] for file in (before, after)]
        times = []
        for file in (before, after):
            file.seek(0)
            times.append([frame.time for frame in file.decode(video=0)])
        lengths = [
            float(file.streams.audio[0].duration * file.streams.audio[0].time_base)
            for file in (before, after)
        ]
    assert times[0] == pytest.approx(times[1], abs=1e-3) and lengths[0] == pytest.approx(lengths[1], abs=0.06)
    changed = np.abs(pictures[0][10].astype(int) - pictures[1][10]).mean(axis=-1)
    assert changed[-20:].mean() > 20 and changed[:15].mean() > 20  # the scale below, the warning above
    assert changed[40:60, :40].mean() < 8


def test_models_and_files_that_cannot_be_used_are_refused_with_what_to_do(folder, cache, run, video, capsys):
    facts = run / "best" / "facts.json"

    def change(name, settings=None, **entries):
        copy = shutil.copytree(run, folder / name)
        new = json.loads(facts.read_text())
        new = new | {"stages": new["stages"] | entries, "settings": settings or {}}
        (copy / "best" / "facts.json").write_text(json.dumps(new))
        return copy

    behaviour = json.loads(facts.read_text())["stages"]["behaviour"]
    by_csv = behaviour | {"options": {"backend": "openface_csv", "openface_csv": {"groups": ["au_r"]}}}
    with pytest.raises(UserError, match="openface_csv"):
        Predictor.open(change("by_csv", settings={"behaviour": {"backend": "openface_csv"}}))
    with pytest.raises(UserError, match="openface_csv"):  # of a model made before settings were kept
        Predictor.open(change("old_by_csv", behaviour=by_csv))
    assert Predictor.open(change("old")).config == Predictor.open(run).config
    with pytest.raises(UserError, match="imported features"):
        Predictor.open(change("imported", behaviour=behaviour | {"options": {"sentinel": None}, "rules": {}}))
    with pytest.raises(UserError, match=r"holds no trained model.*mosi_e2e\.train"):
        Predictor.open(folder / "nowhere")
    assert main([str(run), str(folder / "missing.mp4")]) == 2
    error = capsys.readouterr().err
    assert "there is no file or folder" in error


def test_8_bit_encoders_say_nearly_the_same(run, video, predictor):
    fast = Predictor.open(run)
    fast.use_int8()
    exact, near = predictor.predict(video).score, fast.predict(video).score
    assert near != exact and near == pytest.approx(exact, abs=0.1)


def test_a_longer_video_than_allowed_is_refused_before_it_is_decoded(video, predictor):
    with pytest.raises(UserError, match="--max-minutes"):
        predictor.predict(video, options=PredictOptions(max_minutes=0.01))


def test_progress_rises_to_the_end(video, predictor):
    told = []
    predictor.predict(video, lambda share, what: told.append((share, what)))
    shares = [share for share, _ in told]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 1
    assert {"looking at the picture", "scoring"} <= {what for _, what in told}
