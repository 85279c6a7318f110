"""A cache packed into one file: what is in it, how large it is, and who can read it."""

import json
import pickle
import re
import shutil
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from made_cache import LACKING, STREAMS, make_cache

from mosi_e2e.config import DataConfig
from mosi_e2e.data.dataset import ClipDataset, Pick
from preprocessing import archive, pack
from preprocessing.crops import LADDER, CropPlan, encode_crop, split_crops, take_sample
from preprocessing.lock import hold_file
from preprocessing.packed import PackedStore, open_store
from preprocessing.stages import name_stages
from preprocessing.store import ClipStore, StageFiles

STAGES = name_stages()

SIZE = 128  # of the crops, in pixels
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
    folder = make_cache(tmp_path_factory.mktemp("pack"), size=SIZE, failed=("tf_1",))
    enrich_faces(ClipStore(folder), np.random.default_rng(0))
    return folder


def enrich_faces(store: ClipStore, rng: np.random.Generator) -> None:
    """Crops with the detail of real ones, more in some clips than in others, so that they are what counts."""
    files = StageFiles(store.root, "faces", store.recipe("faces"))
    for clip_id in store.index.clip_id[store.index.faces == "ok"]:
        valid, crops, count = rng.random(18) > 0.1, [], 18
        sharp = rng.uniform(0.5, 3)
        for row in range(count):
            noise = cv2.GaussianBlur(rng.normal(size=(SIZE, SIZE, 1)), (0, 0), 1 + sharp)[..., None]
            picture = np.clip(120 + 40 * noise / noise.std() + [0, 15, 30], 0, 255).astype(np.uint8)
            crop = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
            crops.append(crop if valid[row] else crop[:0])
        arrays = {
            "face_jpeg": np.concatenate(crops),
            "face_offset": np.cumsum([0, *map(len, crops)]).astype(np.int64),
            "face_time": np.arange(count) / 5,
            "face_valid": valid,
            "face_box": np.zeros((count, 4), np.float32),
        }
        files.write(clip_id, arrays, {"state": "ok"})


def run(cache: Path, out: Path, *arguments) -> int:
    return pack.main([str(cache), "--out", str(out), *map(str, arguments)])


def make_pack(cache: Path, out: Path, share: float = 10.0) -> PackedStore:
    """A pack that may have a share of the cache's size."""
    size = sum(path.stat().st_size for path in (cache / "clips").rglob("*.safetensors"))
    assert run(cache, out, "--max-gb", share * size / 1e9) == 0
    assert out.stat().st_size <= share * size
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
    assert "crops as they are, 128 px" in said and "pickle.load(open('a.pkl', 'rb'))" in said


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


@pytest.mark.parametrize("share", [1.1, 0.9, 0.8, 0.7, 0.6, 0.5])
def test_predicted_size_is_right_and_kept(cache, tmp_path, capsys, share):
    packed = make_pack(cache, tmp_path / "a.pkl", share)
    said = capsys.readouterr().out
    predicted = float(re.search(r"\(([-+.0-9]+) % predicted", said)[1])
    assert abs(predicted) < 5
    changed = packed.recipe("faces") != ClipStore(cache).recipe("faces")
    assert changed == (share < 1) == ("encoded again" in said)
    assert packed.recipe("waveform") == ClipStore(cache).recipe("waveform")


def test_milder_plans_come_first(cache):
    """Each step is smaller than the one before, and crops per second go last."""
    store = ClipStore(cache)
    inventory = pack.take_inventory(store)
    with ThreadPoolExecutor(2) as pool:
        sizes = [pack.predict_size(store, inventory, plan, pool) for plan in LADDER]
    assert sizes == sorted(sizes, reverse=True)
    assert [plan.every for plan in LADDER] == sorted(plan.every for plan in LADDER)
    assert [plan.scale for plan in LADDER] == sorted((plan.scale for plan in LADDER), reverse=True)


