"""How a training ends that cannot continue: one line each, with what to type."""

import errno
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from accelerate import PartialState
from accelerate.utils.memory import should_reduce_batch_size
from torch.distributed import DistError

from mosi_e2e.config import RunConfig
from mosi_e2e.runs.out_of_memory import explain_memory
from preprocessing.errors import UserError

DISK_ERRORS = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES))
LOST_PEER = ("gloo", "Connection closed by peer", "Connection reset by peer", "NCCL", "Broken pipe")


@contextmanager
def explain_end(config: RunConfig, folder: Path) -> Iterator[None]:
    """Turn a full disk, too little memory and the death of another process into one line.

    Raises:
        UserError: instead of those errors; others pass.
    """
    threading.excepthook = report_thread  # for good: a thread may end after the training
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        raise UserError(explain_disk(error, folder)) from error
    except RuntimeError as error:
        if should_reduce_batch_size(error):
            raise UserError(explain_memory(config, PartialState().num_processes, str(folder))) from error
        if is_lost_peer(error):
            raise UserError(
                "another process of this training ended, so this one ends too: look at what that one "
                f"printed, then type the same command with --resume, where {folder} holds a state"
            ) from error
        raise


def report_thread(args: threading.ExceptHookArgs) -> None:
    """Print a thread's error, but not that TensorBoard's disk is full: the training reports it, too."""
    is_writer = type(args.thread).__module__.startswith("tensorboard.")
    if not (is_writer and isinstance(args.exc_value, OSError) and args.exc_value.errno in DISK_ERRORS):
        threading.__excepthook__(args)


def explain_disk(error: OSError, folder: Path) -> str:
    """What cannot be written, how much room there is, and how to continue."""
    place = next((one for one in (folder, *folder.absolute().parents) if one.is_dir()), Path("/"))
    where = os.fsdecode(error.filename or folder)
    again = "with --resume" if (folder / "config.yaml").is_file() else "again"
    room = shutil.disk_usage(place).free / 1e6
    return (
        f"{where} cannot be written to: {error.strerror}; {place} has {room:.1f} MB left. What was stored is "
        f"kept: make room and type the same command {again}"
    )


def is_lost_peer(error: RuntimeError) -> bool:
    """Whether communication failed because another process is gone."""
    if PartialState().num_processes == 1:
        return False
    return isinstance(error, DistError) or any(word in str(error) for word in LOST_PEER)
