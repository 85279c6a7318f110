"""Pictures of faces as clips of one frame: what is taken, refused or counted, and that they train."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from kit.tiny_encoders import tiny_speech
from kit.tiny_models import TINY_CROSS
from kit.typed_commands import load_module
from test_configs import SMALL

from mosi_e2e.config import RunConfig
from mosi_e2e.data.dataset import read_stream
from mosi_e2e.data.streams import find_stream
from mosi_e2e.models import build_model
from mosi_e2e.models.config import FaceConfig, ModelConfig, SpeechConfig
from mosi_e2e.models.encoders import build_encoder
from mosi_e2e.runs.checkpoint import CacheFacts, load_model, save_model
from mosi_e2e.train import main as train
from preprocessing.cache.store import ClipStore
from preprocessing.errors import UserError
from preprocessing.import_images.__main__ import main
from preprocessing.settings import dump_config, load_config

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "faces_fer2013.yaml"
face_robustness = load_module("benchmarks/face_robustness.py")
sharp_faces = load_module("benchmarks/sharp_faces.py")
SHADES = {"happy": 200, "sad": 60}

pytestmark = pytest.mark.usefixtures("one_thread")


def draw(path: Path, shade: int = 128, height: int = 32, width: int = 32, seed: int = 0) -> Path:
    """A noisy picture; JPEG or whatever its name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng([seed, shade]).integers(-20, 20, (height, width, 3))
    cv2.imwrite(str(path), np.clip(shade + noise, 0, 255).astype(np.uint8))
    return path


def write_folders(root: Path) -> Path:
    """`<split>/<class>/<number>.jpg`, six pictures of train and two of each other split."""
    seed = 0
    for split, count in (("train", 3), ("valid", 1), ("test", 1)):
        for name, shade in SHADES.items():
            for number in range(count):
                seed += 1
                draw(root / split / name / f"{number}.jpg", shade, seed=seed)
    return root


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("pictures")
    assert main([str(write_folders(place / "raw")), "--size", "32", "--out", str(place / "cache")]) == 0
    return place


@pytest.fixture(scope="module")
def run(place):
    settings = [f"data.cache={place / 'cache'}", f"out={place / 'runs'}", "data.workers=0", "optim.epochs=2"]
    words = [*SMALL, *settings, "name=faces", "data.batch_size=3", "--score", "test"]
    small = [word for word in words if ".speech." not in word and "last_n" not in word]
    assert train(["--config", str(CONFIG), "model.crossmodal.face.model=vit_small_patch16_224", *small]) == 0
    return place / "runs" / "faces"


