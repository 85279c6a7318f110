"""Checkpoints that are pointers, cut, damaged or out of reach: one line that says what to type."""

import json
import shutil
import socket
import time

import pytest
import timm
from kit.tiny_encoders import GROUP_NORM, VIT
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

from mosi_e2e import load
from mosi_e2e.models.config import FaceConfig, SpeechConfig
from mosi_e2e.models.encoders import build_encoder
from preprocessing.errors import UserError
from preprocessing.pretrained.hub_access import try_address

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 377607901\n"


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    folder = tmp_path_factory.mktemp("speech")
    Wav2Vec2Model(Wav2Vec2Config(**GROUP_NORM)).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def face(tmp_path_factory):
    folder = tmp_path_factory.mktemp("face")
    model = timm.create_model("vit_small_patch16_224", img_size=32, **VIT)
    timm.models.save_for_hf(model, folder, model_args={"img_size": 32, **VIT}, safe_serialization=True)
    return folder


def build(stream, folder):
    config = SpeechConfig(str(folder)) if stream == "speech" else FaceConfig(str(folder))
    return build_encoder(stream, config if stream == "face" else SpeechConfig(str(folder), last_n=1))


def refuse(stream, folder) -> str:
    with pytest.raises(UserError) as caught:
        build(stream, folder)
    message = str(caught.value)
    assert message.isprintable() and len(message) < 700
    return message


@pytest.fixture(params=["speech", "face"])
def copied(request, tmp_path):
    shutil.copytree(request.getfixturevalue(request.param), tmp_path / "copy")
    return request.param, tmp_path / "copy"


def test_a_pointer_says_how_to_fetch_the_file(copied):
    stream, folder = copied
    (folder / "model.safetensors").write_text(POINTER)
    assert f"git -C {folder} lfs pull" in refuse(stream, folder)


def test_the_given_pointer_says_how_to_fetch_the_file(shared):
    message = refuse("speech", shared / "data" / "faults" / "checkpoint_lfs_pointer")
    assert "Git LFS pointer" in message and "lfs pull" in message


@pytest.mark.parametrize("size", [0, 7, 500, -1])
def test_cut_weights_are_one_line(copied, size):
    stream, folder = copied
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:size])
    assert str(folder) in refuse(stream, folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"model_type": 3}', '{"architecture": {}}'])
def test_a_damaged_config_is_one_line(copied, text):
    stream, folder = copied
    (folder / "config.json").write_text(text)
    refuse(stream, folder)


def test_weights_of_the_face_model_given_as_a_file(face, tmp_path):
    for content in (POINTER.encode(), b"", b"\x80\x04cut", (face / "model.safetensors").read_bytes()[:-9]):
        for name in ("weights.safetensors", "weights.pth"):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(UserError, match=r"lfs pull|damaged, cut or not a file"):
                build_encoder("face", FaceConfig(weights=str(tmp_path / name)))


@pytest.mark.parametrize("text", ["", '{"sampling_rate": 16', "[]"])
def test_a_cut_preprocessor_config_is_damaged_not_missing(speech, tmp_path, text):
    shutil.copytree(speech, tmp_path / "copy")
    (tmp_path / "copy" / "preprocessor_config.json").write_text(text)
    message = refuse("speech", tmp_path / "copy")
    assert "preprocessor_config.json" in message and "damaged" in message


@pytest.mark.parametrize("text", [None, json.dumps({"feature_extractor_type": "Wav2Vec2FeatureExtractor"})])
def test_a_missing_or_sparse_preprocessor_config_has_its_defaults(speech, tmp_path, text):
    shutil.copytree(speech, tmp_path / "copy")
    (tmp_path / "copy" / "preprocessor_config.json").unlink()
    if text:
        (tmp_path / "copy" / "preprocessor_config.json").write_text(text)
    assert build("speech", tmp_path / "copy").normalise is True


@pytest.fixture
def unreachable(monkeypatch, tmp_path):
    """A hub that takes connections and never answers, and an empty cache."""
    from huggingface_hub import constants

    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        yield server


@pytest.mark.parametrize(
    "open_it",
    [
        lambda: build_encoder("speech", SpeechConfig("some/speech")),
        lambda: build_encoder("face", FaceConfig("hf_hub:some/face")),
        lambda: build_encoder("face", FaceConfig("vit_small_patch16_224.augreg_in21k_ft_in1k")),
        lambda: load("some/model"),
    ],
    ids=["speech", "face", "timm", "model"],
)
def test_a_hub_out_of_reach_is_one_line_soon(unreachable, open_it):
    started = time.monotonic()
    with pytest.raises(UserError, match=r"is not on this machine, and http.* does not answer .*OFFLINE"):
        open_it()
    assert time.monotonic() - started < 30  # 6 s and what else this machine does


def test_who_answers_is_reachable_whatever_is_said():
    assert try_address("http://127.0.0.1:9", 2.0)
    assert try_address("no address", 2.0)
