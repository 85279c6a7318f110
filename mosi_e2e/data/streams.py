"""The streams that a model can read, each registered once.

A *stream* is one sequence per clip whose rows have times. All that the program knows of one stands in its
`Stream`. One of your own is registered in a file of your own (`register_stream`, `preprocessing.plugins`). A
cache of imported features brings streams that need not even that: a name that is not known is that of a
cached stage of token rows, and the model's section `tokens` says how it is encoded.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from preprocessing.config import SAMPLE_RATE
from preprocessing.errors import UserError
from preprocessing.plugins import load_plugins
from preprocessing.untrusted.names import PLAIN

KINDS = ("crops", "waveform", "tokens", "words")
SUBMODELS = {"visual": "what is seen", "acoustic": "what is heard"}  # of late fusion, with titles for people


@dataclass(frozen=True)
class Stream:
    """One stream: where its rows lie in the cache, what encodes them, and how people call it.

    Attributes:
        name: in settings and batches: letters, digits, `_`.
        stage: cache stage.
        key: prefix of its arrays there: `key`, `key_time`, `key_valid`.
        kind: crops (JPEG pictures) | waveform (samples) | tokens (rows of features) | words.
        title: for people, on pages and in remarks.
        encoder: `module:Class`, imported when a model is built (`mosi_e2e.models.encoders`).
        pretrained: the library whose pretrained weights the encoder starts from; such an encoder learns at a
            rate of its own and has a section. Empty: it starts from random weights.
        has_section: whether the models have a section of settings of that name; others are set in `tokens`.
        submodel: of late fusion that reads it; empty: one of its own.
        rate: rows per second, roughly, for made-up clips; 0: one row per clip.
    """

    name: str
    stage: str
    key: str
    kind: str = "tokens"
    title: str = ""
    encoder: str = "mosi_e2e.models.encoders.tokens:TokenEncoder"
    pretrained: str = ""
    has_section: bool = False
    submodel: str = ""
    rate: float = 10


_STREAMS: dict[str, Stream] = {}


def register_stream(stream: Stream) -> Stream:
    """Make a stream known.

    Raises:
        UserError: its name is no plain word or is taken, or its kind is not known.
    """
    if not PLAIN.fullmatch(stream.name) or stream.name in _STREAMS:
        raise UserError(f"a stream's name is letters, digits and _, and not taken; rename '{stream.name}'")
    if stream.kind not in KINDS:
        raise UserError(
            f"a stream's kind is one of {', '.join(KINDS)}, but '{stream.name}' has '{stream.kind}'"
        )
    _STREAMS[stream.name] = stream
    return stream


def known_streams() -> dict[str, Stream]:
    """All streams that are registered, by name."""
    load_plugins()
    return dict(_STREAMS)


def find_stream(name: str) -> Stream:
    """The stream of a name; a cache's own is a stage of token rows of that name."""
    load_plugins()
    return _STREAMS.get(name) or Stream(name, name, name)


def name_stream(name: str) -> str:
    """What people call a stream, or a submodel of several."""
    return SUBMODELS.get(name) or find_stream(name).title or name.replace("_", " ")


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
    names, known = list(streams), known_streams()
    taken = [name for name in own if find_stream(name).has_section]
    if taken:
        raise UserError(
            f"tokens is for streams that a cache brings along; {', '.join(taken)} has a section of its own"
        )
    unknown = [name for name in names if name not in known and name not in own]
    if unknown or not names or len(set(names)) != len(names):
        raise UserError(
            f"streams are one or more of {', '.join(dict.fromkeys((*known, *own)))}, each once, but got "
            f"[{', '.join(names)}]; type for example model.crossmodal.streams=[face,speech,behaviour], and "
            "for one that the cache brings along model.crossmodal.tokens.NAME.width=64"
        )
    return names


for _stream in (
    Stream(
        name="face",
        stage="faces",
        key="face",
        kind="crops",
        title="face",
        encoder="mosi_e2e.models.encoders.face:FaceEncoder",
        pretrained="timm",
        has_section=True,
        rate=5,
    ),
    Stream(
        name="speech",
        stage="waveform",
        key="waveform",
        kind="waveform",
        title="voice",
        encoder="mosi_e2e.models.encoders.speech:SpeechEncoder",
        pretrained="transformers",
        has_section=True,
        rate=SAMPLE_RATE,
    ),
    Stream(
        name="behaviour",
        stage="behaviour",
        key="behaviour",
        title="expression",
        has_section=True,
        submodel="visual",
    ),
    Stream(
        name="acoustics",
        stage="acoustics",
        key="lld",
        title="voice, descriptors",
        has_section=True,
        submodel="acoustic",
        rate=100,
    ),
    Stream(
        name="functionals",
        stage="acoustics",
        key="functionals",
        title="voice, functionals",
        has_section=True,
        submodel="acoustic",
        rate=0,
    ),
    Stream(
        name="words",
        stage="words",
        key="words",
        kind="words",
        title="words",
        encoder="mosi_e2e.models.encoders.text:TextEncoder",
        pretrained="transformers",
        has_section=True,
        rate=2.5,
    ),
):
    register_stream(_stream)
