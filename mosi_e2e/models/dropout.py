"""Dropout that is drawn for each clip alone.

PyTorch draws one mask for the batch, so that what a clip loses depends on its neighbours: two processes, or
micro-batches, train another model than one process with the whole batch. Here every mask comes out of the
clip's own seed, the place of the layer, and the place in the clip's sequence, whatever batch or padding the
clip is in. So a clip adds the same to an update however training is spread, as it does with augmentation.
"""

import math
import zlib
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

ROWS, COLUMNS, FIRST, SECOND = -1640531535, 1540483477, -2048144789, -1028477387  # odd, bits well spread


class ClipSeeds:
    """The seeds of the clips that are in the batch at hand; None: dropout is PyTorch's own.

    Attributes:
        values: [b] int32.
    """

    def __init__(self):
        self.values: Tensor | None = None


class ClipDropout(nn.Dropout):
    """`nn.Dropout` over [b ...] whose mask depends on the clip's seed alone.

    Args:
        p: share that becomes 0.
        seeds: of the batch at hand.
        salt: tells this layer from others.
    """

    def __init__(self, p: float, seeds: ClipSeeds, salt: int):
        super().__init__(p)
        self.seeds, self.salt = seeds, salt

    def forward(self, x: Tensor) -> Tensor:
        """Zero a share `p` of `x` and scale what is left, in training only."""
        seeds = self.seeds.values
        is_by_clip = seeds is not None and len(seeds) == len(x)  # not so inside an encoder of frames
        if not is_by_clip or not self.training or self.p == 0:
            return super().forward(x)
        drops = draw_mask(seeds, self.salt, x.shape[1:], self.p)
        return x.masked_fill(drops, 0.0) / (1 - self.p)


def draw_mask(seeds: Tensor, salt: int, shape: Iterable[int], p: float) -> Tensor:
    """Which values are dropped: [b, *shape] bool, each True with probability `p`.

    A hash of (seed, row, column) in 32-bit arithmetic that wraps around, of multiplications and shifts as in
    MurmurHash3's last step: no generator's state, so nothing depends on what was drawn before.

    Args:
        seeds: [b] int32.
        salt: int32.
        shape: sizes after the first; the last are columns, all before them rows.
        p: in (0, 1).
    """
    *rows, columns = shape
    row, column = _count(math.prod(rows), seeds.device), _count(columns, seeds.device)
    row = _mix(_mix(row * ROWS + salt) ^ seeds[:, None])  # [b r]
    column = _mix(column * COLUMNS - salt)  # [c]
    # Both are spread well, so one product is enough: its upper bits hang on all bits of either.
    noise = (row[:, :, None] ^ column).mul_(FIRST)  # [b r c], all of them int32
    # Not compared with 0: C++ takes it that products do not overflow, and would look at the factors' signs.
    return (noise < (round(2**32 * p) - 2**31 or 1)).view(-1, *rows, columns)


def _count(n: int, device: torch.device) -> Tensor:
    """0 to n - 1, int32.

    The xor changes nothing in them. It keeps `torch.compile` from folding the products that follow into
    64-bit arithmetic of places in memory, which gives other numbers.
    """
    return torch.arange(n, dtype=torch.int32, device=device) ^ 0


def _mix(x: Tensor) -> Tensor:
    """Spread every bit over the word; shifts are logical ones."""
    x = x * FIRST
    x = (x ^ (x >> 15 & 0x1FFFF)) * SECOND
    return x ^ (x >> 13 & 0x7FFFF)


def drop_by_clip(model: nn.Module) -> None:
    """Replace every `nn.Dropout` of a model whose first axis is that of clips.

    The image model is left out: it sees frames, not clips. `model.clip_seeds` takes the seeds.
    """
    model.clip_seeds = ClipSeeds()
    found = [
        (name, module)
        for name, module in model.named_modules()
        if type(module) is nn.Dropout and not name.startswith("encoders.face.")
    ]
    for name, module in found:
        salt = zlib.crc32(name.encode()) - 2**31
        parent, _, child = name.rpartition(".")
        by_clip = ClipDropout(module.p, model.clip_seeds, salt).train(module.training)  # frozen parts are not
        setattr(model.get_submodule(parent), child, by_clip)


def seed_clips(index: Tensor, *key: int) -> Tensor:
    """Seeds [b] int32 of clips, from their numbers [b] and `key`."""
    states = [np.random.SeedSequence((*key, int(one))).generate_state(1, np.uint32)[0] for one in index]
    return torch.from_numpy(np.array(states, np.uint32).view(np.int32))
