"""Strict configuration: dataclass defaults ← YAML file ← `a.b=c` overrides.

The dataclass is the schema. A key that it does not have, or a value of the wrong type, is an error
that names the nearest key; nothing is ignored. What comes back is a plain (frozen) dataclass.
"""

import difflib
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from preprocessing.errors import UserError

Config = TypeVar("Config")


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
    config = OmegaConf.structured(schema)
    keys = list(_dotted_keys(config))
    if path is not None:
        config = _merge(config, _read_yaml(Path(path)), f"{path}", keys)
    for text in overrides:
        config = _merge(config, _parse_override(text), f"override '{text}'", keys)
    try:
        return OmegaConf.to_object(config)
    except OmegaConfBaseException as error:  # a reference ${...} to nothing
        raise UserError(f"bad value for '{error.full_key}': {str(error).splitlines()[0]}") from error


def build_config(schema: type[Config], values: Mapping[str, Any], source: str) -> Config:
    """A configuration from nested plain values, as strict as `load_config`; `source` is named in errors."""
    config = OmegaConf.structured(schema)
    return OmegaConf.to_object(
        _merge(config, OmegaConf.create(dict(values)), source, list(_dotted_keys(config)))
    )


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


def dump_config(config: Any) -> str:
    """The YAML text of a configuration dataclass, every value resolved."""
    return OmegaConf.to_yaml(OmegaConf.structured(config), resolve=True)


def digest(*parts: Any) -> str:
    """Eight hex digits that change whenever one of `parts` (dataclasses, dicts, plain values) does."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=vars).encode()).hexdigest()[:8]


def _read_yaml(path: Path) -> DictConfig:
    if not path.is_file():
        near = sorted(str(p) for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        raise UserError(
            f"a config must be a YAML file, but {path} is not there; found {near or 'none beside it'}"
        )
    try:
        loaded = OmegaConf.load(path)
    except (OmegaConfBaseException, yaml.YAMLError, ValueError, OSError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(loaded, DictConfig):
        raise UserError(f"{path} must hold `key: value` lines, but it holds a {type(loaded).__name__}")
    return loaded


def _parse_override(text: str) -> DictConfig:
    if "=" not in text or text.startswith("="):
        raise UserError(f"an override is written key=value, but got '{text}'; type for example seed=1")
    try:
        return OmegaConf.from_dotlist([text])
    except (OmegaConfBaseException, yaml.YAMLError) as error:
        raise UserError(f"override '{text}' is not valid YAML: {' '.join(str(error).split())}") from error


def _merge(config: DictConfig, update: DictConfig, source: str, keys: Sequence[str]) -> DictConfig:
    try:
        return OmegaConf.merge(config, update)
    except OmegaConfBaseException as error:
        key = error.full_key or str(error.key or "")
        if type(error).__name__ == "ConfigKeyError":
            raise UserError(f"{source}: there is no key '{key}'; {_neighbour(key, keys)}") from error
        raise UserError(f"{source}: bad value for '{key}': {str(error).splitlines()[0]}") from error


def _neighbour(key: str, keys: Sequence[str]) -> str:
    """Name the nearest known key: by the whole dotted name, then by its last part anywhere."""
    others = [k for k in keys if not key.startswith(f"{k}.")]  # its own section is no advice
    close = difflib.get_close_matches(key, others, n=1, cutoff=0.6)
    leaf = key.rsplit(".", 1)[-1]
    close = close or [k for k in keys if k.rsplit(".", 1)[-1] == leaf]
    if close:
        return f"did you mean '{close[0]}'?"
    section = key.rsplit(".", 1)[0] if "." in key else ""
    depth = key.count(".")
    siblings = [k for k in keys if k.count(".") == depth and (not section or k.startswith(section + "."))]
    return f"known here: {', '.join(siblings or keys)}"


def _dotted_keys(config: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in config:
        name = f"{prefix}{key}"
        yield name
        child = config._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none():
            yield from _dotted_keys(child, f"{name}.")