def refuse(capsys, *words):
    assert main([str(word) for word in words]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("error: ")
    return message


def test_a_picture_is_a_clip_of_one_frame(place):
    store = ClipStore(place / "cache")
    assert store.index.clip_id.tolist()[:2] == ["test_happy_0", "test_sad_0"]
    assert set(store.index.class_name) == {"happy", "sad"} and (store.index.faces == "ok").all()
    stream = read_stream(store, "train_sad_1", find_stream("face"))
    assert stream["values"].shape == (1, 32, 32, 3) and stream["time"].tolist() == [0.0]
    original = (place / "raw" / "train" / "sad" / "1.jpg").read_bytes()
    assert store.read("train_sad_1", "faces")["face_jpeg"].tobytes() == original  # not encoded again


def test_an_import_goes_on_where_it_was_stopped(place, tmp_path, capsys):
    shutil.copytree(place / "cache", tmp_path / "cache")
    for name in ("index.csv", "meta.json"):
        (tmp_path / "cache" / name).unlink()
    assert main([str(place / "raw"), "--size", "32", "--out", str(tmp_path / "cache")]) == 0
    for name in ("index.csv", "meta.json"):
        ours, before = (folder / "cache" / name for folder in (tmp_path, place))
        assert ours.read_bytes() == before.read_bytes()
    draw(tmp_path / "other" / "x.jpg")
    assert "holds something else" in refuse(capsys, place / "raw", "--out", tmp_path / "other")


def test_they_train_with_the_same_trainer(run):
    scores = json.loads((run / "metrics_test.json").read_text())
    assert scores["task"] == "classes" and scores["n"] == 2
    assert pd.read_csv(run / "predictions_test.csv").label.tolist() == ["happy", "sad"]


def test_robustness_is_measured_change_by_change(run):
    kinds = {"light": (face_robustness.light, (0.0,)), "shrink": (face_robustness.shrink, (224, 16))}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(face_robustness, "CHANGES", kinds)
        rows = face_robustness.measure(run, "test")
    assert [(row["change"], row["strength"], row["n"]) for row in rows] == [
        ("as they are", 0.0, 2), ("light", 0.0, 2), ("shrink", 224, 2), ("shrink", 16, 2)
    ]  # fmt: skip
    assert rows[1]["uar"] == rows[1]["valence_auc"] == 0.5  # in the dark all are the same
    assert rows[0] == rows[2] | {"change": "as they are", "strength": 0.0}  # no picture is that large


@pytest.mark.parametrize("kind", face_robustness.CHANGES)
def test_each_change_leaves_a_picture(kind, tmp_path):
    picture = cv2.imread(str(draw(tmp_path / "x.png", height=48, width=48)))
    make, values = face_robustness.CHANGES[kind]
    for value in values:
        changed = make(value)(picture)
        assert changed.shape == picture.shape and changed.dtype == np.uint8
        assert kind == "face size, pixels" or not np.array_equal(changed, picture)


def test_a_run_gives_its_face_encoder_to_another_model(run):
    trained, _, _ = load_model(run / "best")
    encoder = build_encoder("face", FaceConfig(str(run), freeze="last_n", last_n=1))
    wanted = trained.encoders["face"].backbone.state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in encoder.backbone.state_dict().items())
    assert encoder.size == (32, 32) and not encoder.frozen
    assert not all(parameter.requires_grad for parameter in encoder.parameters())
    alone = build_encoder("face", encoder.standalone_config())  # needs the run no longer
    assert alone.backbone.state_dict().keys() == wanted.keys()


def test_a_stored_model_takes_no_weights_of_a_run_beside_it(run, tmp_path, monkeypatch):
    monkeypatch.chdir(run.parent)
    stranger = Path(shutil.copytree(run / "best", tmp_path / "stranger"))
    config = load_config(RunConfig, stranger / "config.yaml")
    face = replace(config.model.crossmodal.face, model=run.name, kwargs={})
    model = replace(config.model, crossmodal=replace(config.model.crossmodal, face=face))
    (stranger / "config.yaml").write_text(dump_config(replace(config, model=model)))
    with pytest.raises(UserError, match="face names other files"):
        load_model(stranger)


def test_a_run_gives_its_voice_too(tmp_path):
    trained = tiny_speech(layers="weighted")
    with torch.no_grad():
        trained.layer_weight[1] = 2.0
    alone = replace(TINY_CROSS, streams=["speech"], speech=trained.standalone_config())
    config = ModelConfig(crossmodal=alone)
    model = build_model(config, {})
    model.encoders["speech"] = trained
    facts = CacheFacts({}, [0.5], True)
    save_model(tmp_path / "run" / "best", model, RunConfig(model=config), facts)
    given = SpeechConfig(str(tmp_path / "run"), freeze="frozen", layers="weighted")
    encoder = build_encoder("speech", given)
    wanted = trained.state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in encoder.state_dict().items())
    assert encoder.frozen and encoder.layer_weight[1] == 2.0
    assert "layer_weight" not in build_encoder("speech", replace(given, layers="last")).state_dict()


