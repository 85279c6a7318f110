"""Models by name.

`model(batch) -> Prediction`; every model is built from its config and the column counts of its token streams,
and carries the train split's statistics in its buffers. torch is imported when a model is built: to list the
streams of a recipe, its settings are enough.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from mosi_e2e.data.streams import check_streams, find_stream
from mosi_e2e.models.config import ModelConfig
from preprocessing.errors import UserError

if TYPE_CHECKING:
    from torch import nn

MODELS = {
    "crossmodal": "crossmodal.CrossModalTransformer",
    "late_fusion": "late_fusion.LateFusion",
}


def list_streams(config: ModelConfig) -> list[str]:
    """The streams that the chosen model reads.

    Raises:
        UserError: unknown model, or a stream that does not exist or that the model cannot read.
    """
    if config.name not in MODELS:
        raise UserError(
            f"model.name is one of {', '.join(MODELS)}, but got '{config.name}'; type model.name=crossmodal"
        )
    section = getattr(config, config.name)
    streams = check_streams(section.streams, section.tokens)
    foreign = [name for name in streams if find_stream(name).has_section and not hasattr(section, name)]
    if foreign:
        raise UserError(
            f"{config.name} cannot read {', '.join(foreign)}; remove it from model.{config.name}.streams"
        )
    return streams


def build_model(config: ModelConfig, columns: Mapping[str, list[str]], n_outputs: int = 1) -> "nn.Module":
    """Build the chosen model.

    Args:
        config: name and section.
        columns: names of the columns of each token stream, as the cache has them.
        n_outputs: numbers that are predicted of a clip: 1, or one for each class.
    """
    from mosi_e2e.models.dropout import drop_by_clip

    list_streams(config)
    module, name = MODELS[config.name].split(".")
    model_class = getattr(import_module(f"{__name__}.{module}"), name)
    n_columns = {stream: len(names) for stream, names in columns.items()}
    model = model_class(getattr(config, config.name), n_columns, n_outputs)
    drop_by_clip(model)
    return model


def set_statistics(model: "nn.Module", stats: Mapping[str, Mapping[str, list[float]]]) -> None:
    """Give every token encoder the train split's mean and standard deviation.

    Args:
        model: with `encoders` by stream.
        stats: `ClipStore.stats`, by cache key.
    """
    import torch

    for name, encoder in model.encoders.items():
        if find_stream(name).kind != "tokens":
            continue
        key = find_stream(name).key
        if key not in stats:
            raise UserError(
                f"the cache has no train statistics for '{name}' (no usable train clip); preprocess some"
            )
        encoder.set_statistics(torch.tensor(stats[key]["mean"]), torch.tensor(stats[key]["std"]))


def list_readers(model: "nn.Module") -> dict[str, Callable]:
    """Per stream of words, what turns a clip's words into values of its encoder."""
    return {name: one.read_words() for name, one in model.encoders.items() if hasattr(one, "read_words")}
