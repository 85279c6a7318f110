"""A cache packed into one file: what is in it, how large it is, and who can read it."""

import json
import pickle
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kit.made_cache import LACKING, STREAMS, make_cache

from mosi_e2e.config import DataConfig
from mosi_e2e.data.dataset import ClipDataset, Pick
from preprocessing import pack
from preprocessing.cache.lock import hold_file
from preprocessing.cache.packed import PackedStore, open_store
from preprocessing.cache.store import ClipStore, StageFiles
from preprocessing.stages import name_stages
from preprocessing.untrusted import archive

STAGES = name_stages()

READ_IT_BARE = """
import pickle, sys
pack = pickle.load(open(sys.argv[1], "rb"))
assert not any(name.split(".")[0] in ("preprocessing", "mosi_e2e", "pandas", "torch") for name in sys.modules)
assert type(pack) is dict and type(pack["clips"]) is dict
clip = pack["clips"]["ta_1"]
assert {type(a).__name__ for stage in clip.values() for a in stage.values()} == {"ndarray"}
clip["behaviour"]["behaviour"] *= 0  # may be written to
print(len(pack["clips"]), len(pack["index"]["clip_id"]), clip["waveform"]["waveform"].dtype)
print(pack["about"])
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return make_cache(tmp_path_factory.mktemp("pack"), failed=("tf_1",))


def run(cache: Path, out: Path, *arguments) -> int:
    return pack.main([str(cache), "--out", str(out), *map(str, arguments)])


def make_pack(cache: Path, out: Path) -> PackedStore:
    assert run(cache, out) == 0
    assert not list(out.parent.glob(".*"))
    return open_store(out)


def test_holds_all_of_the_cache(cache, tmp_path, capsys):
    packed, store = make_pack(cache, tmp_path / "a.pkl"), open_store(cache)
    assert type(store) is ClipStore
    pd.testing.assert_frame_equal(packed.index, store.index)
    assert packed.meta == store.meta
    assert packed.stats == store.stats
    assert packed.synthetic is store.synthetic is True
    for clip_id in store.index.clip_id[store.index.faces != "failed"]:
        for stage in STAGES:
            assert packed.recipe(stage) == store.recipe(stage)
            found, wanted = packed.read(clip_id, stage), store.read(clip_id, stage)
            assert found.keys() == wanted.keys()
            for key, array in wanted.items():
                assert type(found[key]) is np.ndarray and found[key].flags.writeable
                assert found[key].dtype == array.dtype
                np.testing.assert_array_equal(found[key], array)
    said = capsys.readouterr().out
    assert "40 clips" in said and "pickle.load(open('a.pkl', 'rb'))" in said


def test_training_reads_the_same_examples(cache, tmp_path):
    config = DataConfig(allow_missing=["no_audio", "no_face", "too_short", "failed"])
    packed = make_pack(cache, tmp_path / "a.pkl")
    sets = [ClipDataset(store, "train", list(STREAMS), config) for store in (packed, ClipStore(cache))]
    assert len(sets[0]) == len(sets[1]) == 22  # one failed, one has no label
    for index in range(len(sets[0])):
        one, two = (data[Pick(index)] for data in sets)
        assert one["clip_id"] == two["clip_id"] and one["label"] == two["label"]
        for name in STREAMS:
            np.testing.assert_array_equal(one["streams"][name]["values"], two["streams"][name]["values"])


def test_loads_with_pickle_and_numpy_alone(cache, tmp_path):
    make_pack(cache, tmp_path / "a.pkl")
    packages = Path(np.__file__).parents[1]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "numpy").symlink_to(packages / "numpy")
    (elsewhere / "numpy.libs").symlink_to(packages / "numpy.libs")
    done = subprocess.run(
        [sys.executable, "-S", "-c", READ_IT_BARE, str(tmp_path / "a.pkl")],
        cwd=elsewhere,
        env={"PYTHONPATH": str(elsewhere)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("40 40 int16\nArrays of a preprocessed set")


def test_names_no_module_that_differs_between_versions_of_numpy(cache, tmp_path):
    make_pack(cache, tmp_path / "a.pkl")
    raw = (tmp_path / "a.pkl").read_bytes()
    assert b"numpy" in raw and b"numpy.core" not in raw and b"numpy._core" not in raw


def test_a_set_beyond_the_limit_is_refused_with_the_size_that_fits(cache, tmp_path, capsys, monkeypatch):
    assert run(cache, tmp_path / "a.pkl", "--max-gb", 0.001) == 2
    message = capsys.readouterr().err
    assert "GB as one file, more than 0.001" in message and not list(tmp_path.iterdir())
    fitting = message.split("--max-gb ")[1].split(",")[0]
    assert run(cache, tmp_path / "a.pkl", "--max-gb", fitting) == 0
    size = (tmp_path / "a.pkl").stat().st_size
    assert 0.9 * float(fitting) * 1e9 < size <= float(fitting) * 1e9
    monkeypatch.setattr(pack, "predict_size", lambda *_: 0)  # found too large only when it is written
    assert run(cache, tmp_path / "b.pkl", "--max-gb", (size - 1) / 1e9) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["a.pkl"]


def test_same_cache_same_bytes(cache, tmp_path):
    make_pack(cache, tmp_path / "a.pkl")
    make_pack(cache, tmp_path / "b.pkl")
    assert (tmp_path / "a.pkl").read_bytes() == (tmp_path / "b.pkl").read_bytes()


def test_one_clip_at_a_time_is_in_memory(tmp_path):
    """30 clips of 2 MB of sound: neither the objects nor the pickler's memory of them pile up."""
    store = ClipStore(make_cache(tmp_path, size=16))
    files = StageFiles(store.root, "waveform", store.recipe("waveform"))
    clips = [clip for clip in store.index.clip_id if LACKING.get(clip, {}).get("waveform") is None][:30]
    for clip_id in clips:
        arrays = {"waveform": np.ones(10**6, np.int16), "waveform_time": np.zeros(1)}
        files.write(clip_id, arrays, {"state": "ok"})
    tracemalloc.start()
    pack.write_pack(tmp_path / "a.pkl", store, pack.list_stages(store))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "a.pkl").stat().st_size > 60e6
    assert peak < 15e6


