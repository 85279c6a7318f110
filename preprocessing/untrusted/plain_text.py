"""YAML and JSON that others wrote, read as plain values within bounds: nothing is resolved or expanded.

A configuration, a model or a run may come from anywhere. So a file has a largest size, nesting a largest
depth, and YAML neither aliases (a few lines of them stand for billions of values), nor tags (they make
objects), nor references such as `${oc.env:HOME}`: `$` is a letter like any other. Scalars stay text, and
`preprocessing.untrusted.schema` decides what they mean.
"""

import json
from pathlib import Path
from typing import Any

import yaml

from preprocessing.errors import UserError

YAML_BYTES = 256 * 1024  # the longest recipe has 5 kB
JSON_BYTES = 64 * 1024 * 1024  # a million labels
DEPTH = 24  # of nesting; recipes have 5
KNOWN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq")}
# Scalars that YAML would turn into dates or into keys of other mappings: here they are text.
KNOWN_TAGS |= {f"tag:yaml.org,2002:{name}" for name in ("timestamp", "merge", "value")}
LFS_MARK = b"version https://git-lfs.github.com/"


class Scalar(str):
    """Text of a YAML scalar, and whether it stood there without quotes: `7`, not `"7"`."""

    plain: bool

    def __new__(cls, text: str, plain: bool) -> "Scalar":
        """As `str`, with the mark."""
        made = super().__new__(cls, text)
        made.plain = plain
        return made


def read_bounded(path: Path, limit: int) -> bytes:
    """The content of a small file.

    Raises:
        UserError: there is none, it cannot be read, or it has more than `limit` bytes.
    """
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror or error}); check its path and rights"
        ) from error
    except ValueError as error:  # a null byte in the path
        raise UserError(f"{str(path)!a} is not a path ({error}); type another") from error
    if len(content) > limit:
        raise UserError(
            f"{path} has more than {limit:,} bytes, which such a file never has; is it the right one?"
        )
    if content.startswith(LFS_MARK):
        raise UserError(
            f"{path} is a Git LFS pointer, not the file itself; in the folder it came from type: git lfs pull"
        )
    return content


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file whose outermost value is an object.

    Raises:
        UserError: it is missing, too large or damaged.
    """
    return parse_json(read_bounded(path, JSON_BYTES), str(path))


def parse_json(content: bytes, source: str) -> dict[str, Any]:
    """As `read_json`, from the bytes; `source` is named in errors."""
    try:
        found = json.loads(content)
        if b"\\ud" in content.lower():  # halves of characters can be read, and not written
            json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{source} is damaged ({first_line(error)}): it must be JSON; copy it again"
        ) from error
    if not isinstance(found, dict):
        raise UserError(
            f"{source} is damaged: it must be a JSON object, not a {type(found).__name__}; copy it again"
        )
    return found


def read_yaml(path: Path) -> Any:
    """A YAML file as dictionaries with text keys, lists and `Scalar`; None where it holds nothing.

    Raises:
        UserError: it is missing, too large, not UTF-8, not YAML, or uses aliases or tags.
    """
    content = read_bounded(path, YAML_BYTES)
    try:
        return parse_yaml(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UserError(f"{path} must be UTF-8 text, but {first_line(error)}; save it as UTF-8") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {first_line(error)}") from error


def parse_yaml(text: str) -> Any:
    """As `read_yaml`, from text.

    Raises:
        yaml.YAMLError: what is wrong with it.
    """
    try:
        node = yaml.compose(text, _Loader)
    except (ValueError, RecursionError) as error:  # PyYAML on some escapes that are no characters
        raise yaml.YAMLError(first_line(error)) from error
    return None if node is None else _plain(node)


class _Loader(yaml.SafeLoader):
    """PyYAML's, without aliases and with bounded depth."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node:
        mark = self.peek_event().start_mark
        if self.check_event(yaml.AliasEvent) or getattr(self.peek_event(), "anchor", None):
            raise yaml.YAMLError(f"aliases (&name, *name) are not read (line {mark.line + 1}); write it out")
        if self.depth == DEPTH:
            raise yaml.YAMLError(f"nested deeper than {DEPTH} (line {mark.line + 1})")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _plain(node: yaml.Node) -> Any:
    line = node.start_mark.line + 1
    if node.tag not in KNOWN_TAGS:
        raise yaml.YAMLError(f"tags are not read (line {line}); remove {node.tag!a:.60}")
    if isinstance(node, yaml.ScalarNode):
        return Scalar(node.value, node.style is None)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(one) for one in node.value]
    found: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.YAMLError(f"a key must be a name (line {line})")
        name = key.value
        if name in found:
            raise yaml.YAMLError(f"found duplicate key {name!a:.60} (line {key.start_mark.line + 1})")
        found[name] = _plain(value)
    return found


def first_line(error: Exception) -> str:
    """What a library says, in one line that can be printed."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(str(error).split()))[:200]
