"""Low-rank adapters: few weights that learn beside frozen ones (LoRA; Hu et al., ICLR 2022, section 4)."""

from collections.abc import Iterable

from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn

SCALE = 2  # alpha / rank: how strongly the adapters act


def add_adapters(network: nn.Module, layers: Iterable[nn.Module], rank: int) -> None:
    """Put an adapter beside every linear map of `layers`, in place, and freeze all other weights.

    An adapter adds the product of two matrices of rank `rank` to the map's own. One of them starts at 0, so
    that the network is what it was.

    Args:
        network: of transformers.
        layers: modules within it.
        rank: at least 1; more learns more, and costs more weights.
    """
    chosen = {id(part) for layer in layers for part in layer.modules() if isinstance(part, nn.Linear)}
    targets = [name for name, part in network.named_modules() if id(part) in chosen]
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=SCALE * rank, target_modules=targets), network)


def merge_adapters(network: nn.Module) -> None:
    """Add every adapter to the map beside which it stands, in place: the same network but for rounding."""
    found = {name: part for name, part in network.named_modules() if isinstance(part, LoraLayer)}
    for name, part in found.items():
        part.merge()
        network.set_submodule(name, part.get_base_layer())
