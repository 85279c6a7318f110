"""Names that users give, in one form, and names of files made from them: harmless, bounded, one to one."""

import hashlib
import os
import re
import unicodedata
from urllib.parse import quote

from preprocessing.errors import UserError
from preprocessing.untrusted.schema import show

# File systems take 255 bytes. Around a name come the longest ending (`.safetensors`) and what a file is
# called while it is written (`.` before it, `.<8 digits>.tmp` behind).
NAME_BYTES = 229
MARK_DIGITS = 16
NAME = re.compile(r"\w[\w.-]*")
PLAIN = re.compile(r"[A-Za-z0-9_]+", re.ASCII)  # stages, streams, recipes and states: names of folders


def compose_name(name: str) -> str:
    """The form in which names of files and ids are compared: `u` and a separate umlaut become `ü` (NFC)."""
    return unicodedata.normalize("NFC", name)


def bound_name(name: str, limit: int = NAME_BYTES) -> str:
    """A name of at most `limit` bytes: the name itself, or its beginning with a hash of the whole.

    Whatever is written under a name that a user chose (a clip id, a video's stem) goes through this. A name
    that fits stays as it is.

    >>> bound_name("a_1"), bound_name("a" * 300, 40)
    ('a_1', 'aaaaaaaaaaaaaaaaaaaaaaa-9835fa6bf4e20a9b')
    """
    data = os.fsencode(name)
    if len(data) <= limit:
        return name
    mark = hashlib.sha256(data).hexdigest()[:MARK_DIGITS]
    return f"{data[: limit - MARK_DIGITS - 1].decode(errors='ignore')}-{mark}"


def file_name(clip_id: str) -> str:
    """A name that no file system, shell or tar program trips over, one to one with the clip id."""
    name = quote(clip_id, safe="")
    name = f"%{ord(name[0]):02X}{name[1:]}" if name[0] in ".-~" else name
    return bound_name(name)


def check_name(key: str, name: str) -> None:
    """Refuse a name that a folder cannot safely get: one that is a path, hidden, or taken for an option.

    Args:
        key: what is named, for the error, such as `name`.
        name: letters, digits, `.`, `_` and `-`; the first is a letter, digit or `_`.

    Raises:
        UserError: says what a name may be.
    """
    if NAME.fullmatch(name) is None or len(os.fsencode(name)) > NAME_BYTES // 2:
        raise UserError(
            f"{key} becomes a folder's name: at most {NAME_BYTES // 2} letters, digits, '_', '.' or '-', and "
            f"neither '.' nor '-' first, but is {show(name)}; type for example {key}=run_1"
        )
