"""Words through a pretrained text model: one token per sub-word, at the time of its word."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from tokenizers import Tokenizer
from torch import Tensor, nn

from mosi_e2e.models.config import TextConfig
from mosi_e2e.models.encoders.pretrained import PretrainedEncoder
from mosi_e2e.models.layers import Tokens
from preprocessing.cache.words import unpack_words
from preprocessing.errors import UserError

FAMILIES = ("bert", "distilbert", "electra", "mpnet", "roberta", "xlm-roberta")


class WordTokenizer:
    """Turns a clip's words into sub-words, in the processes that load data.

    Args:
        coded: the tokenizer as JSON (`tokenizer.json` of a checkpoint).
    """

    def __init__(self, coded: bytes):
        self.tokenizer = Tokenizer.from_buffer(coded)
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()

    def __call__(self, rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Sub-words of a clip.

        Args:
            rows: `values` [T, W] uint8, the words (`preprocessing.cache.words`), and `time` [T] seconds.

        Returns:
            `values` [N] int64 and `time` [N]; the marks that begin and end a text have the times of its
            first and last word. A clip without words has no sub-word either.
        """
        words, time = unpack_words(rows["values"]), rows["time"]
        if not words:
            return {"values": np.zeros(0, np.int64), "time": np.zeros(0, np.float32)}
        coded = self.tokenizer.encode([word.lower() for word in words], is_pretokenized=True)
        place = [number if number is not None else -1 for number in coded.word_ids]
        place[0] = max(place[0], 0)  # the mark in front; the one at the end has the last word's place, -1
        return {"values": np.array(coded.ids, np.int64), "time": time[place].astype(np.float32)}


class TextEncoder(PretrainedEncoder):
    """Encode sub-words into the last hidden states of a pretrained text model.

    A clip gives the same tokens alone and in a padded batch. A text that is longer than the model's
    positions is encoded in blocks. The tokenizer travels with the weights, as a buffer.
    """

    config_class: ClassVar[type] = TextConfig
    tokenizer: Tensor

    def __init__(self, config: TextConfig, n_columns: int | None = None):
        # Here, since transformers takes seconds to import, and reading a config should not.
        from mosi_e2e.models.encoders.text_checkpoint import load_text_model, read_tokenizer

        del n_columns  # words have no columns
        backbone = load_text_model(config.model, config.pretrained, config.kwargs)
        settings = backbone.config
        super().__init__(backbone, settings.hidden_size)
        self.config = config
        coded = read_tokenizer(config.model) if config.pretrained else bytes(config.tokenizer_bytes)
        self.register_buffer("tokenizer", torch.from_numpy(np.frombuffer(coded, np.uint8).copy()))
        self.pad = settings.pad_token_id or 0
        first = self.pad + 1 if settings.model_type in ("roberta", "xlm-roberta", "mpnet") else 0
        self.longest = settings.max_position_embeddings - first  # tokens of one block
        self._freeze()

    @property
    def stack(self) -> nn.ModuleList:
        """The transformer layers."""
        network = self.backbone
        return (network.transformer if hasattr(network, "transformer") else network.encoder).layer

    def read_words(self) -> WordTokenizer:
        """What turns the words of a clip into `values` of this encoder.

        Raises:
            UserError: a random model has no tokenizer.
        """
        if not len(self.tokenizer):
            raise UserError("words need a checkpoint's tokenizer: name one as model.NAME.words.model")
        return WordTokenizer(self.tokenizer.cpu().numpy().tobytes())

    def parameter_layers(self) -> list[list[nn.Parameter]]:
        """All parameters: embeddings, then each transformer layer."""
        network = self.backbone
        entry = list(network.embeddings.parameters())
        layers = [list(layer.parameters()) for layer in self.stack]
        known = {id(p) for layer in (entry, *layers) for p in layer}
        entry += [p for p in network.parameters() if id(p) not in known]  # relative positions of mpnet
        return [entry, *layers]

    def standalone_config(self) -> TextConfig:
        """A config that rebuilds this network without hub or folder, for weights saved elsewhere."""
        from mosi_e2e.models.encoders.checkpoints import stand_alone
        from mosi_e2e.models.encoders.text_checkpoint import TEXT

        tokenizer_bytes = len(self.tokenizer)
        return stand_alone(TEXT, self.config, self.backbone.config, tokenizer_bytes=tokenizer_bytes)

    def forward(
        self, values: Int[Tensor, "b t"], time: Float[Tensor, "b t"], is_pad: Bool[Tensor, "b t"]
    ) -> Tokens:
        """Encode the sub-words of a batch (`WordTokenizer`)."""
        n_clips, n_tokens = values.shape
        block = min(n_tokens, self.longest)
        more = -n_tokens % block
        ids = F.pad(values.masked_fill(is_pad, self.pad), (0, more), value=self.pad)
        is_key = F.pad(~is_pad, (0, more)).reshape(-1, block)  # [b * k, block]
        is_key = is_key | (torch.arange(block, device=is_key.device) == 0)  # a softmax over nothing is NaN
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            hidden = self.backbone(input_ids=ids.reshape(-1, block), attention_mask=is_key.long())[0]
        hidden = hidden.reshape(n_clips, -1, self.width)[:, :n_tokens]
        return Tokens(hidden.masked_fill(is_pad[..., None], 0.0), time, is_pad)

    def _freeze(self) -> None:
        layers = self.parameter_layers()
        if self.config.freeze == "last_n" and self.config.last_n >= len(layers):
            raise UserError(
                f"words.last_n is at most this model's {len(layers) - 1} layers; found {self.config.last_n}"
            )
        n_trainable = {"frozen": 0, "last_n": self.config.last_n, "full": len(layers)}[self.config.freeze]
        if n_trainable and self.config.adapter_rank:
            from mosi_e2e.models.encoders.adapters import add_adapters  # here, since peft takes a second

            trained = list(self.stack)[-n_trainable:]
            add_adapters(self.backbone, trained, self.config.adapter_rank)
            self.train(self.training)
        else:
            self.freeze_layers(layers, n_trainable)
