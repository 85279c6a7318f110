"""A stored model built anew: held against its weights' header before anything large exists.

A `depth: 100000000` in a config takes all memory of the machine that loads it. So the model is first built
without memory (PyTorch's meta device), and a count ends that where more is built than the weights' file
holds; then names, shapes and types must be those of the file; only then the real one is built.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.overrides import TorchFunctionMode

from mosi_e2e.data.streams import find_stream
from mosi_e2e.models import build_model, list_streams
from mosi_e2e.models.config import ModelConfig
from mosi_e2e.models.encoders import speech, text
from mosi_e2e.models.encoders.trained import find_run
from mosi_e2e.tensors import Stored, load_tensors, read_header
from preprocessing.errors import UserError
from preprocessing.untrusted.plain_text import first_line

FAMILIES = {"waveform": speech.FAMILIES, "words": text.FAMILIES}  # kind of stream → names of bare families
# Building makes more than it keeps: layers that are replaced, buffers that are not stored.
SPARE_PARTS, SPARE_VALUES, SPARE_FACTOR = 3_000, 2**24, 4
LARGEST_ENTRY = 100_000  # number in an encoder's `kwargs`; real ones are at most some thousands
OVERLAY = {"input_size", "interpolation", "mean", "std"}  # what `ImageModel` stores of a picture's form
TYPES = {
    torch.float32: "F32",
    torch.float64: "F64",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


class TooLargeError(Exception):
    """More is being built than the weights' file holds."""


class SkipRandomFilling(TorchFunctionMode):
    """Leaves out the drawing of random weights that the stored ones replace: seconds of large encoders."""

    # By name: within a function of `torch.nn.init` no mode is asked about the tensor's own methods, and
    # transformers puts its own functions in their place.
    drawn = frozenset({"uniform_", "normal_", "erfinv_", "kaiming_uniform_"})

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """A filled tensor stays as it is."""
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in self.drawn:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def rebuild_model(
    config: ModelConfig, columns: Mapping[str, list[str]], path: Path, n_outputs: int = 1
) -> nn.Module:
    """The model of a config with the weights of a file, in eval mode.

    Args:
        config: whose encoders stand alone (`engine.checkpoint.standalone_config`).
        columns: names of the columns of each token stream.
        path: safetensors file.
        n_outputs: numbers that are predicted of a clip: 1, or one for each class.

    Raises:
        UserError: the file is damaged, or it does not hold the weights of this model, all finite.
    """
    stored = read_header(path)
    check_age(config, stored, path)
    check_stands_alone(config)
    with limit_size(stored), SkipRandomFilling():
        with torch.device("meta"):
            planned = _build(config, columns, path, n_outputs)
        check_header(planned.state_dict(), stored, path)
        model = _build(config, columns, path, n_outputs)
    model.load_state_dict(load_tensors(path, stored), assign=True)  # a copy would double the memory
    return model.eval()


def check_age(config: ModelConfig, stored: Iterable[str], path: Path) -> None:
    """Refuse weights of the `crossmodal` whose streams had no score of their own.

    Raises:
        UserError: says how to train it again.
    """
    parts = {name.split(".")[0] for name in stored}
    if config.name != "crossmodal" or "summaries" in parts or not {"fusion", "stream_heads"} <= parts:
        return
    run = path.parent.parent / "config.yaml"
    recipe = str(run) if run.is_file() else "configs/crossmodal.yaml"
    raise UserError(
        f"{path} was written by an earlier version, whose crossmodal had no score of each stream alone; "
        f"train it again: accelerate launch -m mosi_e2e.train --config {shlex.quote(recipe)} name=NAME"
    )


def check_stands_alone(config: ModelConfig) -> None:
    """Refuse a stored config that would fetch or read anything but its own weights.

    Raises:
        UserError: an encoder names a checkpoint, or arguments that no stored model has.
    """
    for stream in filter(lambda stream: stream.pretrained, map(find_stream, list_streams(config))):
        name = stream.name
        encoder = getattr(getattr(config, config.name), name)
        overlay = encoder.kwargs.get("pretrained_cfg_overlay", {})
        alone = not (encoder.pretrained or getattr(encoder, "weights", None) or find_run(name, encoder))
        known = FAMILIES.get(stream.kind)
        alone = alone and (encoder.model in known if known else not set(encoder.model) & set("/\\:"))
        if not alone or _find_odd(encoder.kwargs) or not isinstance(overlay, dict) or set(overlay) - OVERLAY:
            raise UserError(
                f"a stored model rebuilds its encoders from its own config.yaml, but {name} names other "
                "files, or sizes that no model has; get the model again from where it came"
            )


def _find_odd(value: Any) -> bool:
    """Whether a stored encoder's arguments name files, or numbers too large to be built."""
    if isinstance(value, dict):
        named = {"checkpoint_path", "cache_dir", "pretrained", "pretrained_cfg"} & set(value)
        return bool(named) or len(value) > 1000 or any(map(_find_odd, value.values()))
    if isinstance(value, list):
        return len(value) > 1000 or any(map(_find_odd, value))
    return isinstance(value, int | float) and abs(value) > LARGEST_ENTRY


@contextmanager
def limit_size(stored: Mapping[str, Stored]) -> Iterator[None]:
    """Raise `TooLargeError` as soon as much more is built than was stored."""
    room = {
        "parts": SPARE_FACTOR * len(stored) + SPARE_PARTS,
        "values": SPARE_FACTOR * sum(torch.Size(one.shape).numel() for one in stored.values()) + SPARE_VALUES,
    }
    left = dict(room)

    def count(owner: nn.Module, name: str, part: nn.Module | Tensor | None) -> None:
        del owner
        left["parts"] -= 1
        left["values"] -= part.numel() if isinstance(part, Tensor) else 0
        if min(left.values()) < 0:
            raise TooLargeError(name)

    handles = [
        hooks.register_module_module_registration_hook(count),
        hooks.register_module_parameter_registration_hook(count),
        hooks.register_module_buffer_registration_hook(count),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _build(config: ModelConfig, columns: Mapping[str, list[str]], path: Path, n_outputs: int) -> nn.Module:
    try:
        return build_model(config, columns, n_outputs)
    except UserError:
        raise
    except Exception as error:  # border: other libraries' constructors raise anything on a damaged config
        reason = f"{type(error).__name__}: {first_line(error)}"
        if isinstance(error, TooLargeError):
            reason = "it describes a far larger model than the weights are of"
        raise UserError(
            f"{path.parent}/config.yaml does not describe the model in {path.name} ({reason}); get both "
            "again from where they came"
        ) from error


def check_header(planned: Mapping[str, Tensor], stored: Mapping[str, Stored], path: Path) -> None:
    """Refuse weights whose names, shapes or types are not those of the model.

    Raises:
        UserError: names the first tensor that differs.
    """
    wanted = {name: Stored(tuple(one.shape), TYPES.get(one.dtype, "?")) for name, one in planned.items()}
    if wanted == stored:
        return
    name = next(
        name for name in sorted(wanted.keys() | stored.keys()) if wanted.get(name) != stored.get(name)
    )
    here, there = (_describe(one.get(name)) for one in (stored, wanted))
    raise UserError(
        f"{path} does not hold the weights that config.yaml and facts.json ask for: {name[:80]!a} is {here} "
        f"in it and {there} in the model; get all three again from where they came"
    )


def _describe(one: Stored | None) -> str:
    return "missing" if one is None else f"{one.type} {list(one.shape)}"
