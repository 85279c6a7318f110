"""The stages of the cache, each registered once.

A stage is an object (`base.Stage`): everything that the program knows of it stands there. One of your own is
a class in a file of your own, registered with `register_stage` and loaded by `preprocessing.plugins`.
"""

from preprocessing.config import PreprocessConfig
from preprocessing.errors import UserError
from preprocessing.plugins import load_plugins
from preprocessing.stages.base import PersonStage, SoundStage, Stage, StageResult
from preprocessing.stages.heard import Acoustics, Waveform
from preprocessing.stages.seen import Behaviour, Faces
from preprocessing.stages.spoken import Words
from preprocessing.untrusted.names import PLAIN

__all__ = ["PersonStage", "SoundStage", "Stage", "StageResult", "find_stage", "list_stages", "register_stage"]

_STAGES: dict[str, Stage] = {}
USUAL = PreprocessConfig()


def register_stage(stage: Stage) -> Stage:
    """Make a stage known, after those that it is made from.

    Raises:
        UserError: its name is no plain word or is taken, or a stage in `after` is not known.
    """
    if not PLAIN.fullmatch(stage.name) or stage.name in _STAGES:
        raise UserError(
            f"a stage's name is letters, digits and _, and not taken; got '{stage.name}': rename it"
        )
    lacking = [name for name in stage.after if name not in _STAGES]
    if lacking:
        raise UserError(f"stage '{stage.name}' comes after {', '.join(lacking)}: register that before it")
    _STAGES[stage.name] = stage
    return stage


def list_stages(config: PreprocessConfig | None = None) -> list[Stage]:
    """All stages, or those of a cache of these settings, each after those that it is made from."""
    load_plugins()
    return [stage for stage in _STAGES.values() if config is None or stage.wanted(config)]


def name_stages(config: PreprocessConfig = USUAL) -> tuple[str, ...]:
    """The stages of a cache of these settings: columns of its index, in this order."""
    return tuple(stage.name for stage in list_stages(config))


def find_stage(name: str) -> Stage:
    """The stage of a name.

    Raises:
        UserError: there is none.
    """
    known = {stage.name: stage for stage in list_stages()}
    if name not in known:
        raise UserError(f"there is no stage '{name}'; stages are {', '.join(known)}")
    return known[name]


for _stage in (Faces(), Waveform(), Behaviour(), Acoustics(), Words()):
    register_stage(_stage)
