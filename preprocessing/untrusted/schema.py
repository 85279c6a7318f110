"""Dataclasses as schemas: nested values, checked against the fields' types, become instances.

Strict where a mistake would pass silently (unknown keys, true for a number, 1.5 for a whole number), lenient
in how a value is written: a field of type `str` takes what was typed, `007` or `yes`, letter by letter.
"""

import dataclasses
import math
import re
import types
import typing
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from preprocessing.errors import NO_TEXT
from preprocessing.untrusted.plain_text import Scalar

WHOLE = re.compile(r"[-+]?\d+(_\d+)*")
NUMBER = re.compile(r"[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(e[-+]?\d+)?", re.IGNORECASE)
NOT_FINITE = re.compile(r"[-+]?\.?(inf|infinity|nan)", re.IGNORECASE)
WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
NOTHING = ("", "~", "null")
LONGEST = 4096  # letters of a text, as of a path
LARGEST = 2**63 - 1  # whole numbers beyond it fit into no array


class WrongValueError(ValueError):
    """A key that the schema does not have (`is_unknown`), or a value that its field cannot take."""

    def __init__(self, key: str, reason: str, is_unknown: bool = False):
        super().__init__(reason)
        self.key, self.is_unknown = key, is_unknown


def check_values(kind: Any, value: Any, key: str = "") -> Any:
    """Convert plain values to a type; dataclasses are not built yet, but stay dictionaries of checked values.

    Args:
        kind: dataclass, `list[...]`, `dict[str, ...]`, `... | None`, `str`, `int`, `float`, `bool` or `Any`.
        value: of `plain_text.read_yaml`, or plain Python values.
        key: dotted name of the value, for errors.

    Raises:
        WrongValueError: names the key.
    """
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        if is_nothing(value):
            return None
        kind = next(one for one in typing.get_args(kind) if one is not type(None))
    if dataclasses.is_dataclass(kind):
        return _check_section(kind, value, key)
    if typing.get_origin(kind) is list:
        return _check_list(typing.get_args(kind)[0], value, key)
    if typing.get_origin(kind) is dict:
        return _check_dict(typing.get_args(kind)[1], value, key)
    return CHECKS[kind](value, key)


def build(default: Any, values: Mapping[str, Any]) -> Any:
    """An instance like `default` with values of `check_values`; each part checks itself as it is built."""
    hints = typing.get_type_hints(type(default))
    changed = {
        name: _build_value(hints[name], getattr(default, name), value) for name, value in values.items()
    }
    return dataclasses.replace(default, **changed)


def merge(before: Any, after: Any) -> Any:
    """Nested dictionaries of two sources; the later wins, and lists are replaced."""
    if isinstance(before, dict) and isinstance(after, dict):
        return before | {name: merge(before.get(name), value) for name, value in after.items()}
    return after


def list_keys(schema: type, prefix: str = "") -> Iterator[str]:
    """Dotted names of all fields, sections included."""
    for name, kind in typing.get_type_hints(schema).items():
        yield f"{prefix}{name}"
        if dataclasses.is_dataclass(kind):
            yield from list_keys(kind, f"{prefix}{name}.")


def list_infinite(values: Any, key: str = "") -> Iterator[tuple[str, float]]:
    """Numbers that are not finite, with their dotted names."""
    if isinstance(values, dict):
        for name, value in values.items():
            yield from list_infinite(value, f"{key}.{name}" if key else name)
    elif isinstance(values, list):
        for value in values:
            yield from list_infinite(value, key)
    elif isinstance(values, float) and not math.isfinite(values):
        yield key, values


def show(value: Any) -> str:
    """A value in an error: short, and in one line."""
    if isinstance(value, Mapping):
        return "a section"
    if isinstance(value, list):
        return "a list"
    text = "null" if value is None else str(value)
    text = text if text.isprintable() else ascii(text)[1:-1]
    return f"'{text[:60]}'"


def is_nothing(value: Any) -> bool:
    """Whether a value is null, or nothing was written."""
    return value is None or (isinstance(value, Scalar) and value.plain and value.lower() in NOTHING)


