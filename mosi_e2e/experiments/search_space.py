"""What a search is made of: the schema of `configs/search.yaml`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from preprocessing.errors import UserError

if TYPE_CHECKING:
    from optuna import Trial


@dataclass(frozen=True)
class RangeConfig:
    """What one setting may be: numbers from `low` to `high`, or one of `choices`.

    Attributes:
        low, high: bounds, both included.
        log: drawn evenly on a logarithmic scale.
        whole: whole numbers only.
        choices: values instead of bounds.
    """

    low: float | None = None
    high: float | None = None
    log: bool = False
    whole: bool = False
    choices: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class SearchConfig:
    """A search.

    Attributes:
        base: recipe.
        out: folder of the trials (`trial<k>`), of their record and of the best recipe.
        set: settings `a.b=c` of all trials.
        trials: how many in all; a search that is started again goes on to this number.
        seeds: each trial is the mean over runs with these seeds, so that luck is not chosen.
        launch: words for `accelerate launch`.
        space: setting → range.
    """

    base: str = "configs/crossmodal.yaml"
    out: str = "runs/search"
    set: list[str] = field(default_factory=list)
    trials: int = 30
    seeds: list[int] = field(default_factory=lambda: [0])
    launch: list[str] = field(default_factory=list)
    space: dict[str, RangeConfig] = field(default_factory=dict)


def propose(trial: "Trial", name: str, given: RangeConfig) -> Any:
    """One value out of a range.

    Raises:
        UserError: the range has neither bounds nor choices.
    """
    if given.choices:
        return trial.suggest_categorical(name, given.choices)
    if given.low is None or given.high is None:
        raise UserError(f"space.{name} needs low and high, or choices")
    if given.whole:
        return trial.suggest_int(name, int(given.low), int(given.high), log=given.log)
    return trial.suggest_float(name, given.low, given.high, log=given.log)
