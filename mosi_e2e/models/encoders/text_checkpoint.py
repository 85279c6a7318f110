"""Loading of text models and their tokenizers, pretrained or random."""

from typing import Any

from transformers import AutoTokenizer, PreTrainedModel

from mosi_e2e.models.encoders.checkpoints import Kind, load_network
from mosi_e2e.models.encoders.text import FAMILIES
from preprocessing.errors import UserError
from preprocessing.pretrained.checkpoints import LIBRARY_ERRORS

# Dropout of attention weights is drawn for a batch, where all other dropout is drawn for each clip
# (`mosi_e2e.models.dropout`), and costs the fused kernel.
SWITCHED_OFF = {"attention_probs_dropout_prob": 0.0, "attention_dropout": 0.0}
TEXT = Kind(
    section="words",
    folder="model.NAME.words.model=FOLDER",
    families=FAMILIES,
    switched_off=SWITCHED_OFF,
    example="sentence-transformers/all-MiniLM-L6-v2",
    spare=("pooler.",),
)


def load_text_model(model: str, pretrained: bool, kwargs: dict[str, Any]) -> PreTrainedModel:
    """As `load_network`, without the layer that makes one vector of a text: tokens are what is used."""
    network = load_network(TEXT, model, pretrained, kwargs)
    if hasattr(network, "pooler"):
        network.pooler = None
    return network


def read_tokenizer(model: str) -> bytes:
    """The tokenizer of a checkpoint as JSON.

    Raises:
        UserError: it has none that the library `tokenizers` can read.
    """
    try:
        return AutoTokenizer.from_pretrained(model).backend_tokenizer.to_str().encode()
    except LIBRARY_ERRORS as error:
        found = " ".join(str(error).split())[:200]
        message = f"{model} has no readable tokenizer.json ({found}): name a checkpoint with one"
        raise UserError(message) from error
