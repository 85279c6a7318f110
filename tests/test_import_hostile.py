"""Feature files of strangers: no file beside them is read, nothing grows beyond its size, damage is one line.

Many cases: `make fuzz CASES=1000 TESTS=tests/test_import_hostile.py`.
"""

import io
import itertools
import json
import pickle
import tempfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from kit.fuzzing import damage, seeded
from kit.made_features import make_rows, make_tables, write_archive, write_pickle, write_sequence

from preprocessing.errors import UserError
from preprocessing.import_features import bounds
from preprocessing.import_features.__main__ import main
from preprocessing.import_features.heap import find_object
from preprocessing.import_features.sequences import SequenceFile, SequenceSource
from preprocessing.import_features.source import ImportOptions
from preprocessing.import_features.tables import TableSource

SECRET = b"secret of the machine, longer than a few rows"
LABELS = (np.array([[-1.0], [0.2]]), np.array([[0.0, 1.0], [1.0, 2.0]]))


@pytest.fixture
def secret(tmp_path) -> Path:
    (tmp_path / "secret").write_bytes(SECRET)
    return tmp_path / "secret"


def open_hostile(path: Path, change) -> str:
    """The refusal of a `.csd` after `change(its entry, the file)`."""
    write_sequence(path, "audio", {"v": make_rows(10, 2, 3)})
    with h5py.File(path, "r+") as file:
        change(file["audio/data/v"], file)
    with pytest.raises(UserError) as error:
        SequenceFile(path).features("v")
    assert "\n" not in str(error.value)
    return str(error.value)


def replace(name: str, make):
    """A change that puts something else under `name` of the entry."""

    def change(entry, file):
        del entry[name]
        make(entry, name)

    return change


@pytest.mark.parametrize("name", ["features", "intervals"])
def test_data_of_other_files_are_not_read(tmp_path, secret, name):
    def external(entry, key):
        entry.create_dataset(key, (4, 2), dtype="u1", external=[(str(secret), 0, 8)])

    def virtual(entry, key):
        layout = h5py.VirtualLayout((4, 2), "f4")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", (4, 2))
        entry.create_virtual_dataset(key, layout)

    def link(entry, key):
        entry[key] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/x")

    def soft(entry, key):
        entry[key] = h5py.SoftLink("/audio")

    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.ones((4, 2), np.float32)
    words = {external: "another file", virtual: "another file", link: "ExternalLink", soft: "SoftLink"}
    for make, word in words.items():
        assert word in open_hostile(tmp_path / f"{make.__name__}.csd", replace(name, make))


@pytest.mark.parametrize("place", ["audio", "audio/data", "audio/data/v"])
def test_groups_of_other_files_are_not_entered(tmp_path, place):
    write_sequence(tmp_path / "other.h5", "audio", {"v": make_rows(10, 2, 3)})

    def change(entry, file):
        del file[place]
        file[place] = h5py.ExternalLink(str(tmp_path / "other.h5"), f"/{place}")

    assert "ExternalLink" in open_hostile(tmp_path / "a.csd", change)


def test_names_of_columns_come_from_the_file_alone(tmp_path, secret):
    path = write_sequence(tmp_path / "a.csd", "audio", {"v": make_rows(10, 2, 3)}, ["a", "b", "c"])
    assert SequenceFile(path).column_names("s") == ["a", "b", "c"]
    with h5py.File(path, "r+") as file:
        del file["audio/metadata/dimension names"]
        data = {"dtype": f"S{len(SECRET)}", "external": [(str(secret), 0, len(SECRET))]}
        file["audio/metadata"].create_dataset("dimension names", (1,), **data)
    with pytest.raises(UserError, match="another file"):
        SequenceFile(path).column_names("s")