def _check_section(schema: type, value: Any, key: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise WrongValueError(key, f"it is a section (lines `name: value`), not {show(value)}")
    hints = typing.get_type_hints(schema)
    checked = {}
    for name, one in value.items():
        dotted = f"{key}.{name}" if key else str(name)
        if name not in hints:
            raise WrongValueError(dotted, "unknown", is_unknown=True)
        checked[name] = check_values(hints[name], one, dotted)
    return checked


def _check_list(kind: Any, value: Any, key: str) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise WrongValueError(key, f"it is a list such as [a, b], not {show(value)}")
    return [check_values(kind, one, key) for one in value]


def _check_dict(kind: Any, value: Any, key: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise WrongValueError(key, f"it is a section (lines `name: value`), not {show(value)}")
    wrong = next((name for name in value if not isinstance(name, str) or not name), None)
    if wrong is not None:
        raise WrongValueError(key, f"its keys are names, not {show(wrong)}")
    return {
        _check_text(str(name), key): check_values(kind, one, f"{key}.{name}") for name, one in value.items()
    }


def _build_value(kind: Any, default: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(kind):
        return build(default, value)
    if typing.get_origin(kind) is not dict or not isinstance(value, dict):
        return value
    inner = typing.get_args(kind)[1]
    if not dataclasses.is_dataclass(inner):
        return merge(default, value)
    return default | {name: build(default.get(name) or inner(), one) for name, one in value.items()}


def _check_text(value: Any, key: str) -> str:
    if is_nothing(value) or isinstance(value, bool) or not isinstance(value, str | int | float):
        raise WrongValueError(key, f"it is a text, not {show(value)}")
    text = str(value)
    if len(text) > LONGEST or any(unicodedata.category(letter) in NO_TEXT for letter in text):
        raise WrongValueError(key, f"it is one short line without control characters, not {show(value)}")
    return text


def _check_whole(value: Any, key: str) -> int:
    if isinstance(value, str) and WHOLE.fullmatch(value) and len(value) < 30:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > LARGEST:
        raise WrongValueError(key, f"it is a whole number, not {show(value)}")
    return value


def _check_number(value: Any, key: str) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(value, str):
        is_number = len(value) < 400 and bool(NUMBER.fullmatch(value) or NOT_FINITE.fullmatch(value))
        value = value.replace(".", "", 1) if NOT_FINITE.fullmatch(value) else value
    try:
        if is_number:
            return float(value)
    except (ValueError, OverflowError):  # `1__0`; an integer beyond 1e308
        pass
    raise WrongValueError(key, f"it is a number, not {show(value)}")


def _check_truth(value: Any, key: str) -> bool:
    value = WORDS.get(value.lower(), value) if isinstance(value, str) else value
    if not isinstance(value, bool):
        raise WrongValueError(key, f"it is true or false, not {show(value)}")
    return value


def _check_any(value: Any, key: str) -> Any:
    """What YAML takes an unquoted value for: null, a truth value, a number or text."""
    if isinstance(value, Mapping):
        return _check_dict(Any, value, key)
    if isinstance(value, list | tuple):
        return _check_list(Any, value, key)
    if is_nothing(value):
        return None
    if isinstance(value, Scalar) and value.plain:
        return _resolve(value, key)
    if isinstance(value, int) and not isinstance(value, bool):
        return _check_whole(value, key)
    if isinstance(value, float | bool):
        return value
    if isinstance(value, str):
        return _check_text(value, key)
    raise WrongValueError(key, f"it is a plain value, not {show(value)}")


def _resolve(value: Scalar, key: str) -> Any:
    if value.lower() in WORDS:
        return WORDS[value.lower()]
    if WHOLE.fullmatch(value):
        return _check_whole(value, key)
    if NUMBER.fullmatch(value) or (NOT_FINITE.fullmatch(value) and "." in value):
        return _check_number(value, key)
    return _check_text(value, key)


CHECKS: dict[Any, Callable[[Any, str], Any]] = {
    str: _check_text,
    int: _check_whole,
    float: _check_number,
    bool: _check_truth,
    Any: _check_any,
    dict: lambda value, key: _check_dict(Any, value, key),
}
