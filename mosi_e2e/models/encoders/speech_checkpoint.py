"""Loading of wav2vec 2.0, HuBERT, WavLM, data2vec-audio and Whisper models, pretrained or random."""

import difflib
import logging
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, PreTrainedConfig, PreTrainedModel

from mosi_e2e.hub_access import check_reachable, is_cached
from mosi_e2e.models.encoders.pretrained import LIBRARY_ERRORS, check_pointers
from mosi_e2e.models.encoders.speech import FAMILIES, SAMPLE_RATE
from mosi_e2e.models.encoders.whisper import drop_decoder
from preprocessing.errors import UserError
from preprocessing.plain_text import first_line

log = logging.getLogger(__name__)

NORMALISATION = "preprocessor_config.json"

# Aids of pre-training, and layers of other tasks, that stay off:
# - SpecAugment (mask_*): the data code augments the waveform already, and the vector that stands for
#   masked tokens would be a parameter without a gradient in every step that happens to mask nothing;
# - LayerDrop: which layers are skipped differs between processes, where gradients of all must meet;
# - dropout of attention weights: it is drawn for a batch, where all other dropout is drawn for each clip
#   (`mosi_e2e.models.dropout`), and costs the fused kernel; the dropout of Whisper's encoder, which is a
#   function, is drawn likewise;
# - adapters: strided convolutions for speech translation, which stretch tokens to 160 ms and read
#   padding.
SWITCHED_OFF = {
    "mask_time_prob": 0.0,
    "mask_feature_prob": 0.0,
    "apply_spec_augment": False,
    "layerdrop": 0.0,
    "encoder_layerdrop": 0.0,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "add_adapter": False,
}


def load_speech_model(model: str, pretrained: bool, kwargs: dict[str, Any]) -> PreTrainedModel:
    """The transformers model, in float32 and without a task head.

    Attention goes through `scaled_dot_product_attention` wherever transformers offers it: in all
    families but WavLM. Its gated position bias is as large as the attention weights, and WavLM through
    that function was no faster (measured on a CPU, 8 clips of 5 s).

    Args:
        model: hub name or local folder of a checkpoint; with `pretrained=False` also one of `FAMILIES`.
        pretrained: False gives random weights.
        kwargs: entries of the transformers config to set.

    Raises:
        UserError: no such checkpoint, one of another family, or one that lacks a part of the model.
    """
    settings = read_settings(model, pretrained, kwargs)
    if not pretrained:
        return drop_decoder(AutoModel.from_config(settings))
    try:
        # transformers would keep a checkpoint's half precision, which is too coarse to train in.
        network, report = AutoModel.from_pretrained(
            model, config=settings, dtype=torch.float32, output_loading_info=True
        )
    except LIBRARY_ERRORS as error:
        raise UserError(_explain(model, error)) from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise UserError(
            f"a checkpoint must hold the whole model; {model!r} lacks {len(missing)} tensors, "
            f"{missing[0]} first; name a complete one, or set speech.pretrained=false"
        )
    return drop_decoder(network)


def read_settings(model: str, pretrained: bool, kwargs: dict[str, Any]) -> PreTrainedConfig:
    """The transformers config of a checkpoint or of a family, with `kwargs` set; as `load_speech_model`."""
    if Path(model).is_dir():
        check_pointers(Path(model))
    elif model not in FAMILIES and model.count("/") <= 1 and not Path(model).is_absolute():
        check_reachable("model.crossmodal.speech.model=FOLDER", model, ("config.json",))
    return _resolve_settings(model, pretrained, kwargs)


def read_normalisation(model: str) -> bool:
    """Whether a checkpoint was trained on clips of zero mean and unit variance.

    From `do_normalize` in its preprocessor_config.json; True, transformers' default, where there is no
    such file.
    """
    if model in FAMILIES:
        return True
    try:
        extractor = AutoFeatureExtractor.from_pretrained(model)
        rate, normalises = extractor.sampling_rate, extractor.do_normalize
    except LIBRARY_ERRORS as error:
        if is_cached(model, (NORMALISATION,)) or (Path(model) / NORMALISATION).exists():
            raise UserError(
                f"{NORMALISATION} of {model} is damaged ({first_line(error)}); copy it again, or type "
                "model.crossmodal.speech.normalise=true (or false)"
            ) from error
        if not isinstance(error, OSError):
            raise
        log.warning("%s has no %s: speech is normalised; speech.normalise decides", model, NORMALISATION)
        return True
    if rate != SAMPLE_RATE:
        raise UserError(
            f"a speech model must hear {SAMPLE_RATE} Hz; {model!r} hears {rate} Hz; "
            "name another checkpoint as speech.model"
        )
    return normalises


def list_settings(settings: PreTrainedConfig) -> dict[str, Any]:
    """The `kwargs` that give these settings to a bare family: those that differ from its defaults."""
    known = type(settings)().to_dict().keys() - SWITCHED_OFF.keys() - {"model_type"}
    return {name: value for name, value in settings.to_diff_dict().items() if name in known}


def _resolve_settings(model: str, pretrained: bool, kwargs: dict[str, Any]) -> PreTrainedConfig:
    if model in FAMILIES and pretrained:
        raise UserError(
            f"a family has no weights: speech.model={model!r} needs speech.pretrained=false, "
            "or name a checkpoint, such as facebook/wav2vec2-base-960h"
        )
    try:
        settings = AutoConfig.for_model(model) if model in FAMILIES else AutoConfig.from_pretrained(model)
    except LIBRARY_ERRORS as error:
        raise UserError(_explain(model, error)) from error
    if settings.model_type not in FAMILIES:
        raise UserError(f"speech.model is one of {', '.join(FAMILIES)}; {model!r} is a {settings.model_type}")
    known = type(settings)().to_dict().keys()
    for name in kwargs:
        if name in SWITCHED_OFF:
            raise UserError(f"speech.kwargs may not set {name}, which stays off; remove it")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            advice = f"; did you mean {near[0]}?" if near else "; remove it"
            raise UserError(
                f"speech.kwargs sets entries of {type(settings).__name__}; found {name!r}{advice}"
            )
    # A new config rather than new attributes: its constructor checks that the entries fit each other.
    return type(settings).from_dict({**settings.to_dict(), **kwargs, **SWITCHED_OFF})


def _explain(model: str, error: Exception) -> str:
    """One line of what transformers found wrong, and what to type instead."""
    found = " ".join(str(error).split())[:300]
    return (
        f"speech.model={model!r} could not be loaded: {found}; give a hub name (connected, once), "
        f"a local folder, or with speech.pretrained=false one of {', '.join(FAMILIES)}"
    )
