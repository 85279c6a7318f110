"""The ready model's folder, made of trained runs: small model folders, and what their errors are."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mosi_e2e.config import RunConfig
from mosi_e2e.export.write import write_model
from mosi_e2e.models import list_streams
from mosi_e2e.predict.segments import TYPICAL
from mosi_e2e.ready.card import write_ready_card
from mosi_e2e.ready.combining import StreamFacts, balance_classes, score_classes
from mosi_e2e.ready.folder import NAME, Ready, write_ready
from mosi_e2e.ready.known import SOURCES, VALENCE, TrainingSource
from mosi_e2e.runs.checkpoint import CacheFacts, check_run, read_facts
from mosi_e2e.scores.metrics import score_regression
from mosi_e2e.scores.predictions import read_run_table
from mosi_e2e.weights.small import BASE, read_bases
from preprocessing.cache.store import write_atomic
from preprocessing.config import PreprocessConfig, WordsConfig
from preprocessing.errors import UserError, make_folder
from preprocessing.settings import load_config

LEVELS = (50, 60, 68, 70, 75, 80, 85, 90, 95)  # percent, of the intervals that are kept
REACH = 3.0
LEFT_OUT = ("calibration.json", "features.json", "preprocessing.yaml")  # combine.json says it for all streams
LANGUAGE = "en"
HEARS = "whisper-base"
PLACES = 4


def build_ready(
    runs: Mapping[str, Path],
    tables: Mapping[str, Sequence[Path]],
    out: Path,
    hears: str = HEARS,
    called: str = NAME,
) -> Ready:
    """Write the folder of the ready model.

    Args:
        runs: by stream the run folder, scored on valid.
        tables: by stream tables of valid predictions that the errors are taken from; without one that of
            the run.
        out: new folder.
        hears: checkpoint of the recogniser, if there are words.
        called: the model's name.

    Raises:
        UserError: a run reads other streams, or was not scored.
    """
    make_folder(out)
    streams, seconds = {}, list(TYPICAL)
    bases = [hears] if "words" in runs else []
    for name, run in runs.items():
        facts = read_run(name, run)
        paths = list(tables.get(name, ())) or [run / "predictions_valid.csv"]
        streams[name] = measure(name, run, facts, paths)
        write_model(run, out / name, onnx=False, small=True, half=True)
        strip(out / name)
        seconds = list(facts.train_seconds) or seconds if name == "words" else seconds
        bases += [entry["checkpoint"] for entry in read_bases(out / name / BASE).values()]
    words = WordsConfig("whisper", hears) if "words" in runs else WordsConfig()
    ready = Ready(
        out, streams, LANGUAGE, list(dict.fromkeys(bases)), seconds, PreprocessConfig(words=words), called
    )
    write_atomic(out / "README.md", write_ready_card(ready).encode())
    write_ready(ready)
    return ready


def read_run(name: str, run: Path) -> CacheFacts:
    """What a run's model knows of its cache.

    Raises:
        UserError: there is no trained model, or one of other streams.
    """
    check_run(run)
    config = load_config(RunConfig, run / "best" / "config.yaml")
    found = list_streams(config.model)
    if found != [name]:
        raise UserError(
            f"the model of {run} reads {', '.join(found)}, but that of this stream reads {name} alone; "
            "train one with its recipe in configs/ready/"
        )
    if config.task == "binary":
        raise UserError(
            f"{run} tells positive from negative only; train with task=regression or task=classes"
        )
    return read_facts(run / "best" / "facts.json", found)


def strip(folder: Path) -> None:
    """Leave out what belongs to others: the labels of the training clips, and errors clip by clip."""
    for name in LEFT_OUT:
        (folder / name).unlink(missing_ok=True)
    facts = json.loads((folder / "facts.json").read_text())
    write_atomic(folder / "facts.json", (json.dumps(facts | {"train_label": []}) + "\n").encode())


def measure(name: str, run: Path, facts: CacheFacts, tables: Sequence[Path]) -> StreamFacts:
    """Errors and scores of one stream on the scale of -3 to 3."""
    source = next(one for one in SOURCES.values() if one.stream == name)
    config = load_config(RunConfig, run / "config.yaml")
    weight = weigh_classes(facts, config.loss.balance) if facts.classes else {}
    known = [read_scores(path, facts.classes, weight) for path in tables]
    valid = pd.concat(known)
    error = (valid.label - valid.score).to_numpy()
    test = run / "predictions_test.csv"
    scores = describe(read_scores(test, facts.classes, weight)) if test.is_file() else {}
    return StreamFacts(
        folder=name,
        opinion=source.opinion,
        sd=round(float(np.sqrt((error**2).mean())), PLACES),
        half_width=find_half_widths(np.abs(error)),
        data=source.data,
        terms=source.terms,
        tried_on=say_tables(source, known),
        clips=len(known[0]),
        people=int(valid.video_id.nunique()),
        scores=scores,
        valence={one: VALENCE[one] for one in facts.classes},
        weight=weight,
        grey=source.grey,
    )


def weigh_classes(facts: CacheFacts, balanced: bool) -> dict[str, float]:
    """Weights of the classes (`balance_classes`), by how likely training took each to be.

    Raises:
        UserError: a class whose sentiment is not known.
    """
    lacking = [name for name in facts.classes if name not in VALENCE]
    if lacking:
        raise UserError(
            f"the sentiment of {', '.join(lacking)} is not known: rename the labels to {', '.join(VALENCE)}"
        )
    count = {name: facts.train_label.count(number) for number, name in enumerate(facts.classes)}
    total = 1.0 if balanced else max(sum(count.values()), 1)
    likely = {name: 1 / len(count) if balanced else count[name] / total for name in facts.classes}
    return balance_classes({name: VALENCE[name] for name in facts.classes}, likely)


def read_scores(path: Path, classes: Sequence[str], weight: Mapping[str, float]) -> pd.DataFrame:
    """Columns video_id, label and score of a prediction table; classes become sentiment.

    Raises:
        UserError: there is no such table.
    """
    if not path.is_file():
        raise UserError(f"there is no {path}; type: python -m mosi_e2e.evaluate RUN --split valid")
    table = read_run_table(path)
    if classes:
        probability = table[[f"p_{name}" for name in classes]].to_numpy()
        table = table.assign(
            score=score_classes(probability, list(classes), VALENCE, weight),
            label=[VALENCE.get(name, math.nan) for name in table.label],
        )
    table = table[pd.notna(table.label)]
    score = table.score.astype(float).clip(-REACH, REACH)
    return pd.DataFrame({"video_id": table.video_id, "label": table.label.astype(float), "score": score})


def find_half_widths(size: np.ndarray) -> dict[str, float]:
    """How far around a score its label lies at each level, by the absolute errors [n] (split conformal).

    >>> find_half_widths(np.arange(1.0, 11))["90"]
    10.0
    """
    ordered = np.sort(size)
    places = {level: math.ceil((len(size) + 1) * level / 100) - 1 for level in LEVELS}
    return {
        f"{level}": round(float(ordered[place]), PLACES)
        for level, place in places.items()
        if place < len(size)
    }


def describe(table: pd.DataFrame) -> dict[str, float | None]:
    """Metrics of sentiment on clips that were not used to choose anything."""
    found = score_regression(table.label, table.score)
    kept = {key: found[key] for key in ("mae", "corr", "acc2_non0")}
    signs = table[table.label != 0]
    pairs = np.subtract.outer(
        signs.score[signs.label > 0].to_numpy(), signs.score[signs.label < 0].to_numpy()
    )
    auc = float(((pairs > 0) + 0.5 * (pairs == 0)).mean()) if pairs.size else None
    rounded = {
        key: value if value is None else round(value, PLACES) for key, value in (kept | {"auc": auc}).items()
    }
    return {"clips": float(len(table)), "people": float(table.video_id.nunique()), **rounded}


def say_tables(source: TrainingSource, known: Sequence[pd.DataFrame]) -> str:
    """Which clips the errors come from, in words."""
    clips, people = len(known[0]), known[0].video_id.nunique()
    if source.opinion:
        by = f", as {len(known)} recognisers heard them" if len(known) > 1 else ""
        return f"the {clips} valid clips of {people} videos of {source.data[-1]}{by}"
    of = "pictures" if people == clips else f"clips of {people} people"
    return f"the {clips} valid {of} of {' and '.join(source.data)}"
