"""`meta.json`, `stats.json` and `index.csv` of a cache: read and checked, so that damage is one line."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preprocessing.cache.checksums import DAMAGE
from preprocessing.errors import UserError
from preprocessing.untrusted.names import PLAIN

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("train", "valid", "test")
INDEX_TEXT = ("clip_id", "video_id", "split")
CLASS_NAME = "class_name"  # column of sets whose labels are names; blank = unlabelled
INDEX_NUMBERS = ("label", "duration_s", "n_frames", "face_ratio")
LIMITS = {"label": (-3, 3), "duration_s": (0, np.inf), "n_frames": (0, np.inf), "face_ratio": (0, 1)}
FLOAT32_MAX = float(np.finfo(np.float32).max)  # beside numpy's own a larger number gives a warning
REPAIR = "type the command that made it again: python -m preprocessing --config CONFIG labels=LABELS out="

# Where the options of a stage, as `meta.json` names them, are set.
SECTIONS = {
    "backend": "behaviour.backend",
    "mediapipe": "track",
    "openface": "behaviour.openface",
    "openface_csv": "behaviour.openface",
}


def read_json(path: Path, root: Path) -> dict[str, Any]:
    """A JSON file that holds an object.

    Raises:
        UserError: it does not; names the file and what to type.
    """
    try:
        content = json.loads(path.read_bytes())
    except DAMAGE as error:
        raise damage(path, root, " ".join(str(error).split())) from error
    if not isinstance(content, dict):
        raise damage(path, root, "it holds no object")
    return content


def damage(path: Path, root: Path, reason: str) -> UserError:
    """The error of a file of a cache that is not as it was written."""
    return UserError(f"{path} is damaged ({reason[:160]}): {REPAIR}{root}")


def is_imported(root: Path) -> bool:
    """Whether a cache holds imported features, as far as that can be read."""
    try:
        return "imported" in read_json(root / "meta.json", root)
    except UserError:
        return False


def read_meta(root: Path) -> dict[str, Any]:
    """`meta.json`: at least `format` and, per stage, a recipe and keys with their columns.

    Raises:
        UserError: it is damaged.
    """
    path = root / "meta.json"
    meta = read_json(path, root)
    if problem := find_meta_problem(meta):
        raise damage(path, root, problem)
    return meta


def find_meta_problem(meta: Mapping[str, Any]) -> str:
    """What is wrong with the content of `meta.json`; empty if nothing is."""
    if type(meta.get("format")) is not int:
        return "it names no format"
    stages = meta.get("stages")
    if not isinstance(stages, dict) or not all(is_stage(*item) for item in stages.items()):
        return "its stages are not as they should be"
    return ""


def is_stage(name: Any, entry: Any) -> bool:
    """Whether `meta.json` describes a stage as it should."""
    if not isinstance(name, str) or not PLAIN.fullmatch(name) or not isinstance(entry, dict):
        return False
    recipe, keys = entry.get("recipe"), entry.get("keys")
    is_plain = isinstance(recipe, str) and PLAIN.fullmatch(recipe) is not None
    return (
        is_plain
        and isinstance(keys, dict)
        and all(isinstance(key, dict) and is_names(key.get("columns", [])) for key in keys.values())
        and isinstance(entry.get("options", {}), dict)
    )


def is_names(value: Any) -> bool:
    """Whether something is a list of texts."""
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def read_stats(root: Path) -> dict[str, dict[str, list[float]]]:
    """`stats.json`; empty where there is none.

    Raises:
        UserError: it is damaged.
    """
    path = root / "stats.json"
    stats = read_json(path, root) if path.is_file() else {}
    if problem := find_stats_problem(stats):
        raise damage(path, root, problem)
    return stats


def find_stats_problem(stats: Mapping[str, Any]) -> str:
    """What is wrong with the content of `stats.json`; empty if nothing is."""
    for key, entry in stats.items():
        rows = [entry.get(name) for name in ("mean", "std")] if isinstance(entry, dict) else [None, None]
        if not all(is_numbers(row) for row in rows) or len(rows[0]) != len(rows[1]) or min(rows[1]) < 0:
            return f"mean and std of '{str(key)[:40]}' are not as they should be"
    return ""


def is_numbers(value: Any) -> bool:
    """Whether something is a list of finite numbers, not empty."""
    if not isinstance(value, list) or not value or not all(type(x) in (int, float) for x in value):
        return False
    return all(abs(x) < FLOAT32_MAX for x in value)


def read_index(path: Path) -> "pd.DataFrame":
    """`index.csv`; ids stay text whatever they look like, a number that a clip lacks is NaN.

    Raises:
        UserError: it is damaged: no table, a column is missing, or a value is none that can be there.
    """
    import pandas as pd  # takes half a second, and not every command reads an index

    try:
        table = pd.read_csv(
            path,
            dtype=dict.fromkeys((*INDEX_TEXT, CLASS_NAME), str),
            keep_default_na=False,
            na_values={name: [""] for name in INDEX_NUMBERS},
        )
        problem = find_problem(table)
    except (*DAMAGE, pd.errors.ParserError) as error:
        raise damage(path, path.parent, " ".join(str(error).split())) from error
    if problem:
        raise damage(path, path.parent, problem)
    return table


def find_problem(table: "pd.DataFrame") -> str:
    """What is wrong with an index; empty if nothing is."""
    lacking = [name for name in ("clip_id", "video_id", "split", "label", "duration_s") if name not in table]
    if lacking:
        return f"it has no column {', '.join(lacking)}"
    for name in [name for name in (*INDEX_TEXT, CLASS_NAME) if name in table]:
        if not all(isinstance(text, str) for text in table[name]):
            return f"{name} must be texts"
    if table.clip_id.duplicated().any():
        return f"clip '{table.clip_id[table.clip_id.duplicated()].iloc[0][:60]}' is in it twice"
    odd = table.split[~table.split.isin(SPLITS)]
    if len(odd):
        return f"a split is '{odd.iloc[0][:60]}'"
    for name in [name for name in INDEX_NUMBERS if name in table]:
        low, high = LIMITS[name]
        known = table[name].to_numpy()
        if known.dtype.kind not in "if" or np.isinf(known).any() or ((known < low) | (known > high)).any():
            return f"{name} must be numbers from {low} to {high}"
    for name in [name for name in table if name not in (*INDEX_TEXT, *INDEX_NUMBERS, CLASS_NAME)]:
        if not all(isinstance(state, str) and PLAIN.fullmatch(state) for state in table[name]):
            return f"a state in column '{str(name)[:40]}' is none"
    return ""


def compare_options(
    past: Mapping[str, object], present: Mapping[str, object]
) -> dict[str, tuple[object, object]]:
    """The settings of a stage that differ, by name, as `meta.json` has them.

    >>> compare_options({"faces": {"size": 96, "rate": 5.0}}, {"faces": {"size": 224, "rate": 5.0}})
    {'faces.size': (96, 224)}
    """
    before, after = dict(_flatten(past)), dict(_flatten(present))
    return {n: (before[n], value) for n, value in after.items() if n in before and before[n] != value}


def _flatten(options: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for name, value in options.items():
        section = SECTIONS.get(name, name)
        if isinstance(value, Mapping):
            yield from ((f"{section}.{key}", inner) for key, inner in value.items())
        else:
            yield section, value
