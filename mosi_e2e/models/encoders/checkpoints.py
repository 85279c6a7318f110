"""Checkpoints of transformers, pretrained or random: what the encoders of speech and of words share."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel

from preprocessing.errors import UserError
from preprocessing.pretrained.checkpoints import LIBRARY_ERRORS, check_pointers
from preprocessing.pretrained.hub_access import check_reachable

Settings = TypeVar("Settings")  # dataclass of an encoder


@dataclass(frozen=True)
class Kind:
    """What differs between the encoders.

    Attributes:
        section: their settings, as messages name them.
        folder: what to type for a local copy.
        families: model types of transformers that they know.
        switched_off: entries of the config that nobody may set.
        example: a checkpoint on the hub.
        spare: what the names of weights begin with that are not used.
    """

    section: str
    folder: str
    families: tuple[str, ...]
    switched_off: Mapping[str, Any]
    example: str
    spare: tuple[str, ...] = ()


def load_network(kind: Kind, model: str, pretrained: bool, kwargs: Mapping[str, Any]) -> PreTrainedModel:
    """The transformers model, in float32 and without a task head.

    Args:
        kind: of the encoder.
        model: hub name or local folder of a checkpoint; with `pretrained=False` also one of the families.
        pretrained: False gives random weights.
        kwargs: entries of the transformers config to set.

    Raises:
        UserError: no such checkpoint, one of another family, or one that lacks a part of the model.
    """
    settings = read_settings(kind, model, pretrained, kwargs)
    if not pretrained:
        return AutoModel.from_config(settings)
    try:
        # transformers would keep a checkpoint's half precision, which is too coarse to train in.
        network, report = AutoModel.from_pretrained(
            model, config=settings, dtype=torch.float32, output_loading_info=True
        )
    except LIBRARY_ERRORS as error:
        raise UserError(explain(kind, model, error)) from error
    missing = sorted(name for name in report["missing_keys"] if not name.startswith(kind.spare))
    if missing:
        raise UserError(
            f"a checkpoint must hold the whole model; {model!r} lacks {len(missing)} tensors, "
            f"{missing[0]} first; name a complete one, or set {kind.section}.pretrained=false"
        )
    return network


def read_settings(kind: Kind, model: str, pretrained: bool, kwargs: Mapping[str, Any]) -> PreTrainedConfig:
    """The transformers config of a checkpoint or of a bare family, with `kwargs` set; as `load_network`."""
    known, section = kind.families, kind.section
    if model in known and pretrained:
        raise UserError(
            f"a family has no weights: {section}.model={model!r} needs {section}.pretrained=false, "
            f"or name a checkpoint, such as {kind.example}"
        )
    if Path(model).is_dir():
        check_pointers(Path(model))
    elif model not in known and model.count("/") <= 1 and not Path(model).is_absolute():
        check_reachable(kind.folder, model, ("config.json",))
    try:
        settings = AutoConfig.for_model(model) if model in known else AutoConfig.from_pretrained(model)
    except LIBRARY_ERRORS as error:
        raise UserError(explain(kind, model, error)) from error
    if settings.model_type not in known:
        raise UserError(f"{section}.model is one of {', '.join(known)}; {model!r} is a {settings.model_type}")
    check_entries(kind, settings, kwargs)
    # A new config rather than new attributes: its constructor checks that the entries fit each other.
    return type(settings).from_dict({**settings.to_dict(), **kwargs, **kind.switched_off})


def check_entries(kind: Kind, settings: PreTrainedConfig, kwargs: Mapping[str, Any]) -> None:
    """Refuse entries that the config does not have, or that stay off."""
    known = type(settings)().to_dict().keys()
    for name in kwargs:
        if name in kind.switched_off:
            raise UserError(f"{kind.section}.kwargs may not set {name}, which stays off; remove it")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            advice = f"; did you mean {near[0]}?" if near else "; remove it"
            raise UserError(
                f"{kind.section}.kwargs sets entries of {type(settings).__name__}; found {name!r}{advice}"
            )


def stand_alone(kind: Kind, config: Settings, settings: PreTrainedConfig, **more: Any) -> Settings:
    """An encoder's config that rebuilds its network without hub or folder.

    Args:
        kind: of the encoder.
        config: with which it was built.
        settings: of its network; what differs from the family's defaults becomes `kwargs`.
        more: further entries to replace.
    """
    known = type(settings)().to_dict().keys() - kind.switched_off.keys() - {"model_type"}
    kwargs = {name: value for name, value in settings.to_diff_dict().items() if name in known}
    return replace(config, model=settings.model_type, pretrained=False, kwargs=kwargs, **more)


def explain(kind: Kind, model: str, error: Exception) -> str:
    """One line of what transformers found wrong, and what to type instead."""
    found = " ".join(str(error).split())[:300]
    return (
        f"{kind.section}.model={model!r} could not be loaded: {found}; give a hub name (connected, once), "
        f"a local folder, or with {kind.section}.pretrained=false one of {', '.join(kind.families)}"
    )
