"""Loading of timm image models, from the hub, a folder, a file of weights, or at random."""

import difflib
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import resolve_model_data_config
from timm.layers import to_2tuple
from timm.models import load_state_dict, resolve_model_input_args
from torch import Tensor, nn

from mosi_e2e.models.config import FaceConfig
from preprocessing.errors import UserError
from preprocessing.pretrained.checkpoints import LIBRARY_ERRORS, check_pointers
from preprocessing.pretrained.hub_access import check_reachable
from preprocessing.untrusted.plain_text import first_line

log = logging.getLogger(__name__)

HUB_ID = re.compile(r"hf[-_]hub:([^/@]+/[^@]+)(@.*)?")


@dataclass(frozen=True)
class ImageModel:
    """A network and what it wants to see.

    Attributes:
        backbone: without its classifier: image in, pooled features out.
        arguments: what rebuilds it from its architecture's name alone.
        size: height and width of its input, pixels.
        interpolation: of resized images, `bicubic` or `bilinear`.
        mean: per channel, of values in [0, 1].
        std: likewise.
    """

    backbone: nn.Module
    arguments: dict[str, Any]
    size: tuple[int, int]
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def load_image_model(config: FaceConfig) -> ImageModel:
    """Build the network of a config and load its weights.

    Raises:
        UserError: no such model, constructor argument or weights, or weights of another model.
    """
    arguments = _resolve_arguments(config)
    backbone = _create_backbone(config, arguments)
    data = resolve_model_data_config(backbone)
    size = to_2tuple(config.image_size or arguments.get("img_size") or data["input_size"][1:])
    known = {name: data[name] for name in ("input_size", "interpolation", "mean", "std")}
    rebuild = {k: v for k, v in arguments.items() if not k.startswith(("model_name", "pretrained"))}
    return ImageModel(
        backbone,
        rebuild | {"pretrained_cfg_overlay": known},
        tuple(size),
        "bilinear" if data["interpolation"] == "bilinear" else "bicubic",
        tuple(data["mean"]),
        tuple(data["std"]),
    )


def _resolve_arguments(config: FaceConfig) -> dict[str, Any]:
    """Name, pretrained config and constructor arguments, as `timm.create_model` takes them."""
    source = f"local-dir:{config.model}" if Path(config.model).is_dir() else config.model
    if "checkpoint_path" in config.kwargs:
        raise UserError("face.kwargs may not set checkpoint_path; type model.crossmodal.face.weights=FILE")
    if Path(config.model).is_dir():
        check_pointers(Path(config.model))
    elif hub_id := HUB_ID.fullmatch(config.model):
        check_reachable("model.crossmodal.face.model=FOLDER", hub_id[1], ("config.json",))
    try:
        arguments = resolve_model_input_args(source, {"img_size": config.image_size}, **config.kwargs)
    except LIBRARY_ERRORS as error:
        raise UserError(_explain(config, error)) from error
    return arguments | {"num_classes": 0}  # features, not classes


def _create_backbone(config: FaceConfig, arguments: dict[str, Any]) -> nn.Module:
    overlay = {}
    path = _find_weights(config, arguments)
    if path is not None:
        # Tensors without the classifier make timm load strictly. With `num_classes: 0` it would
        # otherwise pass over names that do not match, and leave those layers random without a word.
        overlay = {"source": "", "state_dict": _read_weights(path, arguments), "classifier": None}
    elif config.pretrained and (hub_id := arguments["pretrained_cfg"].get("hf_hub_id")):
        check_reachable(
            "model.crossmodal.face.model=FOLDER", hub_id, ("model.safetensors", "pytorch_model.bin")
        )
    try:
        return timm.create_model(**arguments, pretrained_cfg_overlay=overlay, pretrained=config.pretrained)
    except LIBRARY_ERRORS as error:
        raise UserError(_explain(config, error)) from error


def _find_weights(config: FaceConfig, arguments: dict[str, Any]) -> Path | None:
    """The file that weights are read from; None where timm knows better, or none are wanted."""
    if config.weights:
        path = Path(config.weights)
        if path.is_file():
            return path
        raise UserError(f"face.weights is a .pth or .safetensors file; found none at {path}")
    if not config.pretrained or arguments["pretrained_cfg"].get("source") != "local-dir":
        return None
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (Path(config.model) / name).is_file():
            return Path(config.model) / name
    raise UserError(
        f"a model folder holds config.json and model.safetensors; found no weights in {config.model}; "
        "save it with timm.models.save_for_hf, or set face.pretrained=false"
    )


def _read_weights(path: Path, arguments: dict[str, Any]) -> dict[str, Tensor]:
    """Tensors of a weights file under the model's own names, without the classifier."""
    check_pointers(path)
    try:
        tensors = load_state_dict(str(path))
    except LIBRARY_ERRORS as error:
        raise UserError(
            f"{path} is damaged, cut or not a file of weights ({first_line(error)}); copy it again from "
            "where it came"
        ) from error
    with torch.device("meta"):  # names and shapes only
        wanted = timm.create_model(**arguments).state_dict()
    if not wanted.keys() & tensors.keys():
        return _rename_by_order(tensors, wanted, path)
    classifier = arguments["pretrained_cfg"].get("classifier") or ()
    names = (classifier,) if isinstance(classifier, str) else classifier
    prefixes = tuple(f"{name}." for name in names)
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(prefixes)}


def _rename_by_order(tensors: dict[str, Tensor], wanted: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Match the tensors of another code base to the model's by position.

    Accepted only where every pair has the same shape and is of the same kind (`weight`, `running_mean`,
    ...). Two may be left over at the end: the classifier's weight and bias.
    """
    pairs = list(zip(wanted.items(), tensors.items(), strict=False))
    fits = len(tensors) - len(wanted) in (0, 2) and all(
        ours.shape == theirs.shape and name.split(".")[-1] == other.split(".")[-1]
        for (name, ours), (other, theirs) in pairs
    )
    if not fits:
        raise UserError(
            f"face.weights must match the model's {len(wanted)} tensors in name, or in order and shape; "
            f"found {len(tensors)} others in {path}; set face.model to the model they belong to"
        )
    log.info("%s: names of another code base, %d tensors matched by order and shape", path, len(pairs))
    return {name: theirs for (name, _), (_, theirs) in pairs}


def _explain(config: FaceConfig, error: Exception) -> str:
    """One line of what timm found wrong, and what to type instead."""
    found = " ".join(str(error).split())[:300]
    near = difflib.get_close_matches(config.model.split(".")[0], timm.list_models(), n=3)
    if isinstance(error, OSError):
        advice = (
            "download it once with a connection, name a local folder, "
            "or give its file: model.crossmodal.face.weights=FILE"
        )
    elif "Unknown model" in found and near:
        advice = f"did you mean {', '.join(near)}?"
    else:
        advice = "see timm.list_models() and the model's constructor for what may be set"
    return f"face.model={config.model!r} could not be built: {found}; {advice}"
