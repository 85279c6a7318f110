"""The folder of the ready model, read and found.

models/ready/, and models/fast/, which is smaller
├── README.md            what each stream learned from, how good it is, limits, terms
├── combine.json         how a video is treated and how the streams are combined, with their errors
└── <stream>/            a small model folder each (`python -m mosi_e2e.export --small`)

An entry of `combine.json` per stream is a `combining.StreamFacts`.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from mosi_e2e.ready.combining import StreamFacts
from preprocessing.cache.store import write_atomic
from preprocessing.config import PreprocessConfig
from preprocessing.errors import UserError
from preprocessing.stages.recipes import describe_settings, read_settings
from preprocessing.untrusted.names import PLAIN
from preprocessing.untrusted.plain_text import read_json
from preprocessing.untrusted.schema import WrongValueError, check_values

FORMAT_VERSION = 1
NAME, FAST = "ready", "fast"
COMBINE = "combine.json"
PLACE = Path(__file__).resolve().parents[2] / "models" / NAME  # in a checkout


@dataclass(frozen=True)
class Ready:
    """What `combine.json` says.

    Attributes:
        folder: that they lie in.
        streams: by name, as `mosi_e2e.data.streams` has them.
        language: that the words are understood in.
        bases: checkpoints of `mosi weights` that are needed.
        seconds: shortest, usual and longest window.
        settings: by which a video is treated.
        name: that the results and the card call it by.
    """

    folder: Path
    streams: dict[str, StreamFacts]
    language: str
    bases: list[str]
    seconds: list[float]
    settings: PreprocessConfig
    name: str = NAME


def is_ready(path: Path) -> bool:
    """Whether a folder is that of a ready model."""
    return (path / COMBINE).is_file()


def find_ready(fast: bool = False) -> Path:
    """The ready model that comes with the program, or the smaller one.

    Raises:
        UserError: it is not there, as in an installation without the repository.
    """
    name = FAST if fast else NAME
    here = Path("models") / name
    found = next((path for path in (here, PLACE.with_name(name) if fast else PLACE) if is_ready(path)), None)
    if found is None:
        raise UserError(
            f"there is no ready model in {here}; name a run (runs/NAME), or work in a clone of the "
            "repository, which has it"
        )
    return found


def read_ready(folder: Path) -> Ready:
    """The description of a ready model.

    Raises:
        UserError: it is damaged or of another version.
    """
    try:
        known = read_json(folder / COMBINE)
        if known.pop("format") != FORMAT_VERSION:
            raise KeyError("format")
        streams = {
            str(name): StreamFacts(**check_values(StreamFacts, entry))
            for name, entry in known["streams"].items()
        }
        if not streams or not all(one.sd > 0 and PLAIN.fullmatch(one.folder) for one in streams.values()):
            raise KeyError("streams")
        seconds = check_values(list[float], known["seconds"])
        bases = check_values(list[str], known["bases"])
        settings = read_settings(known["settings"], {})
        name = check_values(str, known.get("name", NAME))
        return Ready(folder, streams, str(known["language"]), bases, seconds, settings, name)
    except (AttributeError, KeyError, TypeError, WrongValueError) as error:
        raise UserError(
            f"{folder / COMBINE} is damaged or of another version ({error!a:.100}); get the folder again "
            "from where it came"
        ) from error


def write_ready(ready: Ready) -> None:
    """Write `combine.json`."""
    entries = {name: asdict(one) for name, one in ready.streams.items()}
    known = {
        "format": FORMAT_VERSION,
        "language": ready.language,
        "bases": ready.bases,
        "seconds": ready.seconds,
        "name": ready.name,
        "settings": describe_settings(ready.settings),
        "streams": entries,
    }
    write_atomic(ready.folder / COMBINE, (json.dumps(known, indent=1) + "\n").encode())
