"""Flipped bits, cuts and other damage: an error that names the clip, never other data; and the way back."""

import json
import shutil

import numpy as np
import pytest
from kit.made_cache import make_cache
from kit.made_features import make_tables, write_pickle
from safetensors import safe_open
from safetensors.numpy import save

from mosi_e2e.config import DataConfig
from mosi_e2e.data.dataset import ClipDataset, Pick
from preprocessing import shards
from preprocessing.cache import packed
from preprocessing.cache.checksums import SUMS, parse_status
from preprocessing.cache.packed import open_store
from preprocessing.cache.sharded import ShardStore
from preprocessing.cache.store import ClipStore, StageFiles
from preprocessing.errors import UserError
from preprocessing.import_features.__main__ import main as import_features
from preprocessing.pack import main as pack

ARRAYS = {
    "x": np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3),
    "x_time": np.arange(4) / 10,
    "x_valid": np.array([True, True, False, True]),
    "none": np.zeros((0, 3), np.float32),
}
STATUS = {"state": "ok", "duration_s": 0.4, "remark": "é"}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return make_cache(tmp_path_factory.mktemp("made"), size=16)


@pytest.fixture
def files(tmp_path) -> StageFiles:
    stage = StageFiles(tmp_path, "faces", "0")
    stage.write("x_1", ARRAYS, STATUS)
    return stage


