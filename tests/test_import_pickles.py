"""Feature pickles from somebody else: numbers and texts are read, nothing else is and nothing is run."""

import contextlib
import pickle
import random
from pathlib import Path

import numpy as np
import pytest
from kit.made_features import make_tables, write_pickle

from preprocessing.errors import UserError
from preprocessing.import_features.__main__ import main
from preprocessing.import_features.pickles import load_pickle


def refusal(path: Path, raw: bytes) -> str:
    path.write_bytes(raw)
    with pytest.raises(UserError) as caught:
        load_pickle(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class Call:
    """Pickled as the call of a function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(2, 6))
def test_a_call_in_a_real_file_is_refused_and_not_run(tmp_path, protocol, capsys):
    hit = tmp_path / "HIT"
    tables = make_tables()
    tables["valid"]["id"][1] = Call(Path.touch, hit)
    file = write_pickle(tmp_path / "a.pkl", tables, protocol)
    assert main([str(file), "--out", str(tmp_path / "cache")]) == 2
    assert "nothing was run" in capsys.readouterr().err
    assert not hit.exists() and not (tmp_path / "cache").exists()
    pickle.loads(file.read_bytes())  # would have done it
    assert hit.exists()


@pytest.mark.parametrize(
    "name",
    ["os system", "builtins eval", "builtins getattr", "numpy load", "functools partial", "codecs open"],
)
def test_other_names_are_refused_and_named(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    raw = b"c" + name.replace(" ", "\n").encode() + b"\n(Vtouch HIT\ntR."
    message = refusal(tmp_path / "a.pkl", raw)
    assert all(repr(word) in message for word in name.split())
    assert not (tmp_path / "HIT").exists()


@pytest.mark.parametrize("protocol", range(2, 6))
def test_arrays_of_numbers_and_texts_are_read(tmp_path, protocol):
    content = {
        "number": np.arange(6, dtype=np.float32).reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big": np.arange(3, dtype=">i8"),
        "text": np.array([["a$_$1", "ü"], ["", "long one"]]),
        "objects": np.array(["a", "longer", ""], dtype=object),
        "scalar": np.float32(1.5),
        "list": [np.int64(3), "x", None, True, 2.5],
    }
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol))
    found = load_pickle(tmp_path / "a.pkl")
    for key in ("number", "fortran", "big", "text", "objects"):
        assert found[key].dtype.kind != "O"
        np.testing.assert_array_equal(found[key], content[key].astype(found[key].dtype))
    assert found["scalar"] == np.float32(1.5) and found["list"] == [3, "x", None, True, 2.5]


def test_objects_that_are_no_texts_are_refused(tmp_path):
    for odd in (np.array([1, "a"], dtype=object), np.array([None]), np.array([(1, 2.0)], dtype="i4,f4")):
        assert "no pickle of features" in refusal(tmp_path / "a.pkl", pickle.dumps({"x": odd}))


def test_object_pointers_out_of_bytes_are_refused(tmp_path):
    """What makes numpy's own unpickling unsafe: an object array filled with any bytes."""

    class Fake:
        def __reduce__(self):
            state = (1, (1,), np.dtype("O"), False, b"\x41" * 8)
            return np.ndarray(0).__reduce__()[0], (np.ndarray, (0,), b"b"), state

    assert "objects that are no texts" in refusal(tmp_path / "a.pkl", pickle.dumps(Fake()))
    buffer = Call(np._core.numeric._frombuffer, bytes(8), np.dtype("O"), (1,), "C")
    assert "no pickle of features" in refusal(tmp_path / "a.pkl", pickle.dumps(buffer))


def test_damage_is_an_error_of_one_line(tmp_path):
    """Flipped and missing bytes: a UserError or content, never another exception."""
    raw, rng = pickle.dumps(make_tables(), 4), random.Random(0)
    assert "damaged" in refusal(tmp_path / "a.pkl", raw[: len(raw) // 2])
    for _ in range(150):
        broken = bytearray(raw)
        for _ in range(rng.randint(1, 5)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        (tmp_path / "a.pkl").write_bytes(broken)
        with contextlib.suppress(UserError):
            load_pickle(tmp_path / "a.pkl")
