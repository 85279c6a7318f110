"""Encoders: one stream of the batch in, `Tokens` out. The registry alone knows all of them.

Every encoder is an `nn.Module` with

- `Encoder(config, n_columns)`: its `config_class`, and the number of values per row of a token stream;
- `forward(values, time, is_pad) -> Tokens`: the stream's three tensors, as the collate function makes
  them;
- `width`: the length of one token;
- `parameter_layers()`: all its parameters, layer by layer, from input to output;
- `standalone_config()`: a config that rebuilds it without the hub or the folder its weights came from.

A clip gives the same tokens alone and in a padded batch, and `values` are 0 where `is_pad`.
A further stream is one file in this folder and one line in `ENCODERS`.
"""

from importlib import import_module

from torch import nn

from preprocessing.errors import UserError

# Module and class, imported on demand: a model of token streams needs neither timm nor transformers.
ENCODERS = {
    "face": "face.FaceEncoder",
    "speech": "speech.SpeechEncoder",
    "behaviour": "tokens.TokenEncoder",
    "acoustics": "tokens.TokenEncoder",
    "functionals": "tokens.TokenEncoder",
}


def encoder_class(stream: str) -> type[nn.Module]:
    """The encoder of a stream; `.config_class` is the dataclass that configures it.

    Raises:
        UserError: no encoder reads this stream; the message lists those that there are.
    """
    if stream not in ENCODERS:
        raise UserError(
            f"a stream needs an encoder; found {stream!r}, choose among {', '.join(ENCODERS)}, "
            "or add a line to ENCODERS in mosi_e2e/models/encoders/__init__.py"
        )
    module, name = ENCODERS[stream].split(".")
    return getattr(import_module(f"{__name__}.{module}"), name)


def build_encoder(stream: str, config: object, n_columns: int | None = None) -> nn.Module:
    """Build the encoder of one stream.

    Args:
        stream: name of the stream, a key of `ENCODERS`.
        config: an `encoder_class(stream).config_class`.
        n_columns: values per row of a token stream; face and speech have none.

    Raises:
        UserError: unknown stream, or a setting of `config` that cannot be met.
    """
    chosen = encoder_class(stream)
    chosen = chosen.choose(config) if hasattr(chosen, "choose") else chosen
    return chosen(config, n_columns)


def layer_groups(encoder: nn.Module) -> list[list[nn.Parameter]]:
    """The trainable parameters of an encoder, one list per layer, from input to output.

    For layer-wise learning-rate decay (Howard and Ruder, ACL 2018, section 3.2): the last group trains
    at the encoder's rate, the one k before it at `decay ** k` of that. Each trainable parameter is in
    exactly one group; frozen layers leave no empty group behind.
    """
    groups = ([p for p in layer if p.requires_grad] for layer in encoder.parameter_layers())
    return [group for group in groups if group]
