"""Loading of wav2vec 2.0, HuBERT, WavLM, data2vec-audio and Whisper models, pretrained or random."""

import logging
from pathlib import Path
from typing import Any

from transformers import AutoFeatureExtractor, PreTrainedModel
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from mosi_e2e.models.encoders.checkpoints import Kind, load_network, read_settings
from mosi_e2e.models.encoders.speech import FAMILIES
from preprocessing.config import SAMPLE_RATE
from preprocessing.errors import UserError
from preprocessing.pretrained.checkpoints import LIBRARY_ERRORS
from preprocessing.pretrained.hub_access import is_cached
from preprocessing.untrusted.plain_text import first_line

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
SPEECH = Kind(
    section="speech",
    folder="model.crossmodal.speech.model=FOLDER",
    families=FAMILIES,
    switched_off=SWITCHED_OFF,
    example="facebook/wav2vec2-base-960h",
)


def load_speech_model(model: str, pretrained: bool, kwargs: dict[str, Any]) -> PreTrainedModel:
    """As `load_network`; of a Whisper model the encoder alone.

    Attention goes through `scaled_dot_product_attention` wherever transformers offers it: in all
    families but WavLM. Its gated position bias is as large as the attention weights, and WavLM through
    that function was no faster (measured on a CPU, 8 clips of 5 s).
    """
    if not pretrained:
        settings = read_settings(SPEECH, model, pretrained, kwargs)
        if settings.model_type == "whisper":  # a decoder would be several times as large, and is not stored
            return WhisperEncoder._from_config(settings)
    network = load_network(SPEECH, model, pretrained, kwargs)
    return network.encoder if network.config.model_type == "whisper" else network


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
