"""Datasets and loaders of a run."""

import atexit
import multiprocessing
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing import util
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from mosi_e2e.config import AugmentConfig
from mosi_e2e.data.augment import Augmenter
from mosi_e2e.data.batch import Batch, collate
from mosi_e2e.data.streams import find_stream
from mosi_e2e.data.workers import HandOver, StartWorker
from preprocessing.errors import UserError

LONGEST_TMPDIR = 70  # characters; a socket's path has at most 104 (macOS), of which Python adds 32


def build_augmenter(
    config: AugmentConfig, stats: Mapping[str, Mapping], streams: Sequence[str]
) -> Augmenter | None:
    """None where augmentation is off; `stats` as of `ClipStore`."""
    if not config.enabled:
        return None
    keys = {name: find_stream(name).key for name in streams if find_stream(name).kind == "tokens"}
    spread = {name: np.asarray(stats[key]["std"], np.float32) for name, key in keys.items() if key in stats}
    return Augmenter(config, spread)


class ClipLoader(DataLoader):
    """A loader whose batches the sampler decides; its `workers` stay alive between epochs.

    Iterating it raises `UserError` for what a loading process reports, and where one is killed.
    """

    def __init__(self, dataset: Dataset, sampler: Sampler, workers: int):
        self.folder = tempfile.TemporaryDirectory(prefix="mosi_e2e_batches_") if workers else None
        place = self.folder.name if workers else ""
        super().__init__(
            dataset,
            batch_sampler=sampler,
            num_workers=workers,
            collate_fn=HandOver(place) if workers else collate,
            persistent_workers=workers > 0,
            worker_init_fn=StartWorker(place) if workers else None,
            multiprocessing_context=worker_context() if workers else None,
            pin_memory=torch.cuda.is_available(),  # then copies to the GPU need not be waited for
        )

    def __iter__(self) -> Iterator[Batch]:
        try:
            yield from self._start()
        except UserError as error:  # of a worker: PyTorch puts its traceback before it
            raise UserError(str(error).rpartition("UserError: ")[2].strip()) from error
        except RuntimeError as error:
            if "DataLoader worker" not in str(error) or "exited unexpectedly" not in str(error):
                raise
            raise UserError(
                "a loading process was killed, most likely for lack of memory: type a smaller data.workers, "
                "or data.workers=0 (same result, slower)"
            ) from error

    def _start(self) -> Iterator[Batch]:
        before = set(multiprocessing.active_children())
        try:
            return super().__iter__()
        except OSError as error:
            forget_half_made(error)
            raise UserError(
                f"loading processes cannot be started ({error}); type data.workers=0, then the training "
                "process loads its clips itself"
            ) from error
        finally:  # those of a start that failed, too
            for worker in set(multiprocessing.active_children()) - before:
                atexit.register(end_worker, worker)


def forget_half_made(error: OSError) -> None:
    """Let PyTorch's iterator whose making failed not be shut down.

    It would fail over the parts that it has not got yet, and print a traceback below the one line.
    """
    for frame, _ in traceback.walk_tb(error.__traceback__):
        made = frame.f_locals.get("self")
        if isinstance(made, _MultiProcessingDataLoaderIter):
            made._shutdown = True


def end_worker(worker: BaseProcess) -> None:
    """End what is still there when the program ends; Python would ask with SIGTERM, and wait for ever."""
    if worker.is_alive():
        worker.kill()


def build_loader(dataset: Dataset, sampler: Sampler, workers: int) -> DataLoader:
    """A loader whose batches the sampler decides; `workers` stay alive between epochs."""
    return ClipLoader(dataset, sampler, workers)


def worker_context() -> BaseContext:
    """How loading processes start: never as a fork of this process.

    A fork copies the locks that other threads (OpenMP, progress bars, queues) hold at that moment but not the
    threads that would release them, so a worker could wait for ever. The fork server is a process without
    threads in which the imports are done once; where there is none (Windows), each worker starts afresh.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    shorten_sockets()
    context = multiprocessing.get_context("forkserver")
    modules = ("fork_server", "dataset", "augment", "workers")
    context.set_forkserver_preload([f"mosi_e2e.data.{name}" for name in modules])
    return context


def shorten_sockets() -> None:
    """Let multiprocessing keep its sockets in /tmp where TMPDIR is too long for the path of one (Slurm).

    Raises:
        UserError: /tmp cannot be used either.
    """
    before = tempfile.gettempdir()
    if len(before) <= LONGEST_TMPDIR:
        return
    try:
        tempfile.tempdir = "/tmp"
        util.get_temp_dir()  # made once and remembered
    except OSError as error:
        raise UserError(
            f"TMPDIR has {len(before)} characters, too many for a socket's path, and /tmp cannot be "
            f"used ({error.strerror}); type export TMPDIR=SHORTER, or data.workers=0"
        ) from error
    finally:
        tempfile.tempdir = before
