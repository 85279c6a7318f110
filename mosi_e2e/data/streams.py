"""Which cached arrays each stream of a model reads.

A *stream* is one sequence per clip whose rows have times. A further stream is one line here, one encoder
(`mosi_e2e/models/encoders`) and one cached stage. A cache of imported features brings streams of its own,
which need neither: a name that is not listed here is that of a cached stage of token rows, and the model's
section `tokens` says how it is encoded.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from preprocessing.errors import UserError


@dataclass(frozen=True)
class Source:
    """Where a stream's rows lie in the cache.

    Attributes:
        stage: cache stage.
        key: prefix of its arrays there: `key`, `key_time`, `key_valid`.
        kind: crops (JPEG pictures) | waveform (samples) | tokens (rows of features).
    """

    stage: str
    key: str
    kind: str


SOURCES = {
    "face": Source("faces", "face", "crops"),
    "speech": Source("waveform", "waveform", "waveform"),
    "behaviour": Source("behaviour", "behaviour", "tokens"),
    "acoustics": Source("acoustics", "lld", "tokens"),
    "functionals": Source("acoustics", "functionals", "tokens"),
}


def find_source(name: str) -> Source:
    """Where a stream's rows lie; a cache's own stream is a stage of token rows of that name."""
    return SOURCES.get(name, Source(name, name, "tokens"))


def encoded_name(stream: str) -> str:
    """Name under which a stream is in a batch when it holds an encoder's output."""
    return f"{stream}_encoded"


def check_streams(streams: Iterable[str], own: Collection[str] = ()) -> list[str]:
    """The names as a list, each known and used once.

    Args:
        streams: the names.
        own: further ones that are known, since the model's section `tokens` has them.

    Raises:
        UserError: an unknown or repeated name, or none; one in `own` that has a section already.
    """
    names = list(streams)
    taken = [name for name in own if name in SOURCES]
    if taken:
        raise UserError(
            f"tokens is for streams that a cache brings along; {', '.join(taken)} has a section of its own"
        )
    unknown = [name for name in names if name not in SOURCES and name not in own]
    if unknown or not names or len(set(names)) != len(names):
        raise UserError(
            f"streams are one or more of {', '.join((*SOURCES, *own))}, each once, but got "
            f"[{', '.join(names)}]; type for example model.crossmodal.streams=[face,speech,behaviour], and "
            "for one that the cache brings along model.crossmodal.tokens.NAME.width=64"
        )
    return names
