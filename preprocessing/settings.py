"""Strict configuration: dataclass defaults ← YAML file ← `a.b=c` overrides.

The dataclass is the schema. A key that it does not have, or a value of the wrong type, is an error
that names the nearest key; nothing is ignored. What comes back is a plain (frozen) dataclass.
"""

import dataclasses
import difflib
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from preprocessing.errors import UserError
from preprocessing.untrusted.plain_text import first_line, parse_yaml, read_yaml
from preprocessing.untrusted.schema import (
    NUMBER,
    WrongValueError,
    build,
    check_values,
    list_infinite,
    list_keys,
    merge,
    show,
)

Config = TypeVar("Config")
# What other programs call a setting → the last part of its key here, where spelling is no help.
SYNONYMS = {
    "learning_rate": "lr",
    "wd": "weight_decay",
    "l2": "weight_decay",
    "batch": "batch_size",
    "bs": "batch_size",
    "max_epochs": "epochs",
    "n_epochs": "epochs",
    "num_epochs": "epochs",
    "num_workers": "workers",
    "jobs": "workers",
    "grad_clip": "clip",
    "max_grad_norm": "clip",
    "early_stopping": "stopping",
    "random_seed": "seed",
    "hidden_size": "width",
    "hidden_dim": "width",
    "dim": "width",
    "num_heads": "heads",
    "num_layers": "layers",
    "depth": "layers",
    "modalities": "streams",
    "criterion": "loss",
    "output": "out",
    "dataset": "cache",
}


def load_config(
    schema: type[Config], path: str | Path | None = None, overrides: Sequence[str] = ()
) -> Config:
    """Read a configuration.

    Args:
        schema: dataclass with a default for every field.
        path: YAML file, or None for the defaults alone.
        overrides: strings such as `optim.lr=1e-4`; the value is YAML.

    Raises:
        UserError: missing or malformed file, unknown key, value of the wrong type.
    """
    values: dict[str, Any] = {}
    if path is not None:
        values = _check(schema, _read_file(Path(path)), f"{path}")
    for text in overrides:
        values = merge(values, _check(schema, _parse_override(text), f"override {show(text)}"))
    return _build(schema, values)


def build_config(schema: type[Config], values: Mapping[str, Any], source: str) -> Config:
    """A configuration from nested plain values, as strict as `load_config`; `source` is named in errors."""
    return _build(schema, _check(schema, values, source))


def check_range(
    section: str,
    config: Any,
    *names: str,
    low: float = -math.inf,
    above: float = -math.inf,
    high: float = math.inf,
    below: float = math.inf,
) -> None:
    """Refuse numbers of a configuration outside their range; nan and infinity are outside of any.

    Args:
        section: dotted key of the configuration, such as `optim`; empty at the top.
        config: the dataclass; the default of a field is what its error says to type.
        names: of fields that share this range; None (not set) is allowed.
        low, high: bounds that are allowed themselves.
        above, below: bounds that are not.

    Raises:
        UserError: names the key, the range and what was found.
    """
    bounds = {"at least": low, "above": above, "at most": high, "below": below}
    allowed = [f"{word} {bound}" for word, bound in bounds.items() if math.isfinite(bound)]
    for name in names:
        value, default = getattr(config, name), getattr(type(config), name)
        if value is None or (low <= value <= high and above < value < below):
            continue
        finite = ["finite"] if isinstance(value, float) and not math.isfinite(value) else []
        key = f"{section}.{name}" if section else name
        raise UserError(
            f"{key} is {' and '.join(allowed + finite)}, but is {value}; "
            f"type for example {key}={'null' if default is None else default}"
        )


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Refuse a value outside `choices`."""
    if value not in choices:
        raise UserError(f"{name} is one of {', '.join(choices)}, but got '{value}'; type {name}={choices[0]}")


def dump_config(config: Any) -> str:
    """The YAML text of a configuration dataclass."""
    return yaml.dump(
        dataclasses.asdict(config),
        default_flow_style=False,
        allow_unicode=True,
        sort_keys=False,
        Dumper=_Dumper,
    )


def digest(*parts: Any) -> str:
    """Eight hex digits that change whenever one of `parts` (dataclasses, dicts, plain values) does."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=vars).encode()).hexdigest()[:8]


class _Dumper(yaml.SafeDumper):
    """PyYAML's; text that any reader may take for a number is quoted (`1e5`, which YAML 1.1 does not)."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        quoted = "'" if NUMBER.fullmatch(text) else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=quoted)

    def ignore_aliases(self, data: Any) -> bool:
        """No `&id001` where a list occurs twice: aliases are not read back."""
        return True


_Dumper.add_representer(str, _Dumper.represent_text)


def _read_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        near = sorted(str(p) for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        raise UserError(
            f"a config must be a YAML file, but {path} is not there; found {near or 'none beside it'}"
        )
    loaded = read_yaml(path)
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise UserError(f"{path} must hold `key: value` lines, but it holds {show(loaded)}")
    return loaded


def _parse_override(text: str) -> dict[str, Any]:
    """`{"a": {"b": value}}` from `a.b=value`."""
    name, is_pair, written = text.partition("=")
    keys = name.strip().split(".")
    if not is_pair or not all(keys):
        raise UserError(f"an override is written key=value, but got {show(text)}; type for example seed=1")
    try:
        value = parse_yaml(written)
    except yaml.YAMLError as error:
        raise UserError(f"override {show(text)} is not valid YAML: {first_line(error)}") from error
    for key in reversed(keys):
        value = {key: value}
    return value


def _check(schema: type, values: Mapping[str, Any], source: str) -> dict[str, Any]:
    try:
        return check_values(schema, values)
    except WrongValueError as error:
        if error.is_unknown:
            advice = _neighbour(error.key, list(list_keys(schema)))
            raise UserError(f"{source}: there is no key {show(error.key)}; {advice}") from error
        raise UserError(f"{source}: bad value for {show(error.key)}: {error}") from error


def _build(schema: type[Config], values: Mapping[str, Any]) -> Config:
    config = build(schema(), values)
    for key, value in list_infinite(values):
        raise UserError(f"{key} is a number and finite, but is {value}; type another")
    return config


def _neighbour(key: str, keys: Sequence[str]) -> str:
    """Name the nearest known key: by the whole dotted name, then by its last part anywhere."""
    others = [k for k in keys if not key.startswith(f"{k}.")]  # its own section is no advice
    section, _, leaf = key.rpartition(".")
    close = _find_leaf(SYNONYMS.get(leaf.lower(), ""), section, keys)
    close = close or difflib.get_close_matches(key, others, n=1, cutoff=0.6)
    close = close or _find_leaf(leaf, section, keys)
    if close:
        return f"did you mean '{close[0]}'?"
    depth = key.count(".")
    siblings = [k for k in keys if k.count(".") == depth and (not section or k.startswith(section + "."))]
    return f"known here: {', '.join(siblings or keys)}"


def _find_leaf(leaf: str, section: str, keys: Sequence[str]) -> list[str]:
    """The keys whose last part is `leaf`, those of the same section first."""
    found = [key for key in keys if key.rpartition(".")[2] == leaf]
    return sorted(found, key=lambda key: key.rpartition(".")[0] != section)
