"""Packs from somebody else: arrays are read, everything else is refused and nothing of it is run."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from preprocessing.cache.packed import PACK_FORMAT, load_pack, open_store
from preprocessing.cache.store import FORMAT_VERSION
from preprocessing.errors import UserError
from preprocessing.import_features.pickles import load_pickle
from preprocessing.untrusted.array_pickle import PackUnpickler


def fake_pack(**changes) -> dict:
    return {
        "format": PACK_FORMAT,
        "about": "",
        "meta": {"format": FORMAT_VERSION, "stages": {}},
        "stats": {},
        "index": {
            "clip_id": ["a"],
            "video_id": ["a"],
            "split": ["train"],
            "label": np.array([1.0]),
            "duration_s": [1.0],
        },
        "clips": {"a": {"waveform": {"waveform": np.arange(3, dtype=np.int16)}}},
    } | changes


def refusal(path: Path, raw: bytes) -> str:
    path.write_bytes(raw)
    with pytest.raises(UserError) as caught:
        load_pack(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class Call:
    """Pickled as the call of a function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def attack(name: bytes, argument: bytes = b"touch HIT") -> bytes:
    """The classic: a name from a module, called with a text."""
    return b"c" + name.replace(b" ", b"\n") + b"\n(V" + argument + b"\ntR."


@pytest.mark.parametrize(
    "name",
    [
        b"os system",
        b"posix system",
        b"subprocess Popen",
        b"builtins eval",
        b"builtins exec",
        b"builtins getattr",
        b"builtins __import__",
        b"builtins dict.fromkeys",
        b"builtins object",
        b"functools partial",
        b"operator attrgetter",
        b"importlib import_module",
        b"numpy load",
        b"numpy ndarray.tofile",
        b"numpy fromfile",
        b"numpy.core.multiarray scalar",
        b"numpy._core._core.multiarray _reconstruct",
        b"numpy.f2py.crackfortran myeval",
        b"numpy.testing._private.utils runstring",
        b"pandas read_pickle",
        b"torch load",
        b"preprocessing.untrusted.array_pickle Maker",
        b"preprocessing.untrusted.array_pickle PackUnpickler",
        b"__main__ x",
    ],
)
def test_other_names_are_refused_and_named(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    message = refusal(tmp_path / "a.pkl", attack(name))
    module, attribute = name.decode().split()
    assert repr(module) in message and repr(attribute) in message and "nothing was run" in message
    assert not (tmp_path / "HIT").exists()


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("where", ["stats", "about", "clips"])
def test_a_call_hidden_in_a_real_pack(tmp_path, monkeypatch, protocol, where):
    monkeypatch.chdir(tmp_path)
    hit = tmp_path / "HIT"
    raw = pickle.dumps(fake_pack(**{where: {"x": [Call(Path.touch, hit)]}}), protocol)
    assert "nothing was run" in refusal(tmp_path / "a.pkl", raw)
    assert not hit.exists()
    pickle.loads(raw)  # would have done it
    assert hit.exists()


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_packs_written_by_others_with_numpy_are_read(tmp_path, protocol):
    """Somebody opens a pack in a notebook, leaves clips out and dumps the rest."""
    arrays = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "c": np.arange(8, dtype=np.uint8)[::2],
        "d": np.array([True, False]),
        "e": np.zeros((0, 4), np.float32),
        "f": np.arange(3, dtype=">i8"),
        "g": np.array(3, np.int16),
    }
    raw = pickle.dumps(fake_pack(clips={"a": {"behaviour": arrays}}), protocol)
    for text in (raw, swap_numpy(raw)):
        (tmp_path / "a.pkl").write_bytes(text)
        store = open_store(tmp_path / "a.pkl")
        found = store.read("a", "behaviour")
        for key, array in arrays.items():
            assert type(found[key]) is np.ndarray
            assert found[key].dtype.newbyteorder("=") == array.dtype.newbyteorder("=")
            np.testing.assert_array_equal(found[key], array)
        assert store.index.label.tolist() == [1.0]


def swap_numpy(raw: bytes) -> bytes:
    """The same pickle as numpy 1 writes it: its modules had other names."""
    for module in (b"multiarray", b"numeric"):
        new, old = b"numpy._core." + module, b"numpy.core." + module
        raw = raw.replace(b"\x8c" + bytes([len(new)]) + new, b"\x8c" + bytes([len(old)]) + old)
        raw = raw.replace(b"c" + new + b"\n", b"c" + old + b"\n")
    return drop_frames(raw)


def drop_frames(raw: bytes) -> bytes:
    """Without the lengths of the parts, which no longer fit."""
    if raw[1] < 4:
        return raw
    assert raw[2:3] == b"\x95" and raw.count(b"\x95") == 1
    return raw[:2] + raw[11:]


def test_object_arrays_are_refused(tmp_path):
    """A pointer made from bytes is worse than any call."""
    pointer = (0x4141414141414141).to_bytes(8, "little")
    for text in ("O", "O8", "|O", "V8", "i8,O", "U2", "S8", "M8[s]", "(2,)O", "f8\n"):
        with_text = Call(np.ndarray, (1,), text, pointer)
        message = refusal(tmp_path / "a.pkl", pickle.dumps(with_text, 4))
        assert "plain numbers" in message
    for array in (np.array([{}, None]), np.zeros(2, "i4,O"), np.array(["a"]), np.zeros(1, "M8[s]")):
        for protocol in (3, 5):
            raw = pickle.dumps(fake_pack(clips={"a": {"s": {"k": array}}}), protocol)
            assert "plain numbers" in refusal(tmp_path / "a.pkl", raw)


