"""Encoders: one stream of the batch in, `Tokens` out.

Every encoder is an `nn.Module` with

- `Encoder(config, n_columns)`: its `config_class`, and the number of values per row of a token stream;
- `forward(values, time, is_pad) -> Tokens`: the stream's three tensors, as the collate function makes
  them;
- `width`: the length of one token;
- `parameter_layers()`: all its parameters, layer by layer, from input to output;
- `standalone_config()`: a config that rebuilds it without the hub or the folder its weights came from.

A clip gives the same tokens alone and in a padded batch, and `values` are 0 where `is_pad`.
Which encoder reads a stream says its `Stream` (`mosi_e2e.data.streams`).
"""

from importlib import import_module

from torch import nn

from mosi_e2e.data.streams import find_stream
from mosi_e2e.models.encoders.trained import find_run, load_trained, merge_settings, take_weights
from preprocessing.errors import UserError


def encoder_class(stream: str) -> type[nn.Module]:
    """The encoder of a stream; `.config_class` is the dataclass that configures it.

    Raises:
        UserError: it cannot be imported.
    """
    module, _, name = find_stream(stream).encoder.partition(":")
    try:  # on demand: a model of token streams needs neither timm nor transformers
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"the encoder of stream '{stream}' is module:Class, but {error}; fix its `encoder`"
        ) from error


def build_encoder(stream: str, config: object, n_columns: int | None = None) -> nn.Module:
    """Build the encoder of one stream.

    Args:
        stream: name of the stream.
        config: an `encoder_class(stream).config_class`; its `model` may be a run (`trained.py`).
        n_columns: values per row of a token stream; face and speech have none.

    Raises:
        UserError: a setting of `config` that cannot be met.
    """
    if run := find_run(stream, config):
        before = load_trained(stream, config, run)
        return take_weights(build_encoder(stream, merge_settings(stream, config, before)), before)
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
