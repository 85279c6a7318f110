"""The trained models of a prediction, and whether they can read a new video."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mosi_e2e.config import RunConfig
from mosi_e2e.data.streams import find_stream, known_streams
from mosi_e2e.models import list_streams
from mosi_e2e.predict.evidence import Evidence, read_evidence
from mosi_e2e.predict.scoring import Scorer
from mosi_e2e.runs import calibration
from mosi_e2e.runs.checkpoint import WEIGHTS, CacheFacts, load_model
from preprocessing.config import PreprocessConfig
from preprocessing.errors import UserError
from preprocessing.stages import find_stage
from preprocessing.stages.recipes import read_settings


@dataclass(frozen=True)
class Member:
    """One run's model."""

    scorer: Scorer
    config: RunConfig
    facts: CacheFacts
    name: str
    evidence: Evidence


def open_member(path: Path) -> Member:
    """The model of a run folder, or of a folder such as its `best/`."""
    folder = path if (path / WEIGHTS).is_file() else path / "best"
    model, config, facts = load_model(folder)
    run = folder.parent if folder.name == "best" else folder
    try:
        evidence = read_evidence(read_records(run, config.task), config.task)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{run}: its metrics, predictions or calibration.json are damaged ({error!a:.100}); type "
            f"again: python -m mosi_e2e.evaluate {run} --split test"
        ) from error
    return Member(Scorer(model, config.task, list_streams(config.model)), config, facts, run.name, evidence)


def read_records(run: Path, task: str) -> dict[str, bytes]:
    """The files that say how good a run's model is."""
    names = [f"metrics_{split}.json" for split in calibration.SPLITS]
    records = {name: (run / name).read_bytes() for name in names if (run / name).is_file()}
    errors = calibration.recover(run, task)
    return records | ({calibration.NAME: errors} if errors else {})


def find_settings(facts: CacheFacts, streams: Sequence[str]) -> PreprocessConfig:
    """The settings by which a new video is treated as the training clips were.

    Raises:
        UserError: nothing in this program makes such a stream out of a video.
    """
    lacking = {find_stream(name).stage for name in streams} - facts.stages.keys()
    imported = [
        name
        for name in streams
        if find_stream(name).kind != "words"  # which `recognising` hears
        and (name not in known_streams() or "rules" in facts.stages.get(find_stream(name).stage, {}))
    ]
    if imported:
        raise UserError(
            f"the model reads imported features ({', '.join(imported)}), and how they were made of "
            "a video is not known here; train one on a cache that python -m preprocessing made of raw clips"
        )
    if lacking:
        raise UserError(
            f"the model does not say how its cache's {', '.join(sorted(lacking))} were made; train it again "
            "with this version: accelerate launch -m mosi_e2e.train"
        )
    config = read_settings(facts.settings, facts.stages)
    for name in streams:
        if obstacle := find_stage(find_stream(name).stage).obstacle(config):
            raise UserError(f"the model reads {obstacle}")
    return config


def check_alike(one: Member, other: Member) -> None:
    """Refuse runs whose scores cannot be averaged."""
    same = (
        one.scorer.streams == other.scorer.streams
        and one.config.task == other.config.task
        and one.facts.classes == other.facts.classes
        and one.facts.stages == other.facts.stages
    )
    if not same:
        raise UserError(
            f"several runs must read the same streams of the same cache for the same task, but {one.name} "
            f"and {other.name} do not; give runs of one recipe with other seeds"
        )
