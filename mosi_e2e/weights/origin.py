"""Where pretrained weights came from, as a run, a model card and `doctor` show it."""

from pathlib import Path
from typing import Any

from mosi_e2e.weights.catalogue import CHECKPOINTS
from mosi_e2e.weights.fetch import RECORD, is_here
from preprocessing.cache.checksums import hash_file
from preprocessing.pretrained.checkpoints import find_checkpoint, name_checkpoint, weights_folder
from preprocessing.untrusted.plain_text import read_json

LOCAL = "a local file"
# One of them holds the weights; the last one those of a trained run.
FILES = ("model.safetensors", "model.pth", "pytorch_model.bin", "best/model.safetensors")


def describe_origin(settings: Any, library: str) -> dict[str, str] | None:
    """Name, source and hash of the weights that an encoder began with.

    Args:
        settings: of the encoder (`mosi_e2e.models.config`).
        library: that asks the hub for them.

    Returns:
        `name`, `source` and `sha256` of the file of weights, empty where only the library knows it; None
        where it began with random ones.
    """
    if not getattr(settings, "pretrained", False):
        return None
    file = Path(getattr(settings, "weights", None) or "")
    folder = file.parent if file.is_file() else Path(find_checkpoint(settings.model))
    if file.is_file() and not (folder / RECORD).is_file():
        return {"name": file.name, "source": LOCAL, "sha256": hash_file(file)}
    source = LOCAL if folder.is_dir() else f"the hub, by {library}"
    unknown = {"name": name_checkpoint(settings.model), "source": source, "sha256": ""}
    return describe_folder(folder) or unknown


def describe_folder(folder: Path) -> dict[str, str] | None:
    """The same of a folder, by the record that `mosi weights` left in it; None without weights."""
    file = next((folder / name for name in FILES if (folder / name).is_file()), None)
    if file is None:
        return None
    record = read_json(folder / RECORD) if (folder / RECORD).is_file() else {}
    return {
        "name": str(record.get("name") or folder.resolve().name),
        "source": str(record.get("source") or LOCAL),
        "sha256": str(record.get("sha256", {}).get(file.name) or hash_file(file)),
    }


def list_kept() -> list[dict[str, str]]:
    """Those of all checkpoints that lie here."""
    found = [describe_folder(weights_folder() / name) for name in CHECKPOINTS if is_here(name)]
    return [one for one in found if one]
