"""OpenFace as a backend of the stages: tokens, and its own aligned faces as crops."""

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from kit import fake_openface
from kit.made_clips import draw_number, make_tone, write_clip
from kit.one_clip import extract
from PIL import Image

from preprocessing.cache.store import StageFiles
from preprocessing.config import BehaviourConfig, OpenFaceConfig, PreprocessConfig, check_config
from preprocessing.errors import UserError
from preprocessing.media.decode import probe
from preprocessing.openface import program as openface_run
from preprocessing.run.clip_job import ClipJob, list_passes, process_clip
from preprocessing.sets.labels import ClipEntry
from preprocessing.settings import load_config
from preprocessing.stages import find_stage, name_stages
from preprocessing.stages.recipes import make_recipes

STAGES = name_stages()

CROPS = ("behaviour.backend=openface", "faces.source=openface", "faces.size=64", "faces.rate=5")


@pytest.fixture
def clip(tmp_path) -> Path:
    pictures = [draw_number(number) for number in range(20)]
    return write_clip(tmp_path / "x_1.mp4", pictures, sound=make_tone(0.8, 44_100, 200))


@pytest.fixture
def configure(tmp_path):
    """Settings with the stand-in program, whose `lost` frames have no face."""

    def make(*settings: str) -> PreprocessConfig:
        program = fake_openface.install(tmp_path / "bin")
        (tmp_path / "cache").mkdir(exist_ok=True)
        settings = [*settings, f"behaviour.openface.binary={program}", f"out={tmp_path / 'cache'}"]
        return load_config(PreprocessConfig, None, settings)

    return make


def process(clip: Path, config: PreprocessConfig, todo=frozenset({"faces", "behaviour"})):
    recipes = make_recipes(config)
    entry = ClipEntry("x_1", "x", "test", None, clip, "")
    outcome = process_clip(ClipJob(entry, frozenset(todo), config, recipes))
    files = {stage: StageFiles(Path(config.out), stage, recipe) for stage, recipe in recipes.items()}
    return outcome, files


def test_crops_are_the_aligned_faces_of_the_one_run(clip, configure, monkeypatch):
    config, started = configure(*CROPS), []
    start = openface_run._start

    def count(*words):
        started.append(words)
        return start(*words)

    monkeypatch.setattr(openface_run, "_start", count)
    outcome, files = process(clip, config)
    assert outcome.failures == () and len(started) == 1
    faces, tokens = files["faces"].read("x_1"), files["behaviour"].read("x_1")
    assert np.allclose(faces["face_time"], [0, 0.2, 0.4, 0.6])
    assert tokens["behaviour"].shape == (20, 43)
    ends, data = faces["face_offset"], faces["face_jpeg"]
    for number, row in enumerate([0, 5, 10, 15]):  # the stand-in colours each image by its frame, from 1
        picture = Image.open(io.BytesIO(data[ends[number] : ends[number + 1]].tobytes()))
        assert picture.size == (64, 64)
        assert abs(picture.getpixel((32, 32))[0] - (row + 1)) <= 2
    boxes = faces["face_box"]
    assert (boxes[:, 2:] >= boxes[:, :2]).all() and (boxes > 0).all()
    assert {key: value.dtype for key, value in faces.items()} == {
        key: value.dtype for key, value in find_stage("faces").empty(config).items()
    }
    assert files["faces"].status("x_1")["n_frames"] == 20


def test_a_frame_without_a_trusted_face_has_no_crop(clip, configure, monkeypatch):
    monkeypatch.setattr(openface_run, "_find_program", lambda *_: clip.parent / "bin" / "FeatureExtraction")
    config = configure(*CROPS)
    script = '{"frames": 20, "lost": [4, 6], "weak": [11]}'
    real = openface_run._run_program

    def run(path, out, *rest):
        scripted = out.parent / "scripted.mp4"
        scripted.write_text(script)
        return real(scripted, out, *rest)

    monkeypatch.setattr(openface_run, "_run_program", run)
    _, files = process(clip, config)
    faces = files["faces"].read("x_1")
    assert faces["face_valid"].tolist() == [True, False, False, True]  # frames 1, 6 (lost), 11 (weak), 16
    assert (np.diff(faces["face_offset"]) > 0).tolist() == faces["face_valid"].tolist()
    assert not faces["face_box"][~faces["face_valid"]].any()


def test_tokens_alone_do_not_need_the_images(clip, configure):
    outcome, files = process(clip, configure("behaviour.backend=openface"), {"behaviour"})
    assert outcome.failures == ()
    assert files["behaviour"].status("x_1")["state"] == "ok"
    assert files["faces"].status("x_1") is None


def test_the_same_tokens_with_and_without_the_images(clip, configure):
    _, plain = process(clip, configure("behaviour.backend=openface"), {"behaviour"})
    _, both = process(clip, configure(*CROPS))
    for key, value in plain["behaviour"].read("x_1").items():
        assert np.array_equal(both["behaviour"].read("x_1")[key], value)


def test_a_truncated_clip_is_refused_whatever_the_program_says(shared, configure):
    clip = shared / "data" / "clips" / "derived" / "truncated_faststart.mp4"
    outcome, _ = process(clip, configure(*CROPS))
    assert [failure.stage for failure in outcome.failures] == ["behaviour+faces"]
    assert "truncated or damaged" in outcome.failures[0].error


def test_what_comes_from_one_program_is_one_pass():
    def passes(*settings: str) -> list[list[str]]:
        found = list_passes(frozenset(STAGES), load_config(PreprocessConfig, None, settings))
        return [sorted(stage.name for stage in stages) for stages in found]

    sound = ["acoustics", "waveform"]
    assert passes() == passes(*CROPS) == [["behaviour", "faces"], sound]
    assert passes("behaviour.backend=openface") == [["faces"], ["behaviour"], sound]


@pytest.mark.parametrize("backend", ["mediapipe", "openface_csv"])
def test_aligned_faces_need_the_program(backend):
    config = load_config(PreprocessConfig, None, ["faces.source=openface", f"behaviour.backend={backend}"])
    with pytest.raises(UserError, match=r"behaviour\.backend is .*; type behaviour\.backend=openface"):
        check_config(config)


def test_real_openface_csvs_fit_the_decoded_frames(shared):
    options = OpenFaceConfig(csv_dir=str(shared / "data" / "openface"))
    behaviour = BehaviourConfig(backend="openface_csv", openface=options)
    config = PreprocessConfig(behaviour=behaviour)
    ratios = {}
    for folder in ("real", "labelled"):
        for path in sorted((shared / "data" / "clips" / folder).iterdir()):
            result = extract(path, config, ["behaviour"])["behaviour"]
            tokens = result.arrays
            assert result.state == "ok"
            assert tokens["behaviour"].shape == (len(tokens["behaviour_time"]), 43)
            assert tokens["behaviour_time"][-1] <= probe(path).duration_s
            assert set(tokens) == set(find_stage("behaviour").empty(config))
            ratios[path.name] = tokens["behaviour_valid"].mean()
    assert len(ratios) == 16
    assert min(ratios.values()) > 0.9, ratios


def test_squeezed_pixels_are_remarked(tmp_path, configure):
    """OpenFace reads the file itself, and takes its pixels for square."""
    pictures = [draw_number(number) for number in range(20)]
    clip = write_clip(tmp_path / "x_1.mp4", pictures, shape=Fraction(2))
    _, files = process(clip, configure(*CROPS))
    for stage in ("faces", "behaviour"):
        assert "OpenFace takes them for square" in files[stage].status("x_1")["remark"]