def test_sizes_that_do_not_fit_are_refused(tmp_path):
    for shape, data in (((9,), b"12"), ((1,), b"12345678" * 2), ((-1, -2), b"1" * 16), ((2**62, 4), b"")):
        raw = pickle.dumps(Call(np.ndarray, shape, "<i8", data), 4)
        assert "size is not that of its bytes" in refusal(tmp_path / "a.pkl", raw)
    for arguments in (
        ((2,), "<i8"),
        ((1,), "<i8", None),
        ((1,), "<i8", b"12345678", 0, (1,)),
        ("1", "<i8", b""),
    ):
        refusal(tmp_path / "a.pkl", pickle.dumps(Call(np.ndarray, *arguments), 4))


def test_states_cannot_be_set_on_what_is_offered(tmp_path):
    """BUILD on a name, on an array made by a call, and on a dtype."""
    set_code = b"\x80\x04cnumpy\nndarray\nN}\x8c\x06_build\x8c\x01xs\x86b."
    assert "sets the state of a function" in refusal(tmp_path / "a.pkl", set_code)
    array = b"\x80\x04cnumpy\nndarray\nK\x01\x85\x8c\x02u1C\x01x\x87R"
    dtype = b"cnumpy\ndtype\n\x8c\x02u1\x85R"
    for state in (
        b"(K\x01K\x01\x85" + dtype + b"\x89C\x01yt",
        b"N}\x8c\x05shapeK\x05s\x86",
        b"}\x8c\x01xK\x05s",
    ):
        refusal(tmp_path / "a.pkl", array + state + b"b.")
    odd = b"\x80\x04" + dtype + b"(K\x03\x8c\x01<N\x8c\x01x\x85}J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb."
    assert "plain numbers" in refusal(tmp_path / "a.pkl", odd)
    new = b"\x80\x04cnumpy\nndarray\n)\x81."  # NEWOBJ instead of a call
    refusal(tmp_path / "a.pkl", new)


@pytest.mark.parametrize(
    "raw", [b"", b"PK\3\4", b"\x80\x05.", b"\x80\x05Pid\n.", b"\x80\x05\x82\x01.", b"0" * 9]
)
def test_no_pickle_at_all(tmp_path, raw):
    assert "preprocessing.pack CACHE" in refusal(tmp_path / "a.pkl", raw)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"format": "something"}, "no pack"),
        ({"format": "mosi_e2e pack 99"}, "'mosi_e2e pack 99'"),
        ({"meta": {"format": 99, "stages": {}}}, "cache format 99"),
        ({"meta": {"format": FORMAT_VERSION}}, "its stages"),
        ({"meta": {"format": FORMAT_VERSION, "stages": {}, "synthetic": np.zeros(2)}}, "its meta holds"),
        ({"checksums": np.zeros(0)}, "its checksums"),
        ({"stats": None}, "its stats"),
        ({"index": [1]}, "its index"),
        ({"index": {"a": [1], "b": [1, 2]}}, "its index: it is no table"),
        ({"index": {"clip_id": ["a"]}}, "its index: it has no column video_id"),
        ({"clips": {"a": {"waveform": {"waveform": [1, 2]}}}}, "clip 'a'"),
        ({"clips": {"a": [1]}}, "clip 'a'"),
    ],
)
def test_pickles_of_another_shape(tmp_path, changes, word):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(fake_pack(**changes)))
    with pytest.raises(UserError) as caught:
        open_store(tmp_path / "a.pkl")
    assert word in str(caught.value)
    assert "no pack" in refusal(tmp_path / "b.pkl", pickle.dumps([1, 2]))


def test_lists_that_are_many_times_in_others_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("preprocessing.cache.packed.MOST_VALUES", 1000)
    value: list = []
    for _ in range(60):
        value = [value, value]
    meta = {"format": FORMAT_VERSION, "stages": {}, "remark": value}
    assert "its meta holds" in refusal(tmp_path / "a.pkl", pickle.dumps(fake_pack(meta=meta)))


def test_reading_what_is_not_there(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(fake_pack()))
    store = open_store(tmp_path / "a.pkl")
    assert list(store.read("a", "waveform", ["waveform"])) == ["waveform"]
    for request in (("b", "waveform"), ("a", "faces"), ("a", "waveform", ["x"])):
        with pytest.raises(UserError, match="has no"):
            store.read(*request)
    store.read("a", "waveform")["waveform"][:] = 9  # a copy: the store keeps its own
    assert store.read("a", "waveform")["waveform"].tolist() == [0, 1, 2]
    with pytest.raises(UserError, match="no finished cache"):
        open_store(tmp_path / "nowhere.pkl")


@pytest.mark.parametrize("read", [open_store, load_pickle])
def test_a_pickle_cannot_ask_for_more_memory_than_it_has_bytes(tmp_path, read):
    """Python keeps room for all numbers of objects up to the highest: here 32 GiB."""
    (tmp_path / "a.pkl").write_bytes(b"\x80\x02}r\xff\xff\xff\x7f.")
    with pytest.raises(UserError, match=r"damaged .it gives object 2 the number 2147483647"):
        read(tmp_path / "a.pkl")


def test_no_name_is_looked_up(tmp_path):
    """The module of a refused name is not even imported, which could run its code."""
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')")
    with pytest.raises(UserError), (tmp_path / "trap.py").open("rb") as file:
        PackUnpickler(file).find_class("trap", "x")