def test_every_step_writes_what_it_says(cache, tmp_path):
    store = ClipStore(cache)
    inventory = pack.take_inventory(store)
    for number, plan in enumerate(LADDER):
        path = tmp_path / f"{number}.pkl"
        with ThreadPoolExecutor(2) as pool:
            pack.write_pack(path, store, inventory, plan, pool, 10**9)
        packed = PackedStore(path)
        for clip_id in ("ta_1", "tb_1"):  # the second has no face
            check_crops(store.read(clip_id, "faces"), packed.read(clip_id, "faces"), plan)
        size = packed.meta["stages"]["faces"]["keys"]["face_jpeg"]["size"]
        assert size == round(SIZE * plan.scale)
        assert packed.meta["stages"]["faces"].get("packed", {}).get("every", 1) == plan.every


def check_crops(before: dict, after: dict, plan: CropPlan) -> None:
    for key in ("face_time", "face_valid", "face_box"):
        np.testing.assert_array_equal(after[key], before[key][:: plan.every])
    old = split_crops(before["face_jpeg"], before["face_offset"])[:: plan.every]
    new = split_crops(after["face_jpeg"], after["face_offset"])
    assert len(new) == len(old) == len(after["face_valid"])
    for a, b, valid in zip(old, new, after["face_valid"], strict=True):
        assert bool(len(b)) == valid
        if valid:
            a, b = (cv2.imdecode(crop, cv2.IMREAD_COLOR).astype(int) for crop in (a, b))
            assert b.shape == (round(SIZE * plan.scale),) * 2 + (3,)
            a = cv2.resize(a.astype(np.uint8), b.shape[:2], interpolation=cv2.INTER_AREA)
            assert np.abs(a - b).mean() < 8  # unlike crops differ by 45


def test_fewer_crops_are_said_aloud(cache, tmp_path, capsys):
    make_pack(cache, tmp_path / "a.pkl", 0.45)
    assert "CROPS A SECOND" in capsys.readouterr().out


def test_what_cannot_fit_names_the_size_that_can(cache, tmp_path, capsys):
    assert run(cache, tmp_path / "a.pkl", "--max-gb", 0.00001) == 2
    message = capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert run(cache, tmp_path / "a.pkl", "--max-gb", message.split("--max-gb ")[1].strip()) == 0


def test_a_wrong_prediction_is_mended(cache, tmp_path, capsys, monkeypatch):
    real = pack.predict_size
    monkeypatch.setattr(pack, "predict_size", lambda *a: real(*a) // 2)
    make_pack(cache, tmp_path / "a.pkl", 0.8)
    assert "larger than predicted" in capsys.readouterr().out


def test_same_cache_same_bytes(cache, tmp_path):
    make_pack(cache, tmp_path / "a.pkl", 0.8)
    make_pack(cache, tmp_path / "b.pkl", 0.8)
    assert (tmp_path / "a.pkl").read_bytes() == (tmp_path / "b.pkl").read_bytes()


def test_one_clip_at_a_time_is_in_memory(tmp_path):
    """30 clips of 2 MB of sound: neither the objects nor the pickler's memory of them pile up."""
    store = ClipStore(make_cache(tmp_path, size=16))
    files = StageFiles(store.root, "waveform", store.recipe("waveform"))
    clips = [clip for clip in store.index.clip_id if LACKING.get(clip, {}).get("waveform") is None][:30]
    for clip_id in clips:
        arrays = {"waveform": np.ones(10**6, np.int16), "waveform_time": np.zeros(1)}
        files.write(clip_id, arrays, {"state": "ok"})
    inventory = pack.take_inventory(store)
    tracemalloc.start()
    with ThreadPoolExecutor(1) as pool:
        pack.write_pack(tmp_path / "a.pkl", store, inventory, CropPlan(), pool, 10**9)
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
    assert take_sample(store, []) == []
    packed = make_pack(store.root, tmp_path / "a.pkl")
    assert len(packed.read("ta_1", "faces")["face_jpeg"]) == 0


def test_crops_never_grow(cache):
    picture = np.full((64, 64, 3), 90, np.uint8)
    crop = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 10])[1]
    assert encode_crop(crop, CropPlan(1.0, 95)) is crop
    assert len(encode_crop(crop, CropPlan(0.5, 95))) > 0


def test_meta_stays_plain(cache, tmp_path):
    packed = make_pack(cache, tmp_path / "a.pkl", 0.8)
    json.dumps([packed.meta, packed.stats])
    assert type(pickle.loads(pickle.dumps(packed))) is PackedStore  # as for a spawned loading process
