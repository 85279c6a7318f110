"""Loading of text models and their tokenizers, pretrained or random."""

import difflib
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedConfig, PreTrainedModel

from mosi_e2e.hub_access import check_reachable
from mosi_e2e.models.encoders.pretrained import LIBRARY_ERRORS, check_pointers
from mosi_e2e.models.encoders.text import FAMILIES
from preprocessing.errors import UserError

SECTION = "model.NAME.words"
# Dropout of attention weights is drawn for a batch, where all other dropout is drawn for each clip
# (`mosi_e2e.models.dropout`), and costs the fused kernel.
NOTES = {"model_type", "architectures", "transformers_version", "dtype"}  # of a config, no settings
SWITCHED_OFF = {"attention_probs_dropout_prob": 0.0, "attention_dropout": 0.0}


def load_text_model(model: str, pretrained: bool, kwargs: dict[str, Any]) -> PreTrainedModel:
    """The transformers model, in float32 and without a task head or pooler.

    Args:
        model: hub name or local folder of a checkpoint; with `pretrained=False` one of `FAMILIES`.
        pretrained: False gives random weights.
        kwargs: entries of the transformers config to set.

    Raises:
        UserError: no such checkpoint, one of another family, or one that lacks a part of the model.
    """
    settings = read_settings(model, pretrained, kwargs)
    try:
        if not pretrained:
            return drop_pooler(AutoModel.from_config(settings))
        network, report = AutoModel.from_pretrained(
            model, config=settings, dtype=torch.float32, output_loading_info=True
        )
    except LIBRARY_ERRORS as error:
        raise UserError(explain(model, error)) from error
    missing = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    if missing:
        raise UserError(
            f"a checkpoint must hold the whole model; {model!r} lacks {len(missing)} tensors, {missing[0]} "
            f"first; name a complete one, or set {SECTION}.pretrained=false"
        )
    return drop_pooler(network)


def drop_pooler(network: PreTrainedModel) -> PreTrainedModel:
    """The network without the layer that makes one vector of a text: tokens are what is used."""
    if hasattr(network, "pooler"):
        network.pooler = None
    return network


def read_tokenizer(model: str) -> bytes:
    """The tokenizer of a checkpoint as JSON.

    Raises:
        UserError: it has none that the library `tokenizers` knows.
    """
    try:
        return AutoTokenizer.from_pretrained(model).backend_tokenizer.to_str().encode()
    except LIBRARY_ERRORS as error:
        found = " ".join(str(error).split())[:200]
        raise UserError(
            f"{model} has no readable tokenizer.json ({found}): name a checkpoint with one"
        ) from error


def list_settings(settings: PreTrainedConfig) -> dict[str, Any]:
    """The `kwargs` that give these settings to a bare family: those that differ from its defaults."""
    known = type(settings)().to_dict().keys() - SWITCHED_OFF.keys() - NOTES
    return {name: value for name, value in settings.to_diff_dict().items() if name in known}


def read_settings(model: str, pretrained: bool, kwargs: dict[str, Any]) -> PreTrainedConfig:
    """The transformers config of a checkpoint or of a bare family, with `kwargs` set."""
    if model in FAMILIES and pretrained:
        raise UserError(
            f"a family has no weights: {SECTION}.model={model!r} needs {SECTION}.pretrained=false, or name a "
            "checkpoint, such as sentence-transformers/all-MiniLM-L6-v2"
        )
    if Path(model).is_dir():
        check_pointers(Path(model))
    elif model not in FAMILIES and model.count("/") <= 1 and not Path(model).is_absolute():
        check_reachable(f"{SECTION}.model=FOLDER", model, ("config.json",))
    try:
        settings = AutoConfig.for_model(model) if model in FAMILIES else AutoConfig.from_pretrained(model)
    except LIBRARY_ERRORS as error:
        raise UserError(explain(model, error)) from error
    if settings.model_type not in FAMILIES:
        raise UserError(
            f"{SECTION}.model is one of {', '.join(FAMILIES)}; {model!r} is a {settings.model_type}"
        )
    known = type(settings)().to_dict().keys()
    for name in kwargs:
        if name not in known or name in SWITCHED_OFF:
            near = difflib.get_close_matches(name, known - SWITCHED_OFF.keys(), n=1)
            advice = f"; did you mean {near[0]}?" if near and name not in SWITCHED_OFF else "; remove it"
            raise UserError(
                f"{SECTION}.kwargs sets entries of {type(settings).__name__}; found {name!r}{advice}"
            )
    return type(settings).from_dict({**settings.to_dict(), **kwargs, **SWITCHED_OFF})


def explain(model: str, error: Exception) -> str:
    """One line of what transformers found wrong, and what to type instead."""
    found = " ".join(str(error).split())[:300]
    return (
        f"{SECTION}.model={model!r} could not be loaded: {found}; give a hub name (connected, once), a local "
        "folder (`python -m mosi_e2e.weights get all-MiniLM-L6-v2` makes one), or with "
        f"{SECTION}.pretrained=false one of {', '.join(FAMILIES)}"
    )