@pytest.mark.parametrize(
    ("shape", "options", "word"),
    [
        ((10**9, 10**3), {"chunks": (100, 10)}, "more than 1024 MB"),
        ((2 * 10**7, 10), {"chunks": (10**6, 10), "compression": "gzip"}, "times as much"),
        ((10, 2), {"chunks": (5 * 10**8, 2), "maxshape": (None, 2)}, "more than 1024 MB"),
    ],
)
def test_sizes_are_bounded_before_reading(tmp_path, shape, options, word):
    """Declared only, or zeros: a small file that would fill the memory."""

    def declare(entry, key):
        entry.create_dataset(key, shape, dtype="f4", **options)
        del entry["intervals"]
        entry.create_dataset("intervals", (shape[0], 2), dtype="f4", chunks=(10, 2))

    assert word in open_hostile(tmp_path / "a.csd", replace("features", declare))
    assert (tmp_path / "a.csd").stat().st_size < 1e6


def test_filters_that_need_a_plug_in_are_refused(tmp_path):
    def declare(entry, key):
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((4, 2))
        plan.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))  # zstd
        space = h5py.h5s.create_simple((4, 2))
        h5py.h5d.create(entry.id, key.encode(), h5py.h5t.NATIVE_FLOAT, space, plan)

    assert "plug-in" in open_hostile(tmp_path / "a.csd", replace("features", declare))


def make_npy(shape, descr="<f4", data=b"") -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue() + data


def open_archive(path: Path, members: dict[str, bytes]) -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(f"{name}.npy", data)
    with pytest.raises(UserError) as error:
        TableSource(path, ImportOptions())
    assert "\n" not in str(error.value)
    return str(error.value)


