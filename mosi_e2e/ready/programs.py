"""The ready model as ONNX: a program for each stream, and how their scores become one.

onnx/
├── README.md            card: what each stream learned from, how good it is, limits, terms
├── streams.json         what each program reads, what its score means, errors and weights for combining
└── <stream>/            model.onnx, the stream's own card, and for the words tokenizer.json

No recogniser of words and no face detector is among them.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mosi_e2e.data.streams import find_stream, name_stream
from mosi_e2e.export.programs import Read
from mosi_e2e.export.traceable import list_longest
from mosi_e2e.export.write import PROGRAM, TOKENIZER, write_program
from mosi_e2e.models import list_streams
from mosi_e2e.predict.result import REACH
from mosi_e2e.ready.card import write_ready_card
from mosi_e2e.ready.combining import StreamFacts, score_classes
from mosi_e2e.ready.folder import Ready
from mosi_e2e.runs.checkpoint import load_model
from mosi_e2e.weights.small import BASE, read_bases
from preprocessing.cache.store import write_atomic
from preprocessing.config import SAMPLE_RATE
from preprocessing.errors import UserError, make_folder
from preprocessing.untrusted.plain_text import read_bounded

FORMAT_VERSION = 1
STREAMS, CARD = "streams.json", "README.md"
CARD_BYTES = 1024 * 1024  # they have some kB
COMBINE = (
    "score = sum(share * sentiment) over the streams that are there, share = weight / sum of their weights. "
    "weight is beside_opinions where one of them has opinion > 0, alone where none has"
)
SENTIMENT = "sentiment, to be cut off at -3 and 3"
PROBABILITY = "probabilities of the classes; sentiment = sum(p * weight * valence) / sum(p * weight)"


def write_programs(ready: Ready, folder: Path) -> dict[str, float]:
    """Write the folder above, and say how far each program's scores are from its model's.

    Args:
        ready: the model; its checkpoints are here.
        folder: where to; it is there and empty.

    Returns:
        By stream the largest difference, in points of sentiment.

    Raises:
        UserError: the packages of the extra `export` are missing, or a program gives other scores.
    """
    differences, entries, inside = {}, {}, []
    for name, facts in ready.streams.items():
        print(f"tracing {name_stream(name)}: a minute or two", flush=True)
        source, place = ready.folder / facts.folder, folder / facts.folder
        network, config, known = load_model(source)
        if list_streams(config.model) != [name]:
            raise UserError(f"{source} does not read {name} alone; get the folder again")
        make_folder(place)
        differences[name] = write_program(
            place, network, config, known, ready.settings.faces.size, read_sentiment(known.classes, facts)
        )
        print(f"{facts.folder}/{PROGRAM}: scores differ by {differences[name]:.1g} at most", flush=True)
        if (source / CARD).is_file():
            write_atomic(place / CARD, read_bounded(source / CARD, CARD_BYTES))
        inputs, most = list_inputs(place / PROGRAM), list_longest(network).get(name)
        entries[name] = describe_program(ready, name, known.classes, inputs, most)
        inside += [base["checkpoint"] for base in read_bases(source / BASE).values()]
    card = write_ready_card(replace(ready, bases=list(dict.fromkeys(inside))), as_programs=True)
    write_atomic(folder / CARD, card.encode())
    write_atomic(folder / STREAMS, (json.dumps(describe_streams(ready, entries), indent=1) + "\n").encode())
    return differences


def read_sentiment(classes: Sequence[str], facts: StreamFacts) -> Read | None:
    """What makes sentiment of a program's scores; None where they are that already."""
    if not classes:
        return None
    return partial(score_classes, classes=list(classes), valence=facts.valence, weight=facts.weight)


def list_inputs(program: Path) -> dict[str, dict[str, Any]]:
    """Name → type and axes of what a program reads."""
    from onnxruntime import InferenceSession  # here: it is of an extra

    given = InferenceSession(program, providers=["CPUExecutionProvider"]).get_inputs()
    return {one.name: {"type": one.type, "shape": one.shape} for one in given}


def describe_program(
    ready: Ready,
    name: str,
    classes: Sequence[str],
    inputs: dict[str, dict[str, Any]],
    most_rows: int | None = None,
) -> dict[str, Any]:
    """A stream's entry in `streams.json`."""
    facts = ready.streams[name]
    return {
        "program": f"{facts.folder}/{PROGRAM}",
        "inputs": inputs,
        **describe_source(ready, name, bool(classes)),
        "most_rows": most_rows,
        "score": PROBABILITY if classes else SENTIMENT,
        "classes": [
            {"name": one, "valence": facts.valence.get(one) or 0.0, "weight": facts.weight.get(one, 0.0)}
            for one in classes
        ],
        "opinion": facts.opinion,
        "error": facts.sd,
        "half_width": facts.half_width,
        "weight": {"beside_opinions": facts.opinion / facts.sd**2, "alone": 1 / facts.sd**2},
        "learned_from": facts.data,
        "error_from": facts.tried_on,
        "terms": facts.terms,
    }


def describe_source(ready: Ready, name: str, has_classes: bool) -> dict[str, Any]:
    """What the rows of a stream are, how many there are in a second, and how a window of them is given."""
    kind = find_stream(name).kind
    if kind == "waveform":
        return {"rows": "samples of a window's sound, mono, -1 to 1", "rate_hz": SAMPLE_RATE}
    if kind == "words":
        told = "token numbers of a window's words, in lower case, with the marks at both ends"
        folder = ready.streams[name].folder
        return {"rows": told, "tokenizer": f"{folder}/{TOKENIZER}", "language": ready.language}
    faces, single = ready.settings.faces, "; each is a clip of its own, the window has their mean sentiment"
    return {
        "rows": f"RGB pictures of the face{single if has_classes else ''}",
        "rate_hz": faces.rate,
        "side_px": faces.size,
        "grey": ready.streams[name].grey,  # three equal channels, of 0.299 R + 0.587 G + 0.114 B, rounded
    }


def describe_streams(ready: Ready, entries: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The content of `streams.json`."""
    shortest, usual, longest = ready.seconds
    return {
        "format": FORMAT_VERSION,
        "name": ready.name,
        "range": [-REACH, REACH],
        "window_s": {"shortest": shortest, "usual": usual, "longest": longest},
        "combine": COMBINE,
        "streams": entries,
    }
