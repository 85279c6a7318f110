"""Stages: what each depends on, and what each makes of clips with and without face and sound."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from kit.made_clips import draw_number, find_packets, make_tone, overwrite, write_clip
from kit.one_clip import extract
from skimage.data import astronaut

from preprocessing.cache.store import ClipStore
from preprocessing.config import PreprocessConfig
from preprocessing.errors import UserError
from preprocessing.media.decode import MediaError
from preprocessing.settings import load_config
from preprocessing.stages import StageResult, find_stage, name_stages
from preprocessing.stages.recipes import describe_settings, describe_stages, make_recipes, read_settings

STAGES = name_stages()

PORTRAIT = np.ascontiguousarray(astronaut()[:300, 75:375])
PICTURES = [np.roll(PORTRAIT, shift, axis=1) for shift in range(20)]  # 0.8 s, drifting by a pixel a frame
TONE = make_tone(0.8, 44_100, 200)
CONFIG = PreprocessConfig()
VIDEO, AUDIO = frozenset({"faces", "behaviour"}), frozenset({"waveform", "acoustics"})
OPENFACE = ("behaviour.backend=openface",)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A face that drifts, and a tone."""
    return write_clip(tmp_path_factory.mktemp("clip") / "x_1.mp4", PICTURES, sound=TONE)


def see(path: Path, config: PreprocessConfig = CONFIG) -> dict[str, StageResult]:
    return extract(path, config, VIDEO)


def hear(path: Path, todo: frozenset[str] = AUDIO) -> dict[str, StageResult]:
    return extract(path, CONFIG, todo)


def test_frames_become_crops_and_tokens_with_their_times(clip):
    found = see(clip, load_config(PreprocessConfig, None, ["track.rate=10"]))
    assert set(found) == VIDEO
    faces, tokens = found["faces"].arrays, found["behaviour"].arrays
    assert np.allclose(
        tokens["behaviour_time"], [0, 0.08, 0.2, 0.28, 0.4, 0.48, 0.6, 0.68]
    )  # 10 of 25 a second
    assert np.allclose(faces["face_time"], [0, 0.2, 0.4, 0.6])
    assert tokens["behaviour"].shape == (8, 62) and tokens["behaviour_valid"].all()
    assert faces["face_valid"].all()
    left = faces["face_box"][:, 0]
    assert np.allclose(np.diff(left), 5, atol=1.5)  # five frames, five pixels
    ends = faces["face_offset"]
    crop = cv2.imdecode(faces["face_jpeg"][ends[1] : ends[2]], cv2.IMREAD_COLOR)
    assert crop.shape == (224, 224, 3)
    for result in found.values():
        assert result.status == {
            "state": "ok",
            "duration_s": 0.8,
            "n_frames": 20,
            "face_ratio": 1.0,
            "people": 1,
            "remark": "",
        }


@pytest.mark.parametrize("stage", ["faces", "behaviour"])
def test_one_stage_alone_is_the_same_as_both_together(clip, stage):
    both, alone = see(clip), extract(clip, CONFIG, [stage])
    assert set(alone) == {stage}
    assert alone[stage].status == both[stage].status
    assert all(np.array_equal(alone[stage].arrays[key], value) for key, value in both[stage].arrays.items())


def test_late_pictures_and_sound_share_one_clock(tmp_path):
    times = [300 + 40 * number for number in range(20)]
    path = write_clip(tmp_path / "clip.mp4", PICTURES, times_ms=times, sound=make_tone(1.1, 44_100, 200))
    assert np.isclose(see(path)["faces"].arrays["face_time"][0], 0.3)
    found = hear(path)
    assert found["waveform"].arrays["waveform_time"].tolist() == [0]
    assert np.abs(found["waveform"].arrays["waveform"][:800]).max() > 1000


def test_sound_becomes_waveform_and_features(clip):
    found = hear(clip)
    assert set(found) == AUDIO
    waveform = found["waveform"].arrays["waveform"]
    assert waveform.dtype == np.int16
    assert found["waveform"].status == {
        "state": "ok",
        "duration_s": 0.8,
        "audio_s": round(len(waveform) / 16000, 3),
        "remark": "",
    }
    assert found["acoustics"].arrays["functionals"].shape == (1, 88)
    assert set(hear(clip, frozenset({"acoustics"}))) == {"acoustics"}


def test_what_a_clip_lacks_has_no_rows_and_says_why(tmp_path, clip):
    silent = write_clip(tmp_path / "silent.mp4", PICTURES[:3])
    blind = write_clip(tmp_path / "blind.m4a", sound=TONE)
    numbers = [draw_number(number) for number in range(10)]
    short = write_clip(tmp_path / "short.mkv", numbers, sound=TONE[:, :1000], audio_codec="pcm_s16le")
    found = {
        "no_audio": hear(silent),
        "no_video": see(blind),
        "no_face": see(short),
        "too_short": hear(short, frozenset({"acoustics"})),
    }
    for state, results in found.items():
        assert results and {result.state for result in results.values()} == {state}
        for stage, result in results.items():
            expected = find_stage(stage).empty(CONFIG)
            assert set(result.arrays) == set(expected)
            times = [value for key, value in result.arrays.items() if key.endswith("_time")]
            assert all(len(value) == 0 for value in times)
    assert found["no_face"]["faces"].facts["n_frames"] == 10
    assert found["no_face"]["faces"].facts["face_ratio"] == 0
    assert hear(short, frozenset({"waveform"}))["waveform"].state == "ok"
    whole = see(clip) | hear(clip)
    for stage in STAGES:  # the same keys, types and widths as with rows
        none = find_stage(stage).empty(CONFIG)
        assert {k: (v.dtype, v.shape[1:]) for k, v in none.items()} == {
            k: (v.dtype, v.shape[1:]) for k, v in whole[stage].arrays.items()
        }


