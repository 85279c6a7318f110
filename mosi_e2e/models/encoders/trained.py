"""Encoders of trained models of this program as the beginning of others: pictures first, then videos."""

from dataclasses import fields, replace
from pathlib import Path
from typing import TypeVar

from torch import nn

from mosi_e2e.data.streams import find_stream
from preprocessing.errors import UserError

Settings = TypeVar("Settings")  # `FaceConfig`, `SpeechConfig` or `TextConfig`
# What the new model decides; the rest is a matter of the network, and comes with its weights.
CHOSEN = ("freeze", "last_n", "freeze_stem", "gradient_checkpointing", "layers")


def find_run(stream: str, config: object) -> Path | None:
    """Where in a run or model folder that an encoder's config names the weights lie; None of other models."""
    if not find_stream(stream).pretrained or not getattr(config, "model", ""):
        return None
    folder = Path(config.model)
    for place in (folder / "best", folder):
        if (place / "facts.json").is_file() and (place / "model.safetensors").is_file():
            return place
    return None


def check_alone(stream: str, config: object) -> None:
    """Refuse settings of a network that comes with its own.

    Raises:
        UserError: names the first of them.
    """
    plain = type(config)()
    free = (*CHOSEN, "model", "image_size")
    odd = [
        one.name
        for one in fields(config)
        if one.name not in free and getattr(config, one.name) != getattr(plain, one.name)
    ]
    if odd:
        raise UserError(
            f"{stream}.model={config.model} is a trained model, which has its own {odd[0]}; leave out "
            f"model.crossmodal.{stream}.{odd[0]}"
        )


def merge_settings(stream: str, config: Settings, trained: nn.Module) -> Settings:
    """The settings of a trained encoder's network with what the new model decides.

    Raises:
        UserError: the new model sets a size that the network was not trained at.
    """
    size = getattr(config, "image_size", None)
    if size and (size, size) != tuple(trained.size):
        raise UserError(
            f"{stream}.image_size={size}, but {config.model} was trained at {trained.size[0]} pixels; set "
            "that, or leave it out"
        )
    own = {name: getattr(config, name) for name in CHOSEN if hasattr(config, name)}
    return replace(trained.standalone_config(), **own)


def load_trained(stream: str, config: object, run: Path) -> nn.Module:
    """The stream's encoder of a trained model.

    Raises:
        UserError: that model has none, or is damaged.
    """
    from mosi_e2e.runs.checkpoint import load_model  # here: it builds encoders, this one among them

    check_alone(stream, config)
    model, _, _ = load_model(run)
    if stream not in model.encoders:
        raise UserError(
            f"{stream}.model={config.model}: that model reads {', '.join(model.encoders)}, not {stream}; "
            f"name a run whose streams hold {stream}"
        )
    return model.encoders[stream]


def take_weights(encoder: nn.Module, trained: nn.Module) -> nn.Module:
    """Give a new encoder the weights of a trained one of the same network, and how it mixes its layers."""
    ours, theirs = encoder.state_dict(), trained.state_dict()
    encoder.load_state_dict(ours | {name: value for name, value in theirs.items() if name in ours})
    return encoder