def test_errors(cache, tmp_path, capsys, monkeypatch):
    out = tmp_path / "a.pkl"
    out.write_text("mine")
    assert run(cache, out) == 2 and "is there already" in capsys.readouterr().err
    assert out.read_text() == "mine"
    out.unlink()
    assert run(cache, out, "--max-gb", 0) == 2 and "above 0" in capsys.readouterr().err
    assert run(tmp_path, out) == 2 and "no finished cache" in capsys.readouterr().err
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(archive.shutil, "disk_usage", lambda folder: usage)
    assert run(cache, out) == 2 and "GB free" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_nothing(cache, tmp_path, capsys, monkeypatch):
    def fail(self, *args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pack, "write_pack", fail)
    assert run(cache, tmp_path / "a.pkl") == 2
    assert "No space left on device" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_a_killed_pack_leaves_goes_with_the_next_and_two_at_once_are_told(cache, tmp_path, capsys):
    out = tmp_path / "a.pkl"
    with hold_file(out, f"the pack {out}") as beside:
        beside.write_bytes(b"half")
        left = shutil.copytree(beside.parent, tmp_path / "left")
        assert run(cache, out) == 2
        assert f"the pack {out} is being written by another run" in capsys.readouterr().err
        assert beside.read_bytes() == b"half"
    assert [path.name for path in tmp_path.iterdir()] == ["left"]
    left.rename(beside.parent)  # as after SIGKILL
    assert run(cache, out) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.pkl"]


def test_a_cache_without_faces(tmp_path):
    store = ClipStore(make_cache(tmp_path, size=16))
    files = StageFiles(store.root, "faces", store.recipe("faces"))
    nothing = store.read("tb_1", "faces")
    for clip_id in store.index.clip_id:
        files.write(clip_id, nothing, {"state": "no_face"})
    packed = make_pack(store.root, tmp_path / "a.pkl")
    assert len(packed.read("ta_1", "faces")["face_jpeg"]) == 0


def test_meta_stays_plain(cache, tmp_path):
    packed = make_pack(cache, tmp_path / "a.pkl")
    json.dumps([packed.meta, packed.stats])
    assert type(pickle.loads(pickle.dumps(packed))) is PackedStore  # as for a spawned loading process
