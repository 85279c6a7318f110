"""The weights that a run leaves on disk, which stand alone."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from mosi_e2e.config import TASKS, RunConfig
from mosi_e2e.data.streams import find_stream
from mosi_e2e.models import list_streams
from mosi_e2e.models.config import ModelConfig
from mosi_e2e.models.rebuild import rebuild_model
from mosi_e2e.tensors import write_tensors
from preprocessing.cache.store import ClipStore, write_atomic
from preprocessing.errors import UserError, make_folder
from preprocessing.settings import check_choice, dump_config, load_config
from preprocessing.untrusted.plain_text import read_json
from preprocessing.untrusted.schema import WrongValueError, check_values, list_infinite

WEIGHTS = "model.safetensors"


@dataclasses.dataclass(frozen=True)
class CacheFacts:
    """What a model must know of the cache it was trained on, to refuse another kind.

    Attributes:
        columns: per token stream, the names of its columns.
        train_label: labels of the train split, which the floors are computed from.
        synthetic: whether the clips were generated.
        stages: how each cache stage was made: `meta.json`'s entries without their keys.
        settings: all options of preprocessing, so that a new video is treated as the clips were
            (`preprocessing.stages.recipes.read_settings`). Empty where the cache holds imported features.
        train_seconds: the 5th, 50th and 95th percentile of the train clips' durations: a long video is
            looked at in pieces of that kind. Empty where it is not known.
        classes: names of the classes, in the order of their numbers; of the task `classes` alone.
    """

    columns: dict[str, list[str]]
    train_label: list[float]
    synthetic: bool
    stages: dict[str, dict] = dataclasses.field(default_factory=dict)
    settings: dict[str, dict] = dataclasses.field(default_factory=dict)
    train_seconds: list[float] = dataclasses.field(default_factory=list)
    classes: list[str] = dataclasses.field(default_factory=list)

    @property
    def n_outputs(self) -> int:
        """Numbers that the model gives for a clip."""
        return len(self.classes) or 1


def read_columns(store: ClipStore, streams: list[str]) -> dict[str, list[str]]:
    """Column names of the token streams among `streams`."""
    tokens = {name: find_stream(name) for name in streams if find_stream(name).kind == "tokens"}
    return {name: store.columns(source.stage, source.key) for name, source in tokens.items()}


def check_columns(facts: CacheFacts, store: ClipStore) -> None:
    """Refuse a cache whose token streams are not those the model was trained on.

    Raises:
        UserError: names the stream and the first columns that differ.
    """
    for name, names in facts.columns.items():
        source = find_stream(name)
        found = store.columns(source.stage, source.key)
        if found != names:
            odd = next((a, b) for a, b in zip([*names, None], [*found, None], strict=False) if a != b)
            raise UserError(
                f"the model reads {len(names)} {name} columns, {store.root} has {len(found)} "
                f"(first difference: '{odd[0]}' against '{odd[1]}'); "
                "preprocess with the same behaviour.backend"
            )


def save_model(
    folder: Path,
    model: nn.Module,
    config: RunConfig,
    facts: CacheFacts,
    weights: Mapping[str, Tensor] | None = None,
) -> None:
    """Write weights, config and facts so that `load_model` needs nothing else, no hub either.

    The folder's weights are replaced last: a crash leaves the former best complete.

    Args:
        folder: where to.
        model: which one; its own `state_dict()` is stored unless `weights` are given.
        config, facts: of its run.
        weights: all weights, where the model at hand has only its process's share of them.
    """
    weights = model.state_dict() if weights is None else weights
    make_folder(folder)
    plain = dataclasses.replace(config, model=standalone_config(config.model, model))
    write_atomic(folder / "config.yaml", dump_config(plain).encode())
    write_atomic(folder / "facts.json", json.dumps(dataclasses.asdict(facts)).encode())
    write_tensors(folder / WEIGHTS, weights)


def standalone_config(config: ModelConfig, model: nn.Module) -> ModelConfig:
    """The model's config with encoders that need neither hub nor file to be rebuilt."""
    section = getattr(config, config.name)
    alone = {name: encoder.standalone_config() for name, encoder in model.encoders.items()}
    own = {name: one for name, one in alone.items() if find_stream(name).has_section}
    tokens = section.tokens | {name: one for name, one in alone.items() if name not in own}
    return dataclasses.replace(config, **{config.name: dataclasses.replace(section, tokens=tokens, **own)})