def flip(data: bytes, place: int, bit: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


def is_whole(found: dict) -> bool:
    same = found.keys() == ARRAYS.keys()
    return same and all(found[key].tobytes() == ARRAYS[key].tobytes() for key in ARRAYS)


def test_any_flipped_bit_of_a_clips_file_is_noticed(files):
    whole = files.path("x_1").read_bytes()
    for place in range(len(whole)):
        files.path("x_1").write_bytes(flip(whole, place, place % 8))
        status = files.check("x_1")
        assert status in (STATUS, None) and files.status("x_1") in (STATUS, None)
        if status:
            assert is_whole(files.read("x_1"))
        else:
            with pytest.raises(UserError, match=r"x_1.safetensors is damaged .* -m preprocessing "):
                files.read("x_1")


@pytest.mark.parametrize("place", [0, 0.3, 0.6, 0.9])
def test_a_cut_or_overwritten_file_is_noticed(files, place):
    path = files.path("x_1")
    whole = path.read_bytes()
    start = int(place * len(whole))
    for data in (whole[:start], whole[:start] + b"\0" * 64 + whole[start + 64 :], whole + b"\0"):
        path.write_bytes(data)
        assert files.check("x_1") is None
        with pytest.raises(UserError, match="x_1"):
            files.read("x_1")


@pytest.mark.parametrize("status", ["", "[]", "5", "{", '{"state": 1}', "[" * 9999, '{"a": "ok"}'])
def test_a_status_that_is_none_is_damage(files, status):
    files.path("x_1").write_bytes(save(ARRAYS, metadata={"status": status}))
    assert files.status("x_1") is None and files.check("x_1") is None
    files.path("x_1").write_bytes(save(ARRAYS))
    assert files.status("x_1") is None


@pytest.mark.parametrize("record", [b"[]", b"{}", b"\xff", b'{"stage": 1, "error": "x"}', b"[" * 9999])
def test_a_damaged_note_of_a_failure_is_none(files, record):
    files.write_failure("x_1", {"stage": "faces", "error": "x"})
    (note,) = files.folder.glob("*.failed.json")
    note.write_bytes(record)
    assert files.failure("x_1") is None


def test_what_was_stored_before_there_were_checksums_opens_unchecked(files):
    files.path("x_1").write_bytes(save(ARRAYS, metadata={"status": json.dumps(STATUS)}))
    assert is_whole(files.read("x_1")) and files.status("x_1") == files.check("x_1") == STATUS


def test_the_checksums_are_no_part_of_the_status(files):
    with safe_open(files.path("x_1"), framework="numpy") as file:
        status, sums = parse_status(file.metadata())
        assert SUMS in json.loads(file.metadata()["status"])
    assert status == STATUS == files.status("x_1") and sums.keys() == ARRAYS.keys()


def change_value(path) -> None:
    """One bit of the last array of a file, which lies at its end."""
    data = path.read_bytes()
    path.write_bytes(flip(data, len(data) - 3, 6))


def test_training_stops_at_the_clip(cache, tmp_path):
    copy = shutil.copytree(cache, tmp_path / "cache")
    store = ClipStore(copy)
    data = ClipDataset(store, "train", ["behaviour"], DataConfig())
    clip_id = data.clips.clip_id[1]
    change_value(StageFiles(copy, "behaviour", store.recipe("behaviour")).path(clip_id))
    assert data[Pick(0)]["clip_id"] != clip_id
    with pytest.raises(UserError, match=rf"{clip_id}\.safetensors is damaged .*checksum"):
        data[Pick(1)]


def test_shards_carry_them(cache, tmp_path):
    out = tmp_path / "shards"
    assert shards.main([str(cache), "--out", str(out), "--shard-mb", "0.2"]) == 0
    store = ShardStore(out)
    clip_id = store.index.clip_id[0]
    name, offset, size = store._places[clip_id, "behaviour"]
    for place in (offset + size - 3, offset + 60):  # in an array, in the header
        whole = (out / name).read_bytes()
        (out / name).write_bytes(flip(whole, place, 4))
        with pytest.raises(UserError, match=rf"{name} is damaged at behaviour of clip '{clip_id}'"):
            ShardStore(out).read(clip_id, "behaviour")
        (out / name).write_bytes(whole)
    (out / name).unlink()
    assert shards.main([str(cache), "--out", str(out), "--shard-mb", "0.2"]) == 0
    ShardStore(out).read(clip_id, "behaviour")


def test_packs_carry_them_and_older_ones_open(cache, tmp_path, monkeypatch):
    out = tmp_path / "a.pkl"
    assert pack([str(cache), "--out", str(out)]) == 0
    store = open_store(out)
    clip_id = store.index.clip_id[0]
    sound = store.read(clip_id, "waveform")["waveform"]
    content = out.read_bytes()
    place = content.index(sound.tobytes()) + 5
    out.write_bytes(flip(content, place, 3))
    with pytest.raises(UserError, match=rf"a\.pkl is damaged at waveform of clip '{clip_id}' .*pack again"):
        open_store(out).read(clip_id, "waveform")
    open_store(out).read(clip_id, "behaviour")
    load = packed.load_pack
    monkeypatch.setattr(packed, "load_pack", lambda path: {k: v for k, v in load(path).items() if k != SUMS})
    assert open_store(out).read(clip_id, "waveform")["waveform"].tobytes() != sound.tobytes()


@pytest.mark.parametrize("make", [pack, shards.main])
def test_a_damaged_cache_is_not_copied(cache, tmp_path, capsys, make):
    copy = shutil.copytree(cache, tmp_path / "cache")
    store = ClipStore(copy)
    change_value(StageFiles(copy, "waveform", store.recipe("waveform")).path("tb_2"))
    assert make([str(copy), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "tb_2.safetensors is damaged" in error and "again" in error


def test_an_import_is_written_again(tmp_path, capsys):
    command = [str(write_pickle(tmp_path / "a.pkl", make_tables())), "--out", str(tmp_path / "cache")]
    assert import_features(command) == 0
    whole = {path: path.read_bytes() for path in (tmp_path / "cache").rglob("*.*")}
    change_value(next((tmp_path / "cache" / "clips").rglob("*.safetensors")))
    assert import_features(command) == 0 and "written again" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in (tmp_path / "cache").rglob("*.*")} == whole
    assert import_features(command) == 0 and "nothing to do" in capsys.readouterr().out
