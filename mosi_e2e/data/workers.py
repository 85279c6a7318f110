"""What loading processes do beside reading clips: end with their training, and hand batches over."""

import functools
import multiprocessing
import os
import shutil
import signal
import sys
import threading
from collections.abc import Sequence
from multiprocessing.connection import wait
from pathlib import Path
from uuid import uuid4

import torch
from safetensors.torch import load_file

from mosi_e2e.data.batch import Batch, collate
from mosi_e2e.tensors import write_tensors
from preprocessing.errors import UserError

SHARED_MEMORY = Path("/dev/shm")


class StartWorker:
    """What a loading process does first.

    It keeps to one thread, since there are several of its kind and training needs the cores. Signals to the
    whole group (Ctrl-C, Slurm, systemd, Docker) are for the training, which still needs batches to store its
    state; and when the training dies, however it does, the process ends with it.

    Args:
        folder: of batches that go through files; removed by who is left last.
    """

    def __init__(self, folder: str):
        self.folder = folder

    def __call__(self, number: int) -> None:
        """Called by PyTorch in worker `number`."""
        import cv2

        cv2.setNumThreads(1)
        torch.set_num_threads(1)
        for one in (signal.SIGTERM, signal.SIGINT):
            signal.signal(one, signal.SIG_IGN)
        threading.Thread(target=self.end_with_parent, name=f"parent of worker {number}", daemon=True).start()

    def end_with_parent(self) -> None:
        """Wait for the end of the process that asked for this one, and end.

        The fork server stands between the two, so neither the parent's id nor `PR_SET_PDEATHSIG` would tell.
        """
        wait([multiprocessing.parent_process().sentinel])
        shutil.rmtree(self.folder, ignore_errors=True)
        os._exit(1)


class HandOver:
    """Collates in a loading process and puts the batch where the training can take it from.

    That is shared memory, as PyTorch does it, but here and not in the queue's thread, where an error would be
    printed and the batch lost: training would wait for it for ever. Where there is too little shared memory
    (Docker gives 64 MB), the batch goes through a file.
    """

    def __init__(self, folder: str):
        self.folder = folder

    def __call__(self, examples: Sequence[dict]) -> "Batch | FileBatch":
        """Collate the examples of one batch."""
        batch = collate(examples)
        try:
            for value in batch.values():
                if isinstance(value, torch.Tensor):
                    value.share_memory_()
        except RuntimeError:  # PyTorch's for: no room
            return FileBatch(batch, Path(self.folder) / f"{uuid4().hex}.safetensors")
        return batch


class FileBatch:
    """A batch in a file: pickled, it is the file's name; unpickled, the batch."""

    def __init__(self, batch: Batch, path: Path):
        self.path = str(path)
        self.rest = {key: value for key, value in batch.items() if not isinstance(value, torch.Tensor)}
        tensors = {key: value for key, value in batch.items() if key not in self.rest}
        try:
            write_tensors(path, tensors)
        except OSError as error:
            raise UserError(
                f"neither shared memory nor {path.parent} has room for a batch ({error.strerror}); type "
                "data.workers=0, or make room"
            ) from error

    def __reduce__(self) -> tuple:
        return read_batch, (self.path, self.rest)


def read_batch(path: str, rest: Batch) -> Batch:
    """Take a batch out of its file, in the process that trains."""
    tell_small_memory(Path(path).parents[1])
    batch = load_file(path)
    Path(path).unlink()
    return rest | batch


@functools.cache  # once for all loaders
def tell_small_memory(folder: Path) -> None:
    """Say that batches take the way through files."""
    size = shutil.disk_usage(SHARED_MEMORY).total / 1e6 if SHARED_MEMORY.is_dir() else 0
    print(
        f"note: shared memory ({SHARED_MEMORY}, {size:.0f} MB) is too small for the batches: they go "
        f"through files in {folder}; with Docker type docker run --shm-size=2g",
        file=sys.stderr,
        flush=True,
    )