@pytest.mark.parametrize(
    ("stream", "settings", "told"),
    [
        ("face", {"image_size": 64}, "was trained at 32 pixels"),
        ("face", {"kwargs": {"depth": 1}}, "has its own kwargs"),
        ("face", {"pretrained": False}, "has its own pretrained"),
        ("speech", {}, "that model reads face, not speech"),
    ],
)
def test_what_a_run_cannot_give(run, stream, settings, told):
    config = {"face": FaceConfig, "speech": SpeechConfig}[stream](model=str(run), **settings)
    with pytest.raises(UserError, match=told):
        build_encoder(stream, config)


def test_a_table_gives_splits_and_subjects(tmp_path, capsys):
    rows = []
    for number, (label, split, subject) in enumerate(
        [("happy", "train", "ann"), ("sad", "train", "bob"), ("", "valid", "cid"), ("sad", "test", "dan")]
    ):
        draw(tmp_path / "p" / f"{number}.png", 100, height=40, width=24, seed=number)
        rows.append(f"p/{number}.png,{label},{split},{subject}")
    (tmp_path / "set.csv").write_text("\n".join(["path,label,split,subject", *rows]) + "\n")
    assert main([str(tmp_path / "set.csv"), "--size", "16", "--out", str(tmp_path / "cache")]) == 0
    store = ClipStore(tmp_path / "cache")
    assert store.index.clip_id.tolist() == ["ann_p_0", "bob_p_1", "cid_p_2", "dan_p_3"]
    assert store.index.class_name.tolist() == ["happy", "sad", "", "sad"]
    assert read_stream(store, "ann_p_0", find_stream("face"))["values"].shape == (1, 16, 16, 3)
    (tmp_path / "set.csv").write_text(
        "\n".join(["path,label,split,subject", *rows, "p/3.png,sad,train,ann2"])
    )
    moved = rows[0].replace("train,ann", "test,bob")
    (tmp_path / "bad.csv").write_text("\n".join(["path,label,split,subject", moved, *rows[1:]]))
    message = refuse(capsys, tmp_path / "bad.csv", "--out", tmp_path / "bad")
    assert "video bob is train here, test in bad.csv row 2" in message


def test_class_folders_without_splits_are_dealt(tmp_path, capsys):
    for number in range(30):
        draw(tmp_path / "raw" / ("happy" if number % 2 else "sad") / f"{number}.jpg", 90, seed=number)
    draw(tmp_path / "raw" / "stray.jpg")
    (tmp_path / "raw" / "sad" / "notes.txt").write_text("x")
    assert main([str(tmp_path / "raw"), "--size", "32", "--out", str(tmp_path / "cache")]) == 0
    told = capsys.readouterr().out
    assert "pictures were dealt by their names" in told and "1 files are no pictures" in told
    assert "1 files lie in no folder of a class and are left out: stray.jpg" in told
    assert set(ClipStore(tmp_path / "cache").index.split) == {"train", "valid", "test"}