def test_archives_are_bounded_before_reading(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    assert "declares 4000000000000 bytes" in open_archive(path, {"train_x": make_npy((10**4, 10**4, 10**4))})
    monkeypatch.setattr(bounds, "FREE", 1 << 20)
    zeros = make_npy((500, 1000, 10), data=b"\0" * 20_000_000)
    assert "times as much" in open_archive(path, {"train_x": zeros, "train_y": make_npy((0,))})
    text = open_archive(path, {"train_x": make_npy((3, 2, 2), "|O", pickle.dumps([print] * 12))})
    assert "holds object" in text
    assert "declares" in open_archive(path, {"train_x": make_npy((-1, 2, 2), data=b"\0" * 16)})


def test_lists_that_name_themselves_many_times_are_not_multiplied(tmp_path):
    value: list = [1.0, 2.0]
    for _ in range(60):
        value = [value, value]
    loop: list = []
    loop.append(loop)
    tables = make_tables()
    tables["train"] |= {"laughs": value, "loop": loop, (1, 2): [0]}
    source = TableSource(write_pickle(tmp_path / "a.pkl", tables), ImportOptions())
    assert set(source.columns) == {"vision", "audio"}


def read_all(make) -> str:
    """Open a source and read every clip of it; the message of a refusal."""
    try:
        source = make()
        for number in range(len(source.entries)):
            rows = source.read(number)
            spans = {name: (0, len(values)) for name, values in rows.items() if len(values)}
            if spans:
                source.place(number, spans)
        return ""
    except UserError as error:
        return str(error)


def write_inputs(folder: Path) -> dict[str, bytes]:
    """A small file of each kind."""
    tables = make_tables()
    files = [write_archive(folder / "a.npz", tables, ids=True), write_pickle(folder / "a.pkl", tables)]
    files.append(
        write_sequence(folder / "a.csd", "audio", {"03bSnISJMiM": make_rows(10, 2, 3)}, ["a", "b", "c"])
    )
    files.append(write_sequence(folder / "l.csd", "labels", {"03bSnISJMiM": LABELS}))
    return {path.name: path.read_bytes() for path in files}


with tempfile.TemporaryDirectory() as made:
    WHOLE = write_inputs(Path(made))


@seeded(100)
def test_damaged_tables(tmp_path, draw):
    name = draw.choice(["a.npz", "a.pkl"])
    path = tmp_path / name
    path.write_bytes(damage(WHOLE[name], draw))
    said = read_all(lambda: TableSource(path, ImportOptions()))
    assert "\n" not in said and len(said) < 2000


@seeded(100)
def test_damaged_sequences(tmp_path, draw):
    name = draw.choice(["a.csd", "l.csd"])
    for other in ("a.csd", "l.csd"):
        content = WHOLE[other]
        (tmp_path / other).write_bytes(damage(content, draw) if other == name else content)
    said = read_all(lambda: SequenceSource([("s", tmp_path / "a.csd")], tmp_path / "l.csd", ImportOptions()))
    assert "\n" not in said and len(said) < 2000


@pytest.mark.filterwarnings("error")
def test_a_nan_that_signals_gives_no_second_line(tmp_path):
    """Its bits say that a calculation with it is to be told of."""
    signal = np.frombuffer(b"\1\0\0\0\0\0\xf0\x7f", np.float64)[0]
    tables, (rows, spans) = make_tables(), make_rows(10, 2, 3)
    tables["train"]["vision"] = np.full(tables["train"]["vision"].shape, signal)
    source = TableSource(write_pickle(tmp_path / "a.pkl", tables), ImportOptions())
    assert np.isnan(source.read(0)["vision"]).all()
    path = write_sequence(tmp_path / "a.csd", "audio", {"v": (np.full(rows.shape, signal), spans)})
    assert np.isnan(SequenceFile(path).features("v")).all()


@pytest.mark.timeout(60)
def test_a_heap_of_texts_in_which_hdf5_would_go_in_circles(tmp_path):
    """Its free room says that it has 0 bytes; the names before it can still be read, those behind cannot."""
    whole, text = WHOLE["a.csd"], b'["a", "b", "c"]'
    end = whole.index(text) + 16
    assert len(text) == 15 and whole[end : end + 8] == bytes(8)
    path = tmp_path / "a.csd"
    path.write_bytes(whole[: end + 8] + bytes(8) + whole[end + 16 :])
    assert SequenceFile(path).column_names("x") == ["a", "b", "c"]
    path.write_bytes(whole.replace(b"GCOL\x01", b"GCOL\x02"))
    assert SequenceFile(path).column_names("x") == ["x_0", "x_1", "x_2"]
    with pytest.raises(ValueError, match="not in the heap"):
        find_object(bytes(1000), 7)


PLAIN = ("vision", "audio", "id", "regression_labels")
ARRAYS = (
    np.float64(1.0),
    np.zeros(0),
    np.zeros((0, 0, 0)),
    np.zeros((8, 6, 0)),
    np.zeros((8, 0, 3)),
    np.full((8, 6, 3), np.nan),
    np.full((8, 6, 3), 1e300),
    np.zeros((8, 6, 3, 2)),
    np.array(["x"] * 8),
    np.zeros(8, complex),
    np.full(8, np.inf),
    np.zeros((8, 2), np.float16),
    np.array([2**63] * 8, np.uint64),
)


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("kind", ["npz", "pkl"])
def test_odd_arrays(tmp_path, name, kind):
    path = tmp_path / f"a.{kind}"
    for split, array in itertools.product(("train", "valid", "test"), ARRAYS):
        tables = make_tables()
        tables[split][name] = array
        if kind == "pkl":
            write_pickle(path, tables)
        else:
            keys = {(s, n): f"{s}_{n.split('_')[-1][:8]}" for s in tables for n in PLAIN}
            np.savez(path, **{key: np.asarray(tables[s][n]) for (s, n), key in keys.items()})
        said = read_all(lambda: TableSource(path, ImportOptions()))
        assert "\n" not in said and len(said) < 2000, (split, array)


def test_the_command_ends_in_one_line(tmp_path, capsys):
    (tmp_path / "a.npz").write_bytes(WHOLE["a.npz"][:-30])
    assert main([str(tmp_path / "a.npz"), "--out", str(tmp_path / "cache")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert json.dumps(sorted(path.name for path in tmp_path.iterdir())) == '["a.npz"]'
