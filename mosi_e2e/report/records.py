"""Files of a run that may come from anywhere: read within bounds, and without what is not as a run writes it.

They are not checked against today's schema, so that old runs can be shown. But what the report reads of them
has the type that it expects, or is left out and becomes a fault.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from preprocessing.errors import UserError
from preprocessing.untrusted import plain_text
from preprocessing.untrusted.schema import WrongValueError, check_values, list_infinite

CONFIG = {
    "zero_label": str,
    "seed": int,
    "model": {"name": str},
    "data": {"cache": str},
}
ENVIRONMENT = {
    "command": list[str],
    "git": {"commit": str, "dirty": bool},
    "cpus": int,
    "gpus": list[str],
    "packages": dict[str, str],
    "cache": {"path": str, "synthetic": bool, "recipes": dict[str, str]},
}
FACTS = {"train_label": list[float], "synthetic": bool, "classes": list[str]}
METRICS = {"metrics": dict[str, Any], "synthetic": bool}


def read_config(path: Path) -> tuple[dict[str, Any], list[str]]:
    """A run's settings as plain values, and what is wrong with some of them.

    Raises:
        UserError: it is damaged, too large, or holds no settings.
    """
    text = plain_text.read_bounded(path, plain_text.YAML_BYTES)
    try:
        plain_text.parse_yaml(text.decode())  # no aliases, no tags, bounded depth
        content = yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{path.name} cannot be read ({plain_text.first_line(error)})") from error
    if not isinstance(content, dict):
        raise UserError(f"{path.name} holds no settings")
    faults: list[str] = []
    return keep_known(content, CONFIG, path.name, faults), faults


def read_record(path: Path, kinds: Mapping[str, Any], faults: list[str]) -> dict[str, Any]:
    """The content of a JSON file, or nothing; damage becomes a fault."""
    if not path.is_file():
        return {}
    try:
        content = plain_text.read_bounded(path, plain_text.JSON_BYTES)
        return keep_known(plain_text.parse_json(content, path.name), kinds, path.name, faults)
    except UserError as error:
        faults.append(str(error))
        return {}


def keep_known(
    content: Mapping[str, Any], kinds: Mapping[str, Any], source: str, faults: list[str]
) -> dict[str, Any]:
    """The entries that have the type that they should have; each other one becomes a fault."""
    kept = {}
    for key, value in content.items():
        kind = kinds.get(key, Any)
        if isinstance(kind, dict) and isinstance(value, dict):
            kept[key] = keep_known(value, kind, source, faults)
            continue
        try:
            kept[key] = check_entry(kind, value, str(key))
        except WrongValueError as error:
            faults.append(f"{source} is not as a run writes it ({error.key}: {error!s:.100})")
    return kept


def check_entry(kind: Any, value: Any, key: str) -> Any:
    """A value of the type that it should have, or None.

    Raises:
        WrongValueError: it has another, or is a list of numbers of which one is not finite.
    """
    if value is None:
        return None
    checked = check_values(dict if isinstance(kind, dict) else kind, value, key)
    if kind == list[float] and next(list_infinite(checked), None):
        raise WrongValueError(key, "it has numbers that are not finite")
    return checked


def read_history(path: Path, faults: list[str]) -> pd.DataFrame | None:
    """One row per epoch; None where there is none, or damage, which becomes a fault."""
    if not path.is_file():
        return None
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        faults.append(f"{path.name} cannot be read ({plain_text.first_line(error)})")
        return None
    if not {"epoch", "train_loss", "valid_loss"} <= set(table):
        faults.append(f"{path.name} has no columns epoch, train_loss, valid_loss")
        return None
    numbers = table.apply(pd.to_numeric, errors="coerce")
    if numbers.epoch.tolist() != list(range(len(table))):
        faults.append(f"{path.name} does not count its epochs from 0 on")
        return None
    return numbers if len(numbers) else None
