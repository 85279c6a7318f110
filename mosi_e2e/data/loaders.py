"""Datasets and loaders of a run."""

import multiprocessing
from collections.abc import Sequence
from multiprocessing.context import BaseContext

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from mosi_e2e.data.augment import AugmentConfig, Augmenter
from mosi_e2e.data.batch import collate
from mosi_e2e.data.streams import find_source
from preprocessing.store import ClipStore


def build_augmenter(config: AugmentConfig, store: ClipStore, streams: Sequence[str]) -> Augmenter | None:
    """None where augmentation is off."""
    if not config.enabled:
        return None
    stats = store.stats
    keys = {name: find_source(name).key for name in streams if find_source(name).kind == "tokens"}
    spread = {name: np.asarray(stats[key]["std"], np.float32) for name, key in keys.items() if key in stats}
    return Augmenter(config, spread)


def build_loader(dataset: Dataset, sampler: Sampler, workers: int) -> DataLoader:
    """A loader whose batches the sampler decides; `workers` stay alive between epochs."""
    return DataLoader(
        dataset,
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        persistent_workers=workers > 0,
        worker_init_fn=quiet_worker if workers else None,
        multiprocessing_context=worker_context() if workers else None,
        pin_memory=torch.cuda.is_available(),  # then copies to the GPU need not be waited for
    )


def worker_context() -> BaseContext:
    """How loading processes start: never as a fork of this process.

    A fork copies the locks that other threads (OpenMP, progress bars, queues) hold at that moment but not the
    threads that would release them, so a worker could wait for ever. The fork server is a process without
    threads in which the imports are done once; where there is none (Windows), each worker starts afresh.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mosi_e2e.data.dataset", "mosi_e2e.data.augment"])
    return context


def quiet_worker(number: int) -> None:
    """One thread per loading worker: there are several, and the training process needs the cores."""
    del number
    import cv2

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
