"""The cache's files: names, whole or not at all, the same bytes for the same content, ids as they were."""

import doctest
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from preprocessing.cache.facts import read_index
from preprocessing.cache.store import (
    FORMAT_VERSION,
    ClipStore,
    StageFiles,
    write_atomic,
    write_table,
)
from preprocessing.config import SAMPLE_RATE
from preprocessing.errors import UserError
from preprocessing.stages import name_stages
from preprocessing.untrusted import names
from preprocessing.untrusted.names import NAME_BYTES, bound_name, file_name

STAGES = name_stages()

ODD_IDS = ["-a_1", ".a_1", "..", "a/b", "a%2Fb", "a%b", "é", "e\u0301", "日本", "~a", "a b", "a:b", "a\\b"]
PLAIN_IDS = ["_dI--eQ6qVU_1", "6_0THN4chvY_12", "1e5", "NA", "007", "a.b_1", "Ab", "aB"]
INDEX = ("clip_id", "video_id", "split", "label", "duration_s", "n_frames", "face_ratio", *STAGES)
ARRAYS = {
    "b": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b_time": np.array([0.0, 0.1]),
    "b_valid": np.array([True, False]),
    "a_jpeg": np.arange(5, dtype=np.uint8),
    "a_sound": np.array([-32768, 32767], np.int16),
    "a_offset": np.array([0, 5], np.int64),
    "a_none": np.zeros((0, 4), np.float32),
}
STATUS = {"state": "ok", "duration_s": 1.5, "remark": "é", "n_frames": 3}
WRITE_THE_SAME = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_store import ARRAYS, STATUS
from preprocessing.cache.store import StageFiles
arrays, status = dict(reversed(ARRAYS.items())), dict(reversed(STATUS.items()))
StageFiles(Path(sys.argv[2]), "faces", "0").write("x", arrays, status)
"""


def index_line(clip_id, **values):
    return dict.fromkeys(INDEX, "ok") | {
        "clip_id": clip_id,
        "video_id": clip_id,
        "split": "train",
        "label": 1.0,
        "duration_s": 1.0,
        "n_frames": 25,
        "face_ratio": 1.0,
        **values,
    }


def write_cache(root, clip_ids=("x_1",), version=FORMAT_VERSION, finished=True):
    """A cache with one stage, `faces`, of recipe 0123abcd."""
    files = StageFiles(root, "faces", "0123abcd")
    for clip_id in clip_ids:
        files.write(clip_id, ARRAYS, STATUS)
    keys = {"b": {"unit": "px", "columns": ["u", "v", "w"]}}
    meta = {"format": version, "synthetic": True, "stages": {"faces": {"recipe": "0123abcd", "keys": keys}}}
    (root / "meta.json").write_text(json.dumps(meta))
    if finished:
        write_table(root / "index.csv", [index_line(clip_id) for clip_id in clip_ids], INDEX)
    return root


def test_plain_ids_are_their_own_names():
    assert [file_name(clip_id) for clip_id in PLAIN_IDS] == PLAIN_IDS


@pytest.mark.parametrize("clip_id", ODD_IDS)
def test_odd_ids_become_harmless_names(clip_id):
    name = file_name(clip_id)
    assert name.isascii()
    assert name[0] not in "-.~"
    assert not set(name) & set(" /\\:*?\"'<>|$`\n")


def test_names_are_one_to_one_also_with_ids_that_look_escaped():
    ids = [*PLAIN_IDS, *ODD_IDS]
    ids += [name for name in map(file_name, ids) if name not in ids]  # such as "%2Da_1"
    assert len(set(map(file_name, ids))) == len(ids)


def test_a_name_is_bounded_and_cut_only_where_it_must_be():
    assert doctest.testmod(names).failed == 0
    assert bound_name("n" * NAME_BYTES) == "n" * NAME_BYTES
    ids = ["日" * 28, "日" * 27 + "本", "n" * 230, "n" * 231, "ü" * 200, "." * 300]
    for make in (file_name, bound_name):
        made = [make(clip_id) for clip_id in ids]
        assert len(set(made)) == len(ids)
        assert all(len(name.encode()) <= NAME_BYTES for name in made)
        assert [make(name) for name in made] == made or make is file_name
    assert len(bound_name("\udcff" * 300)) <= NAME_BYTES  # a name that is no Unicode


def test_odd_and_long_ids_are_read_back(tmp_path):
    ids = [*PLAIN_IDS, *ODD_IDS, "日" * 28, "日" * 27 + "本"]
    store = ClipStore(write_cache(tmp_path, ids))
    assert store.index.clip_id.tolist() == ids
    assert all(store.read(clip_id, "faces", ["b"])["b"].shape == (2, 3) for clip_id in ids)
    StageFiles(tmp_path, "faces", "0123abcd").write_failure(ids[-1], {"stage": "faces", "error": "x"})
    assert StageFiles(tmp_path, "faces", "0123abcd").failure(ids[-1]) == {"stage": "faces", "error": "x"}


def test_a_file_of_the_longest_name_can_be_written(tmp_path):
    write_atomic(tmp_path / ("n" * 251 + ".csv"), b"x")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"x"]


def test_what_was_written_is_read_back_bit_by_bit(tmp_path):
    files = StageFiles(tmp_path, "faces", "0123abcd")
    transposed = {**ARRAYS, "b": np.arange(6, dtype=np.float32).reshape(3, 2).T}  # not contiguous
    files.write("x_1", transposed, STATUS)
    assert files.path("x_1") == tmp_path / "clips" / "faces-0123abcd" / "x_1.safetensors"
    found = files.read("x_1")
    assert set(found) == set(ARRAYS)
    for key, value in transposed.items():
        assert found[key].dtype == value.dtype
        assert np.array_equal(found[key], value)
    assert files.status("x_1") == STATUS
    assert files.status("x_2") is None


def test_single_keys_are_read_alone(tmp_path):
    store = ClipStore(write_cache(tmp_path))
    found = store.read("x_1", "faces", ["b_valid", "a_none"])
    assert list(found) == ["b_valid", "a_none"]
    assert found["a_none"].shape == (0, 4)


def test_equal_content_gives_equal_bytes_in_any_process_and_order(tmp_path):
    for name in ("one", "two"):
        StageFiles(tmp_path / name, "faces", "0").write("x", ARRAYS, STATUS)
    tests = Path(__file__).parent
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    command = [sys.executable, "-c", WRITE_THE_SAME, str(tests), str(tmp_path / "three")]
    subprocess.run(command, check=True, env=environment, cwd=tests.parent)
    files = [path.read_bytes() for path in sorted(tmp_path.rglob("*.safetensors"))]
    assert len(files) == 3
    assert len(set(files)) == 1
    StageFiles(tmp_path / "one", "faces", "0").write("x", ARRAYS, STATUS | {"n_frames": 4})
    assert next((tmp_path / "one").rglob("*.safetensors")).read_bytes() != files[0]


def test_equal_failures_give_equal_bytes(tmp_path):
    records = {"stage": "faces", "error": "x"}, {"error": "x", "stage": "faces"}
    for name, record in zip(("one", "two"), records, strict=True):
        StageFiles(tmp_path / name, "faces", "0").write_failure("x", record)
    assert len({path.read_bytes() for path in tmp_path.rglob("*.failed.json")}) == 1


def test_a_clip_is_forgotten_whether_it_failed_or_not(tmp_path):
    files = StageFiles(tmp_path, "faces", "0")
    files.write("x", ARRAYS, STATUS)
    files.remove("x")
    files.write_failure("x", {"stage": "faces", "error": "x"})
    files.remove("x")
    files.remove("x")
    assert files.check("x") is None and files.failure("x") is None


def test_what_older_caches_rest_on_stays():
    """Another number makes every cache of before unreadable, or its sound too fast."""
    assert (FORMAT_VERSION, SAMPLE_RATE) == (1, 16_000)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "file"
    write_atomic(path, b"old")

    def run_out_of_space(self, target):
        assert self.read_bytes() == b"new"  # written aside, in full
        assert target.read_bytes() == b"old"
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(type(path), "replace", run_out_of_space)
        with pytest.raises(OSError, match="no space"):
            write_atomic(path, b"new")
    assert {p.name: p.read_bytes() for p in path.parent.iterdir()} == {"file": b"old"}
    write_atomic(path, b"new")
    assert {p.name: p.read_bytes() for p in path.parent.iterdir()} == {"file": b"new"}


def test_a_table_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "index.csv"
    write_table(path, [{"a": "é,\n"}], ["a"])
    before = path.read_bytes()
    with pytest.raises(ValueError, match="fields not in"):
        write_table(path, [{"a": 1}, {"b": 2}], ["a"])
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"index.csv": before}
    assert before.decode() == 'a\r\n"é,\n"\r\n'


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: b"garbage", lambda data: b""])
def test_a_damaged_file_is_told_and_counts_as_not_there(tmp_path, damage):
    store = ClipStore(write_cache(tmp_path))
    files = StageFiles(tmp_path, "faces", "0123abcd")
    path = files.path("x_1")
    path.write_bytes(damage(path.read_bytes()))
    assert files.status("x_1") is None
    with pytest.raises(UserError, match=r"x_1\.safetensors is damaged .* python -m preprocessing --config"):
        store.read("x_1", "faces")
    with pytest.raises(UserError, match="x_9"):
        store.read("x_9", "faces")


def test_what_is_lost_says_what_makes_it_again(tmp_path):
    with pytest.raises(UserError, match="type the same training command again"):
        StageFiles(tmp_path, "speech_encoded", "0").read("x")


def test_tables_that_do_not_fit_each_other_are_damage(tmp_path):
    store = ClipStore(write_cache(tmp_path))
    with pytest.raises(UserError, match=r"meta\.json is damaged \(it names no columns of a_jpeg\)"):
        store.columns("faces", "a_jpeg")
    lines = (tmp_path / "index.csv").read_text().replace(",faces", "")
    (tmp_path / "index.csv").write_text("\n".join(line.removesuffix(",ok") for line in lines.splitlines()))
    with pytest.raises(UserError, match=r"index\.csv is damaged \(it has no column faces\)"):
        ClipStore(tmp_path)


def test_an_unfinished_cache_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no finished cache .*type: python -m preprocessing"):
        ClipStore(write_cache(tmp_path, finished=False))
    with pytest.raises(UserError, match="no finished cache"):
        ClipStore(tmp_path / "nowhere")


def test_a_folder_of_raw_clips_is_not_taken_for_the_cache_to_be(tmp_path):
    raw = tmp_path / "my set"
    raw.mkdir()
    with pytest.raises(UserError, match=f"labels=LABELS out='{raw}'"):
        ClipStore(raw)
    (raw / "labels.csv").write_text("clip")
    with pytest.raises(UserError, match=f"labels='{raw}' out='cache/my set'$"):
        ClipStore(raw)


@pytest.mark.parametrize(("value", "synthetic"), [(None, False), (False, False), (True, True)])
def test_clips_are_synthetic_where_the_cache_says_so_and_nowhere_else(tmp_path, value, synthetic):
    write_cache(tmp_path)
    meta = json.loads((tmp_path / "meta.json").read_text())
    del meta["synthetic"]
    meta |= {} if value is None else {"synthetic": value}
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    assert ClipStore(tmp_path).synthetic is synthetic


def test_another_format_is_refused(tmp_path):
    with pytest.raises(UserError, match=f"format 99, this program reads {FORMAT_VERSION}"):
        ClipStore(write_cache(tmp_path, version=99))


def test_a_store_says_what_it_holds(tmp_path):
    store = ClipStore(str(write_cache(tmp_path)))
    assert store.columns("faces", "b") == ["u", "v", "w"]
    assert store.recipe("faces") == "0123abcd"
    assert store.synthetic
    assert store.stats == {}
    (tmp_path / "stats.json").write_text('{"b": {"mean": [1], "std": [2]}}')
    assert store.stats["b"]["std"] == [2]
    with pytest.raises(UserError, match="no stage 'words'; it has faces"):
        store.read("x_1", "words")


def test_index_keeps_ids_as_text_and_lacking_numbers_as_nan(tmp_path):
    ids = ["1e5", "NA", "007", "nan", "", "None", "TRUE", "1.0", "a,b", 'say "x"']
    rows = [index_line(clip_id, split="test", label=-0.8) for clip_id in ids]
    rows[1] |= {"label": "", "n_frames": "", "face_ratio": "", "duration_s": "", "faces": "no_video"}
    rows[2]["label"] = 1 / 3
    write_table(tmp_path / "index.csv", rows, INDEX)
    index = read_index(tmp_path / "index.csv")
    assert index.clip_id.tolist() == index.video_id.tolist() == ids
    assert index.label.isna().tolist() == [i == 1 for i in range(len(ids))]
    assert index.label[2] == 1 / 3
    for name in ("label", "duration_s", "n_frames", "face_ratio"):
        assert index[name].dtype == np.float64
        assert np.isnan(index[name][1])
    assert index.faces[1] == "no_video"
