"""The model folder: all that others need to use a trained model, and to judge it.

model/
├── README.md            model card: data, scores with intervals and floors, limits, licences, provenance
├── model.safetensors    weights, and the train split's statistics
├── config.yaml          settings of the run; encoders are rebuilt from it, without the hub
├── facts.json           what the model must know of its cache: columns, how each stage was made, train labels
├── preprocessing.yaml   settings that make such a cache of other clips: python -m preprocessing --config ...
├── features.json        per token stream: name, mean and standard deviation of each column
├── config.json          the model in a few words, for the hub
├── environment.json     command, commit and packages of the run, recipes of the cache
├── metrics_<split>.json scores of each split that was scored
└── calibration.json     errors on held-out clips, for the interval around a new score

A run folder holds the same in other places, and is read the same way. `model.onnx` may lie beside.
"""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import UndefinedError
from torch import nn

from mosi_e2e.config import RunConfig
from mosi_e2e.data.streams import find_stream
from mosi_e2e.export.card import read_environment, tabulate_scores, write_card
from mosi_e2e.models import list_streams
from mosi_e2e.runs import calibration
from mosi_e2e.runs.checkpoint import WEIGHTS, CacheFacts, check_run, load_model, save_model
from preprocessing.cache.store import write_atomic
from preprocessing.errors import UserError
from preprocessing.settings import dump_config, load_config
from preprocessing.stages.recipes import read_settings
from preprocessing.untrusted.plain_text import parse_json, read_bounded
from preprocessing.untrusted.schema import check_values

FORMAT_VERSION = 1
SCORES = ("metrics_train.json", "metrics_valid.json", "metrics_test.json", calibration.NAME)
RECORDS = ("README.md", "environment.json", *SCORES)
DERIVED = ("preprocessing.yaml", "features.json", "config.json")
FILES = (WEIGHTS, "config.yaml", "facts.json", *RECORDS, *DERIVED)
RECORD_BYTES = 4 * 1024 * 1024  # they have some kB
FOLDERS = re.compile(r"(?:~|\.\.|[A-Za-z]:)?[/\\](?:[^/\\=,\s]+[/\\])+")  # those of an absolute path

# What records end with that are JSON of something else, or lack what the card shows of them.
OTHER_CONTENT = (AttributeError, KeyError, TypeError, ValueError, UndefinedError)


@dataclass(frozen=True)
class TrainedModel:
    """A model and what is known of it.

    Attributes:
        network: in eval mode.
        config: of its run.
        facts: what it knows of the cache that it was trained on.
        records: the files of `RECORDS` that there are.
    """

    network: nn.Module
    config: RunConfig
    facts: CacheFacts
    records: dict[str, bytes]


def read_folder(path: Path) -> TrainedModel:
    """Read a run folder, its `best/`, or a model folder.

    Raises:
        UserError: there is no model, or a file of it is damaged or does not fit the others.
    """
    if (path / WEIGHTS).is_file() and path.name == "best" and (path.parent / "environment.json").is_file():
        path = path.parent
    try:
        return _read_model_folder(path) if (path / WEIGHTS).is_file() else _read_run(path)
    except OTHER_CONTENT as error:
        raise UserError(
            f"{path}: one of {', '.join(RECORDS[1:])} is damaged or of another program ({error!a:.100}); "
            "remove it, or get the folder again from where it came"
        ) from error


def _read_model_folder(path: Path) -> TrainedModel:
    network, config, facts = load_model(path)
    records = _read_records(path, RECORDS)
    records.setdefault("README.md", write_card(config, config, facts, records).encode())
    return TrainedModel(network, config, facts, records)


def _read_run(path: Path) -> TrainedModel:
    check_run(path)
    network, config, facts = load_model(path / "best")
    config = dataclasses.replace(
        config,
        out=hide_folders(config.out),
        start=hide_folders(config.start),
        data=dataclasses.replace(config.data, cache=hide_folders(config.data.cache)),
    )
    records = _read_records(path, RECORDS[1:])
    if errors := calibration.recover(path, config.task):
        records[calibration.NAME] = errors
    if "environment.json" in records:
        records["environment.json"] = clean_environment(records["environment.json"])
    trained = load_config(RunConfig, path / "config.yaml") if (path / "config.yaml").is_file() else config
    records["README.md"] = write_card(config, trained, facts, records).encode()
    return TrainedModel(network, config, facts, records)


def _read_records(path: Path, names: Sequence[str]) -> dict[str, bytes]:
    """The files of `names` that there are, each what its ending says."""
    records = {name: read_bounded(path / name, RECORD_BYTES) for name in names if (path / name).is_file()}
    for name, content in records.items():
        if name.endswith(".json"):
            check_record(name, parse_json(content, str(path / name)))
        else:
            content.decode()
    return records


def check_record(name: str, content: Mapping[str, Any]) -> None:
    """Refuse a record that lacks what the card and the predictor show of it.

    Raises:
        KeyError, TypeError, ValueError: what it lacks, or what is of another type.
    """
    if name == "environment.json":
        read_environment({name: json.dumps(content).encode()})
    elif name == calibration.NAME:
        for entry in content.values():
            check_values(list[list[float]], entry["errors"])
            check_values(str, entry["clips"])
    else:
        tabulate_scores(content)


def write_folder(folder: Path, trained: TrainedModel) -> None:
    """Write a model folder; files of it that are there are replaced."""
    network, config, facts = trained.network, trained.config, trained.facts
    for name, content in trained.records.items():
        write_atomic(folder / name, content)
    if not any("rules" in entry for entry in facts.stages.values()):  # features that others have computed
        settings = read_settings(facts.settings, facts.stages)
        write_atomic(folder / "preprocessing.yaml", dump_config(settings).encode())
    about = {
        "library": "mosi_e2e",
        "format": FORMAT_VERSION,
        "architecture": config.model.name,
        "task": config.task,
        "streams": list_streams(config.model),
    }
    _write_json(folder / "config.json", about)
    _write_json(folder / "features.json", list_features(network, facts))
    save_model(folder, network, config, facts)


def list_features(network: nn.Module, facts: CacheFacts) -> dict[str, list[dict]]:
    """Per token stream its columns, in order, with the statistics by which the model standardises them."""
    features = {}
    for name, columns in facts.columns.items():
        encoder = network.encoders[name]
        statistics = zip(columns, encoder.mean.tolist(), encoder.std.tolist(), strict=True)
        features[name] = [
            {"name": column, "mean": mean, "std": deviation} for column, mean, deviation in statistics
        ]
        assert find_stream(name).kind == "tokens"
    return features


def clean_environment(content: bytes) -> bytes:
    """A run's environment without the folders of the machine it ran on, which are nobody's business."""
    known = json.loads(content)
    program, *words = known["command"]
    words = [hide_folders(word) for word in words]
    if words and words[0].endswith(".py"):  # `python -m` shows the module as its file
        words[0] = words[0].removesuffix(".py").removesuffix("/__main__")
    known["command"] = [Path(program).name, *words]
    known["cache"]["path"] = hide_folders(known["cache"]["path"])
    return (json.dumps(known, indent=1) + "\n").encode()


def hide_folders(text: str) -> str:
    """Absolute paths in a word of a command, without the folders they lie in."""
    return FOLDERS.sub("", text)


def _write_json(path: Path, content: object) -> None:
    write_atomic(path, (json.dumps(content, indent=1) + "\n").encode())