def test_a_face_that_no_crop_shows_leaves_tokens_alone(tmp_path):
    black = np.zeros_like(PORTRAIT)
    pictures = [PORTRAIT if number % 5 == 2 else black for number in range(20)]
    ten = load_config(PreprocessConfig, None, ["track.rate=10"])
    found = see(write_clip(tmp_path / "blink.mp4", pictures), ten)
    assert found["behaviour"].arrays["behaviour_valid"].tolist() == [False, True] * 4
    assert found["faces"].state == "no_face"
    assert not found["faces"].arrays["face_valid"].any()
    assert found["behaviour"].state == "ok"
    assert found["behaviour"].facts["face_ratio"] == 0.5


def test_missing_frames_are_remarked_or_refused(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", PICTURES * 2)
    overwrite(path, find_packets(path, "video")[38:], 0xFF)
    assert see(path)["faces"].facts["remark"] == ""  # a few frames: within the tolerance of short clips
    overwrite(path, find_packets(path, "video")[20:], 0xFF)
    with pytest.raises(MediaError, match="truncated or damaged"):
        see(path)
    lenient = load_config(PreprocessConfig, None, ["decode.max_missing=0.6"])
    assert "of the promised 1.60 s of picture" in see(path, lenient)["faces"].facts["remark"]
    overwrite(path, find_packets(path, "video"), 0xFF)
    nothing = load_config(PreprocessConfig, None, ["decode.max_missing=1"])
    with pytest.raises(MediaError, match="no frame of the video stream can be decoded"):
        see(path, nothing)


def test_sound_that_does_not_decode_is_no_silence(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", PICTURES, sound=TONE)
    overwrite(path, find_packets(path, "audio")[::2], 0xFF)
    with pytest.raises(MediaError, match=r"truncated or damaged: 0\.\d+ s of the promised 0\.8\d s of sound"):
        hear(path)
    assert see(path)["faces"].state == "ok"


@pytest.mark.parametrize(("codec", "what"), [(b"A_AAC", "sound"), (b"V_MPEG4/ISO/AVC", "picture")])
def test_a_form_that_nobody_knows_is_refused_by_name(tmp_path, codec, what):
    path = write_clip(tmp_path / "clip.mkv", PICTURES, sound=TONE)
    path.write_bytes(path.read_bytes().replace(codec, codec[:-3] + b"XYZ"))
    with pytest.raises(MediaError, match=f"no decoder for the form of the clip's {what}"):
        hear(path) if what == "sound" else see(path)


def test_meta_describes_what_is_stored(sample_cache):
    store = ClipStore(sample_cache)
    config = load_config(PreprocessConfig, None, ["faces.size=96"])
    assert store.meta["stages"] == describe_stages(config)
    assert store.meta["settings"] == describe_settings(config)
    clip_id = store.index.clip_id[0]
    for stage in STAGES:
        arrays, entry = store.read(clip_id, stage), store.meta["stages"][stage]
        assert set(entry["keys"]) <= set(arrays)
        for key, facts in entry["keys"].items():
            assert facts["unit"]
            assert len(facts.get("columns", arrays[key])) == (arrays[key].shape[1:] or arrays[key].shape)[0]
        assert all(version[0].isdigit() for version in entry["tools"].values())
    assert store.meta["stages"]["waveform"]["keys"]["waveform"]["rate_hz"] == 16_000


@pytest.mark.parametrize(
    "changes", [(), ("behaviour.backend=openface_csv",), OPENFACE, (*OPENFACE, "faces.source=openface")]
)
def test_the_settings_of_a_cache_are_read_back(changes):
    others = ("decode.max_missing=0.5", "track.rate=11", "faces.size=96", "behaviour.openface.groups=[pose]")
    here = ("track.model=/here/model", "behaviour.openface.binary=/here/program", "out=/here/cache")
    config = load_config(PreprocessConfig, None, [*changes, *others, *here])
    recorded, described = json.loads(json.dumps([describe_settings(config), describe_stages(config)]))
    assert "/here" not in json.dumps(recorded)
    assert make_recipes(read_settings(recorded, described)) == make_recipes(config)
    assert make_recipes(read_settings({}, described)) == make_recipes(config)  # of a cache made before


def test_settings_of_an_unknown_version_are_refused():
    recorded = describe_settings(CONFIG)
    recorded["track"]["speed"] = 1
    with pytest.raises(UserError, match=r"the cache's settings: there is no key 'track\.speed'"):
        read_settings(recorded, {})


def test_settings_of_a_cache_start_no_program_of_its_choice():
    recorded = describe_settings(CONFIG)
    recorded["behaviour"]["openface"]["binary"] = "/tmp/evil"
    with pytest.raises(UserError, match=r"behaviour\.openface\.binary, which belongs to a machine"):
        read_settings(recorded, {})
