"""A cache as tar shards: the same clips to any tar reader and to training; interrupted, spread, damaged."""

import json
import shutil
import tarfile
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from kit.made_cache import LACKING, STREAMS, make_cache
from kit.made_shards import SHARD_MB, make_shards
from kit.marked_dataset import MarkedDataset
from safetensors.numpy import load

import preprocessing.shards
from mosi_e2e.config import DataConfig
from mosi_e2e.data.loaders import build_loader
from mosi_e2e.data.sampler import SweepSampler, UpdateSampler
from preprocessing.cache.packed import open_store
from preprocessing.cache.sharded import MEMBERS, MOST_OPEN, SHARDS, ShardStore, member_key
from preprocessing.cache.store import ClipStore
from preprocessing.errors import UserError
from preprocessing.shards import main
from preprocessing.stages import name_stages

STAGES = name_stages()

FAILED = ("tb_2",)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return make_cache(tmp_path_factory.mktemp("made"), failed=FAILED)


@pytest.fixture(scope="module")
def shards(cache, tmp_path_factory):
    return make_shards(cache, tmp_path_factory.mktemp("sharded") / "out")


def read_all(folder):
    """Bytes of all files but those of the lock."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name[0] != "."}


def assert_equal_clips(a, b):
    assert a.index.equals(b.index) and a.meta == b.meta and a.stats == b.stats and a.synthetic == b.synthetic
    for clip_id in a.index.clip_id[~a.index.clip_id.isin(FAILED)]:
        for stage in STAGES:
            first, second = a.read(clip_id, stage), b.read(clip_id, stage)
            assert first.keys() == second.keys()
            for key, value in first.items():
                assert value.dtype == second[key].dtype and np.array_equal(value, second[key])


def test_every_array_is_the_caches(cache, shards):
    store = open_store(shards)
    assert isinstance(store, ShardStore) and len(list(shards.glob("*.tar"))) >= 6
    assert_equal_clips(ClipStore(cache), store)
    assert list(store.read("ta_1", "acoustics", ["lld"])) == ["lld"]


def test_shards_are_small_per_split_and_predicted_to_the_byte(shards, capsys):
    facts = json.loads((shards / SHARDS).read_text())["shards"]
    assert {shard["name"].split("-")[0] for shard in facts} == {"train", "valid", "test"}
    assert all((shards / shard["name"]).stat().st_size == shard["bytes"] for shard in facts)
    assert all(shard["bytes"] <= 200_000 or shard["clips"] == 1 for shard in facts)
    main([str(shards), "--out", "x"])
    assert "holds shards already" in capsys.readouterr().err


def test_any_tar_reader_finds_whole_clips_one_after_another(cache, shards):
    """Python's own: names by WebDataset's convention, nothing about who wrote it when, contents as cached."""
    store, seen = ClipStore(cache), []
    rows = store.index.set_index("clip_id")
    for path in sorted(shards.glob("*.tar")):
        with tarfile.open(path) as tar:
            members = tar.getmembers()
            keys = [member.name.split(".")[0] for member in members]
            assert sorted(keys, key=keys.index) == keys  # the members of a clip are neighbours
            assert {(one.mtime, one.uid, one.gid, one.uname, one.mode) for one in members} == {
                (0, 0, 0, "", 0o644)
            }
            for member in members:
                content = tar.extractfile(member).read()
                if member.name.endswith(".json"):
                    facts = json.loads(content)
                    assert (
                        path.name.startswith(facts["split"])
                        and member.name == f"{member_key(facts['clip_id'])}.json"
                    )
                    label = rows.label[facts["clip_id"]]
                    assert facts["label"] == (None if np.isnan(label) else label)
                    seen.append(facts["clip_id"])
                elif member.name.endswith(".behaviour.safetensors"):
                    expected = store.read(facts["clip_id"], "behaviour")["behaviour"]
                    np.testing.assert_array_equal(load(content)["behaviour"], expected)
    assert sorted(seen) == sorted(set(rows.index) - set(FAILED))
    assert seen != sorted(seen)


def test_videos_are_mixed(tmp_path):
    """A reader from front to back must not see video after video."""
    store = ClipStore(make_cache(tmp_path))
    planned = preprocessing.shards.plan_shards(store, 10**9)[0]
    videos = [member.clip_id.rsplit("_", 1)[0] for member in planned.members if not member.stage]
    assert sum(a != b for a, b in pairwise(videos)) > len(set(videos)) + 3


def test_keys_have_no_dot_and_names_may_be_long(tmp_path):
    assert member_key("a.b/c_1") == "a%2Eb%2Fc_1" and member_key("-x_1") == "%2Dx_1"
    member = preprocessing.shards.ShardMember("x", "faces", f"{'n' * 180}.faces.safetensors", 3, data=b"abc")
    shard = preprocessing.shards.lay_out("long.tar", [[member, member]])
    from tqdm import tqdm

    preprocessing.shards.write_tar(tmp_path / "long.tar", shard, tqdm(disable=True))
    data = (tmp_path / "long.tar").read_bytes()
    assert len(data) == shard.size and all(data[at : at + 3] == b"abc" for at in shard.offsets)
    with tarfile.open(tmp_path / "long.tar") as tar:
        assert tar.getnames() == [member.name] * 2


def test_webdataset_reads_them(cache, shards):
    """The library whose format it is."""
    webdataset = pytest.importorskip("webdataset")
    urls = [str(path) for path in sorted(shards.glob("train-*.tar"))]
    data = webdataset.WebDataset(urls, shardshuffle=False, empty_check=False).decode()
    store, seen = ClipStore(cache), []
    for sample in data:
        clip_id = sample["json"]["clip_id"]
        assert sample["__key__"] == member_key(clip_id)
        expected = store.read(clip_id, "waveform")["waveform"]
        np.testing.assert_array_equal(load(sample["waveform.safetensors"])["waveform"], expected)
        assert len(sample["faces.safetensors"]) > 0
        seen.append(clip_id)
    train = set(store.index.clip_id[store.index.split == "train"]) - set(FAILED)
    assert sorted(seen) == sorted(train)


def test_an_interrupted_run_goes_on_and_ends_the_same(cache, shards, tmp_path, monkeypatch, capsys):
    out, written = tmp_path / "out", []
    write_tar = preprocessing.shards.write_tar

    def die_at_the_third(path, shard, bar):
        if len(written) == 2:
            path.write_bytes(b"half a shard")
            raise KeyboardInterrupt
        written.append(shard.name)
        write_tar(path, shard, bar)

    monkeypatch.setattr(preprocessing.shards, "write_tar", die_at_the_third)
    assert main([str(cache), "--out", str(out), "--shard-mb", SHARD_MB]) == 130
    assert sorted(path.name for path in out.glob("*.tar")) == sorted(written)
    with pytest.raises(UserError, match="no finished shards"):
        open_store(out)
    monkeypatch.setattr(
        preprocessing.shards, "write_tar", lambda p, s, b: written.append(s.name) or write_tar(p, s, b)
    )
    make_shards(cache, out)
    assert Counter(written) == Counter(path.name for path in shards.glob("*.tar"))  # each once
    assert read_all(out) == read_all(shards)
    make_shards(cache, out)
    assert "nothing to do" in capsys.readouterr().out and len(written) == len(list(shards.glob("*.tar")))


def test_what_does_not_fit_is_refused(cache, shards, tmp_path, capsys):
    assert main([str(cache), "--out", str(shards), "--shard-mb", "1"]) == 2
    assert "another --out" in capsys.readouterr().err
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    assert main([str(cache), "--out", str(tmp_path / "other")]) == 2
    assert "files other than shards" in capsys.readouterr().err
    assert main([str(cache), "--out", str(tmp_path / "x"), "--shard-mb", "-1"]) == 2
    assert [path.name for path in (tmp_path / "other").iterdir() if path.name[0] != "."] == ["thesis.tex"]


def test_a_full_disk_is_one_line(cache, tmp_path, monkeypatch, capsys):
    def fill(path, shard, bar):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(preprocessing.shards, "write_tar", fill)
    assert main([str(cache), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "No space left on device" in error and "make room" in error and "Traceback" not in error


def test_damage_is_named(cache, shards, tmp_path):
    def damaged(name):
        shutil.copytree(shards, tmp_path / name)
        return tmp_path / name

    cut = damaged("cut")
    first = next(cut.glob("*.tar"))
    first.write_bytes(first.read_bytes()[:-10_240])
    with pytest.raises(UserError, match="missing or cut"):
        open_store(cut)
    first.unlink()
    with pytest.raises(UserError, match="missing or cut"):
        open_store(cut)
    flipped = damaged("flipped")
    path = flipped / "train-000000.tar"
    path.write_bytes(b"\xff" * path.stat().st_size)
    store = open_store(flipped)
    table = (flipped / MEMBERS).read_text().splitlines()
    clip_id = next(line.split(",")[0] for line in table if ",faces,train-000000.tar," in line)
    with pytest.raises(UserError, match=r"train-000000\.tar is damaged at faces of clip"):
        store.read(clip_id, "faces")
    with pytest.raises(UserError, match="no waveform of clip 'tb_2'"):
        open_store(shards).read("tb_2", "waveform")
    later = damaged("later")
    (later / SHARDS).write_text((later / SHARDS).read_text().replace("shards 1", "shards 2"))
    with pytest.raises(UserError, match="this program reads"):
        open_store(later)


def test_few_files_are_open_at_once(shards, monkeypatch):
    monkeypatch.setattr("preprocessing.cache.sharded.MOST_OPEN", 2)
    store = ShardStore(shards)
    for clip_id in store.index.clip_id[~store.index.clip_id.isin(FAILED)]:
        store.read(clip_id, "behaviour")
    assert len(store._open) == 2 < MOST_OPEN and len(list(shards.glob("*.tar"))) > 2


def test_the_source_must_be_what_it_says(cache, shards):
    assert type(open_store(cache, "cache")) is ClipStore and type(open_store(shards, "shards")) is ShardStore
    with pytest.raises(UserError, match=r"type data\.source=shards"):
        open_store(shards, "cache")
    with pytest.raises(UserError, match=r"preprocessing\.shards CACHE --out"):
        open_store(cache, "shards")
    with pytest.raises(UserError, match="cache or shards, but got 'tar'"):
        open_store(cache, "tar")


@pytest.mark.parametrize("sweep", [False, True])
def test_two_processes_with_two_workers_see_every_clip_once(shards, sweep):
    """Each process and each worker gets its own part, and together they get all of it, in every epoch."""
    config = DataConfig(
        cache=str(shards), source="shards", allow_missing=["failed", *set_of_absences()], workers=2
    )
    split = "test" if sweep else "train"
    data = MarkedDataset(open_store(shards, "shards"), split, list(STREAMS), config)
    seen, parts = Counter(), {}
    for rank in (0, 1):
        size = len(data)
        sampler = SweepSampler(size, 2, rank, 2) if sweep else UpdateSampler(size, 5, 1, 0, rank, 2)
        for batch in build_loader(data, sampler, config.workers):
            for marked, weight in zip(batch["clip_id"], batch["weight"].tolist(), strict=True):
                clip_id, worker = marked.split("@")
                if weight:
                    seen[clip_id] += 1
                    parts.setdefault((rank, worker), set()).add(clip_id)
    assert set(seen) == set(data.clips.clip_id) and set(seen.values()) == {1}
    assert len(parts) == 4 and sum(map(len, parts.values())) == len(data)


def set_of_absences():
    return sorted({state for stages in LACKING.values() for state in stages.values()})
