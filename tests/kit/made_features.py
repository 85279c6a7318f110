"""Small feature files of the shapes in which others share them, written on the spot."""

import json
import pickle
from pathlib import Path

import h5py
import numpy as np

SPLITS = {"train": 8, "valid": 3, "test": 4}
ROWS, WIDTHS = 6, {"vision": 3, "audio": 2}


def make_tables(seed: int = 0, lengths: dict[str, int] | None = None) -> dict[str, dict[str, np.ndarray]]:
    """Noise without an odd value or a padded row, by split, as MMSA's pickles have it.

    Args:
        seed: of the noise.
        lengths: rows of each stream; equal by default.
    """
    rng, tables = np.random.default_rng(seed), {}
    for split, count in SPLITS.items():
        shapes = {name: (count, (lengths or {}).get(name, ROWS), width) for name, width in WIDTHS.items()}
        tables[split] = {name: rng.normal(1.0, 1.0, size=shape) for name, shape in shapes.items()}
        tables[split]["text"] = rng.normal(size=(count, ROWS, 4))
        tables[split]["text_bert"] = rng.integers(0, 9, size=(count, 3, ROWS))
        tables[split]["regression_labels"] = np.round(rng.uniform(-3, 3, size=count), 1)
        tables[split]["id"] = [f"-{split}_v{number // 2}$_${number}" for number in range(count)]
        tables[split]["raw_text"] = np.array(["some words"] * count, dtype=object)
        tables[split]["annotations"] = np.array(["Neutral"] * count)
        tables[split]["audio_lengths"] = [np.int64(ROWS)] * count
    return tables


def write_pickle(path: Path, tables: dict, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(tables, protocol))
    return path


def write_archive(path: Path, tables: dict, ids: bool = False) -> Path:
    """An `.npz` with keys `<split>_<name>`."""
    arrays = {}
    for split, table in tables.items():
        arrays |= {f"{split}_{name}": table[name].astype(np.float32) for name in WIDTHS}
        arrays[f"{split}_y"] = table["regression_labels"]
        if ids:
            arrays[f"{split}_id"] = np.array(table["id"])
    np.savez(path, **arrays)
    return path


def write_sequence(
    path: Path, root: str, entries: dict[str, tuple[np.ndarray, np.ndarray]], columns: list[str] | None = None
) -> Path:
    """A computational sequence as CMU's SDK lays it out: entry → features [T, D] and intervals [T, 2]."""
    with h5py.File(path, "w") as file:
        data = file.create_group(f"{root}/data")
        for name, (features, intervals) in entries.items():
            group = data.create_group(name)
            group.create_dataset("features", data=features, compression="gzip", compression_opts=9)
            group.create_dataset("intervals", data=intervals, compression="gzip", compression_opts=9)
        metadata = file.create_group(f"{root}/metadata")
        for key, value in {"root name": root, "dimension names": columns or []}.items():
            metadata.create_dataset(key, (1,), dtype=h5py.special_dtype(vlen=str))
            metadata[key][0] = json.dumps(value)
    return path


def make_rows(rate: float, seconds: float, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features whose first column is the row's centre in seconds, and their intervals."""
    start = np.arange(int(seconds * rate)) / rate
    features = np.random.default_rng(seed).normal(size=(len(start), width)).astype(np.float32)
    features[:, 0] = start + 0.5 / rate
    return features, np.stack([start, start + 1 / rate], axis=1)
