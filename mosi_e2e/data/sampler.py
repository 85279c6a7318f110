"""Which process sees which clip when.

An optimizer update is defined by its clips alone: `batch_size` of them, in an order that depends on seed
and epoch. How they are spread over processes and micro-batches changes nothing but who computes what, so
one process or eight, one pass or accumulation, a resumed run or an uninterrupted one train the same model.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from accelerate import Accelerator
from torch.utils.data import Sampler

from mosi_e2e.config import DataConfig
from mosi_e2e.data.dataset import ClipDataset, Pick

BUCKET_UPDATES = 20  # clips of so many updates are sorted by length at a time


class UpdateSampler(Sampler[list[Pick]]):
    """Yields this process's micro-batches, `steps_per_update` of them for every update.

    Weights are 1 / (clips of the update): the sum of weighted losses over processes and micro-batches is
    the mean over the update. A micro-batch without a clip of its own gets a filler of weight 0.

    Args:
        count: clips in the dataset.
        batch_size: clips per update.
        micro_batch: clips per forward pass; 0 = the process's whole share.
        seed: of the order.
        rank, world: this process and how many there are.
        lengths: of the clips, any unit: clips of an update are then of similar length, which saves padding;
            None mixes them freely.

    Attributes:
        epoch: which order comes next.
        start_update: where in it to begin, for a run that goes on in mid-epoch.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        micro_batch: int,
        seed: int,
        rank: int,
        world: int,
        lengths: np.ndarray | None = None,
    ):
        self.count, self.batch_size, self.seed, self.rank, self.world = (
            count,
            batch_size,
            seed,
            rank,
            world,
        )
        share = -(-min(batch_size, count) // world)
        self.micro_batch = min(micro_batch or share, share)
        self.steps_per_update = -(-share // self.micro_batch)
        self.lengths = lengths
        self.epoch = 0
        self.start_update = 0

    @property
    def updates_per_epoch(self) -> int:
        """Optimizer updates of one epoch; the last may have fewer clips."""
        return -(-self.count // self.batch_size)

    def __len__(self) -> int:
        return (self.updates_per_epoch - self.start_update) * self.steps_per_update

    def __iter__(self) -> Iterator[list[Pick]]:
        for clips in self.list_updates()[self.start_update :]:
            yield from self._split(clips)

    def list_updates(self) -> list[np.ndarray]:
        """The clips of each update of this epoch."""
        rng = np.random.default_rng([self.seed, self.epoch])
        order = rng.permutation(self.count)
        if self.lengths is None:
            return cut(order, self.batch_size)
        nearby = cut(order, BUCKET_UPDATES * self.batch_size)
        nearby = [clips[np.argsort(self.lengths[clips], kind="stable")] for clips in nearby]
        updates = cut(np.concatenate(nearby), self.batch_size)
        return [updates[number] for number in rng.permutation(len(updates))]

    def _split(self, clips: np.ndarray) -> Iterator[list[Pick]]:
        weight = 1.0 / len(clips)
        mine = clips[self.rank :: self.world]
        for step in range(self.steps_per_update):
            part = mine[step * self.micro_batch : (step + 1) * self.micro_batch]
            yield [Pick(int(i), self.epoch, weight) for i in part] or [Pick(int(clips[0]), self.epoch, 0.0)]


def list_lengths(clips: pd.DataFrame, bucket: bool) -> np.ndarray | None:
    """The seconds of each clip, by which samplers put clips together; None where they are to be mixed."""
    return clips.duration_s.to_numpy() if bucket else None


def cut(order: np.ndarray, size: int) -> list[np.ndarray]:
    """Pieces of `size`; the last may be shorter."""
    return [order[first : first + size] for first in range(0, len(order), size)]


class SweepSampler(Sampler[list[Pick]]):
    """Every clip once, without augmentation; all processes yield equally many batches of one size.

    Fillers of weight 0 make up the rest, so that what processes gather has one shape.

    Args:
        count: clips in the dataset.
        batch_size: clips per forward pass.
        rank, world: this process and how many there are.
        lengths: of the clips, any unit: the longest come first and clips of a batch are of similar length,
            which saves padding; None keeps the dataset's order.
    """

    def __init__(self, count: int, batch_size: int, rank: int, world: int, lengths: np.ndarray | None = None):
        self.count, self.rank, self.world = count, rank, world
        order = np.arange(count) if lengths is None else np.argsort(-lengths, kind="stable")
        self.order = order.tolist()
        self.batch_size = min(batch_size, -(-count // world))

    def __len__(self) -> int:
        return -(-self.count // (self.batch_size * self.world))

    def __iter__(self) -> Iterator[list[Pick]]:
        for step in range(len(self)):
            first = (step * self.world + self.rank) * self.batch_size
            clips = [Pick(i) for i in self.order[first : first + self.batch_size]]
            yield clips + [Pick(0, weight=0.0)] * (self.batch_size - len(clips))


def build_sweep(data: ClipDataset, config: DataConfig, accelerator: Accelerator) -> SweepSampler:
    """This process's part of a sweep over a split, by which every model is scored."""
    return SweepSampler(
        len(data),
        config.eval_batch,
        accelerator.process_index,
        accelerator.num_processes,
        list_lengths(data.clips, config.bucket),
    )