def check_run(path: Path) -> None:
    """Refuse what holds no trained model, and say what to type."""
    if not path.is_dir():
        near = sorted(str(run) for run in path.parent.glob("*") if (run / "best" / WEIGHTS).is_file())
        raise UserError(
            f"there is no run {path}; "
            + (
                f"type one of: {', '.join(near)}"
                if near
                else "train one: accelerate launch -m mosi_e2e.train --config configs/sample_late_fusion.yaml"
            )
        )
    if not (path / "best" / WEIGHTS).is_file():
        runs = sorted(str(run) for run in path.glob("*") if (run / "best" / WEIGHTS).is_file())
        raise UserError(
            f"{path} has no best/{WEIGHTS}, so there is no trained model in it; "
            + (
                f"type one of the runs in it: {', '.join(runs)}"
                if runs
                else "let the run end its first epoch: accelerate launch -m mosi_e2e.train --config "
                f"{path}/config.yaml --resume"
                if (path / "config.yaml").is_file()
                else "name a run folder (runs/NAME), a model folder or, where one is to be predicted, a video"
            )
        )


def load_model(folder: Path) -> tuple[nn.Module, RunConfig, CacheFacts]:
    """Rebuild a saved model, in eval mode.

    Raises:
        UserError: there is none, or its files are damaged or do not belong together.
    """
    if not (folder / WEIGHTS).is_file():
        raise UserError(
            f"{folder} holds no trained model ({WEIGHTS}); train one: accelerate launch -m mosi_e2e.train "
            "--config configs/sample_late_fusion.yaml"
        )
    if (folder / "base.json").is_file():
        from mosi_e2e.weights.small import expand_folder  # here, since it builds encoders

        folder = expand_folder(folder)
    config = load_config(RunConfig, folder / "config.yaml")
    check_choice("task", config.task, TASKS)
    facts = read_facts(folder / "facts.json", list_streams(config.model))
    if (config.task == "classes") != bool(facts.classes):
        raise UserError(
            f"{folder}: task={config.task} in config.yaml does not fit the classes in facts.json "
            f"({len(facts.classes)}); get both again from where they came"
        )
    model = rebuild_model(config.model, facts.columns, folder / WEIGHTS, facts.n_outputs)
    return model, config, facts


def begin_with(model: nn.Module, folder: Path) -> None:
    """Give a new model the weights of a trained one of the same form.

    Args:
        model: just built.
        folder: run or model folder.

    Raises:
        UserError: there is no model, or one of another form.
    """
    trained, _, _ = load_model(folder / "best" if (folder / "best").is_dir() else folder)
    try:
        model.load_state_dict(trained.state_dict())
    except RuntimeError as error:
        found = str(error).splitlines()[1].strip()[:160]
        raise UserError(
            f"start={folder}: its weights do not fit this model ({found}); use the same model settings, or "
            "leave start empty"
        ) from error


def read_facts(path: Path, streams: list[str]) -> CacheFacts:
    """What a model knows of its cache, for a model of these streams.

    Raises:
        UserError: the file is missing or damaged, or of a model of other streams.
    """
    tokens = {name for name in streams if find_stream(name).kind == "tokens"}
    try:
        values = check_values(CacheFacts, read_json(path))
        if next(list_infinite(values), None) or values["columns"].keys() != tokens:
            raise KeyError("columns")
        return CacheFacts(**values)
    except (WrongValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} does not fit the config.yaml beside it, or is damaged ({error}); get both again from "
            "where they came"
        ) from error


def cache_facts(
    store: ClipStore, config: ModelConfig, train_label, classes: Sequence[str] = ()
) -> CacheFacts:
    """What is kept of the cache beside the weights."""
    columns = read_columns(store, list_streams(config))
    stages = {
        name: {key: value for key, value in entry.items() if key != "keys"}
        for name, entry in store.meta["stages"].items()
    }
    seconds = store.index[store.index.split == "train"].duration_s.dropna()
    lengths = [round(float(length), 3) for length in seconds.quantile([0.05, 0.5, 0.95]).dropna()]
    labels = [float(value) for value in train_label]
    settings = store.meta.get("settings", {})
    return CacheFacts(columns, labels, store.synthetic, stages, settings, lengths, list(classes))


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """All and trainable parameters."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(n for n, _ in sizes), sum(n for n, trains in sizes if trains)