def test_damaged_pictures_are_counted_and_named(tmp_path, capsys):
    raw = write_folders(tmp_path / "raw")
    (raw / "train" / "sad" / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    (raw / "train" / "sad" / "empty.png").touch()
    draw(raw / "train" / "sad" / "dot.png", height=2, width=2)
    shutil.copy(raw / "train" / "happy" / "0.jpg", raw / "test" / "happy" / "copy.jpg")
    assert main([str(raw), "--size", "32", "--out", str(tmp_path / "cache")]) == 0
    told = capsys.readouterr().out
    assert "11 of 14 pictures" in told and "3 unreadable, see failures.csv" in told
    assert "1 pictures have a copy in another split" in told
    failures = pd.read_csv(tmp_path / "cache" / "failures.csv").set_index("clip_id").error
    assert "damaged, or no picture" in failures["train_sad_cut"]
    assert "the file is empty" in failures["train_sad_empty"] and "2 x 2 pixels" in failures["train_sad_dot"]
    assert (ClipStore(tmp_path / "cache").index.faces == "failed").sum() == 3


def test_sets_that_cannot_be_right_are_refused(tmp_path, capsys):
    out = ("--out", tmp_path / "cache")
    assert "there is no folder or table" in refuse(capsys, tmp_path / "none", *out)
    (tmp_path / "empty" / "happy").mkdir(parents=True)
    assert "no picture (" in refuse(capsys, tmp_path / "empty", *out)
    draw(tmp_path / "one" / "happy" / "1.jpg")
    assert "all pictures are of one class, happy" in refuse(capsys, tmp_path / "one", *out)
    draw(tmp_path / "one" / "Happy" / "2.jpg")
    assert "label 'happy' here, 'Happy' in Happy/2.jpg" in refuse(capsys, tmp_path / "one", *out)
    draw(tmp_path / "twice" / "sad" / "1.jpg")
    draw(tmp_path / "twice" / "sad" / "1.png")
    draw(tmp_path / "twice" / "happy" / "1.jpg")
    assert "clip sad_1 is already in sad/1.jpg" in refuse(capsys, tmp_path / "twice", *out)
    (tmp_path / "t.csv").write_text("path,label\nnone.jpg,happy\n,sad\n")
    message = refuse(capsys, tmp_path / "t.csv", *out)
    assert "there is no file none.jpg" in message and "path is blank" in message
    assert "--size is 16 to 1024 pixels" in refuse(capsys, tmp_path / "one", "--size", "4", *out)
    assert not (tmp_path / "cache").exists()


def test_faces_are_found_and_cut_out_as_in_a_video(shared, tmp_path):
    clip = next((shared / "data" / "clips" / "labelled").glob("*.flv"))
    capture = cv2.VideoCapture(str(clip))
    for number, (split, name) in enumerate([("train", "happy"), ("valid", "sad"), ("test", "sad")]):
        capture.set(cv2.CAP_PROP_POS_FRAMES, 5 * number)
        _, frame = capture.read()
        (tmp_path / "raw" / split / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "raw" / split / name / "face.png"), frame)
    draw(tmp_path / "raw" / "train" / "sad" / "noise.jpg", height=64, width=64)
    assert main([str(tmp_path / "raw"), "--align", "--size", "64", "--out", str(tmp_path / "cache")]) == 0
    store = ClipStore(tmp_path / "cache")
    assert store.index.set_index("clip_id").faces.to_dict() == {
        "test_sad_face": "ok", "train_happy_face": "ok", "train_sad_noise": "no_face", "valid_sad_face": "ok"
    }  # fmt: skip
    tokens = read_stream(store, "test_sad_face", find_stream("behaviour"))["values"]
    assert tokens.shape == (1, len(store.columns("behaviour", "behaviour")))
    assert not len(read_stream(store, "train_sad_noise", find_stream("face"))["values"])


def test_splits_of_other_sharpness_are_told(tmp_path, capsys):
    write_folders(tmp_path / "raw")
    for number in range(12):
        for split in ("train", "valid"):
            path = draw(tmp_path / "raw" / split / "happy" / f"more_{number}.png", 128, 48, 48, number)
            if split == "train":
                cv2.imwrite(str(path), cv2.GaussianBlur(cv2.imread(str(path)), (0, 0), 3))
    assert main([str(tmp_path / "raw"), "--size", "16", "--out", str(tmp_path / "blurred")]) == 0
    said = capsys.readouterr().out
    assert "pictures of train are much less sharp than those of valid" in said and "of test" not in said


def test_the_set_without_blurred_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(sharp_faces, "VALID", 1)
    write_folders(tmp_path / "raw")
    assert sharp_faces.main([str(tmp_path / "raw"), "--out", str(tmp_path / "sharp.csv")]) == 0
    table = pd.read_csv(tmp_path / "sharp.csv")
    assert sorted(table.split) == ["test", "test", "train", "valid"]
    assert set(table.path[table.split != "test"]) == {"raw/valid/happy/0.jpg", "raw/valid/sad/0.jpg"}
    assert main([str(tmp_path / "sharp.csv"), "--size", "32", "--out", str(tmp_path / "cache")]) == 0
