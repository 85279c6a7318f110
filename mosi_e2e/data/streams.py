"""Which cached arrays each stream of a model reads.

A *stream* is one sequence per clip whose rows have times. A further stream is one line here, one encoder
(`mosi_e2e/models/encoders`) and one cached stage.
"""

from collections.abc import Iterable
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


def check_streams(streams: Iterable[str]) -> list[str]:
    """The names as a list, each known and used once.

    Raises:
        UserError: an unknown or repeated name, or none.
    """
    names = list(streams)
    unknown = [name for name in names if name not in SOURCES]
    if unknown or not names or len(set(names)) != len(names):
        raise UserError(
            f"streams are one or more of {', '.join(SOURCES)}, each once, but got [{', '.join(names)}]; "
            "type for example model.streams=[face,speech,behaviour]"
        )
    return names
