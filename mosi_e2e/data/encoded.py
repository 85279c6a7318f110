"""What frozen encoders make of clips that are not augmented: computed once, kept like a stage of the cache.

Such a stream enters the batch as `<stream>_encoded`: rows of features with times, which the model takes for
the encoder's output. The model keeps the encoder: a saved one scores raw streams.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn
from tqdm import tqdm

from mosi_e2e.config import AugmentConfig
from mosi_e2e.data.batch import pad_stream
from mosi_e2e.data.dataset import ClipDataset, read_stream
from mosi_e2e.data.streams import encoded_name, find_stream
from preprocessing.cache.stats import find_moments
from preprocessing.cache.store import ClipStore, StageFiles
from preprocessing.settings import digest

HALF_MAX = float(np.finfo(np.float16).max)  # larger values are kept in float32
Rows = dict[str, np.ndarray]  # values [T, ...] and time [T] of one clip's stream
CACHED_KINDS = ("crops", "waveform", "tokens")  # words are few, and become numbers in the dataset
MIX = "layer_"  # begins the names of what `SpeechEncoder` mixes its layers with
VERSION = 1  # raise it when an encoder's code changes its output


def encode_frozen_streams(
    accelerator: Accelerator,
    model: nn.Module,
    sets: Sequence[ClipDataset],
    augment: AugmentConfig,
    spare: Path,
) -> list[str]:
    """Encode what is missing, each process its share, and let the datasets read it.

    Args:
        accelerator: of the run.
        model: with `encoders` by stream, on the device.
        sets: of one cache, that of train first where there is one; they get the encoded streams instead of
            the raw ones.
        augment: streams that it changes are left as they are.
        spare: folder for what a read-only cache cannot keep.

    Returns:
        The streams that were encoded.
    """
    store = sets[0].store
    done = []
    for name, encoder in model.encoders.items():
        is_fixed = getattr(encoder, "frozen", False) and find_stream(name).kind in CACHED_KINDS
        if not (model.takes_encoded and is_fixed) or changes_stream(name, augment):
            continue
        clip_ids = [clip_id for one in sets for clip_id in one.clips.clip_id]
        root, recipe = encoded_root(store), encoder_recipe(name, encoder, store)
        files = StageFiles(root, encoded_name(name), recipe)
        if not can_write(files.folder) and any(files.status(clip_id) is None for clip_id in clip_ids):
            accelerator.print(f"note: {root} is read-only: what the {name} encoder says is kept in {spare}")
            files = StageFiles(spare, encoded_name(name), recipe)
        encode_clips(accelerator, encoder, store, name, clip_ids, files)
        accelerator.wait_for_everyone()
        for one in sets:
            one.encoded[name] = files
        done.append(name)
    return done


def changes_stream(name: str, augment: AugmentConfig) -> bool:
    """Whether a stream's raw values differ from epoch to epoch."""
    if not augment.enabled:
        return False
    strengths = {
        "crops": (
            augment.flip,
            augment.affine,
            augment.colour,
            augment.blur,
            augment.jpeg,
            augment.shrink,
        ),
        "waveform": (augment.gain_db, augment.noise, augment.speed),
        "tokens": (augment.token_noise, augment.time_mask, augment.speed),
    }
    return any(strengths[find_stream(name).kind])


def encoded_root(store: ClipStore) -> Path:
    """The cache itself, or a folder beside a cache that is a single file or shards."""
    return store.root if type(store) is ClipStore else store.root.with_name(f"{store.root.name}.encoded")


def can_write(folder: Path) -> bool:
    """Whether files can be made in a folder, which is there or can be made."""
    return os.access(next(one for one in (folder, *folder.absolute().parents) if one.exists()), os.W_OK)


def encoder_recipe(name: str, encoder: nn.Module, store: ClipStore) -> str:
    """Eight hex digits over the encoder's settings and weights and the stage that it reads."""
    weights = hashlib.sha256()
    for key, value in sorted(encoder.state_dict().items()):
        if key.startswith(MIX):  # learned by the run, and applied to what is kept
            continue
        weights.update(key.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    before = store.recipe(find_stream(name).stage)
    return digest(name, VERSION, encoder.standalone_config(), weights.hexdigest(), before)


def encode_rows(encoder: nn.Module, stream: str, rows: Rows, mixed: bool = True) -> Rows:
    """What an encoder makes of a stream's rows of one clip, which are at least one: tokens, no padding.

    Without `mixed`, of an encoder that mixes its layers by learned weights, all layers.
    """
    device = next(encoder.parameters()).device
    encode = encoder if mixed else getattr(encoder, "encode_layers", encoder)
    tokens = encode(*(value.to(device) for value in pad_stream(stream, [rows]).values()))
    there = ~tokens.is_pad[0]
    return {
        "values": tokens.values[0, there].float().cpu().numpy(),
        "time": tokens.time[0, there].float().cpu().numpy(),
    }


@torch.no_grad()
def encode_clips(
    accelerator: Accelerator,
    encoder: nn.Module,
    store: ClipStore,
    name: str,
    clip_ids: Sequence[str],
    files: StageFiles,
) -> None:
    """Encode the clips that have no file yet; each is encoded whole and alone, in full precision."""
    mine = clip_ids[accelerator.process_index :: accelerator.num_processes]
    todo = [clip_id for clip_id in mine if files.check(clip_id) is None]
    encoder.eval()
    bar = tqdm(todo, desc=f"encoding {name} once", unit="clip", disable=not accelerator.is_local_main_process)
    for clip_id in bar:
        arrays = encode_rows(encoder, name, read_stream(store, clip_id, find_stream(name)), mixed=False)
        if np.abs(arrays["values"]).max(initial=0) < HALF_MAX:
            arrays["values"] = arrays["values"].astype(np.float16)
        files.write(clip_id, arrays, {"state": "ok"})


def standardise_layers(model: nn.Module, train: ClipDataset) -> None:
    """Give encoders that mix several layers the mean and deviation of what was kept of train."""
    for name, encoder in model.encoders.items():
        if name not in train.encoded or not hasattr(encoder, "layer_mean"):
            continue
        files = train.encoded[name]
        found = find_moments(files.read(clip_id)["values"] for clip_id in train.clips.clip_id)
        if found is not None:
            encoder.set_layer_statistics(*(torch.from_numpy(one).float() for one in found))
