"""What a training loop keeps an eye on while it runs: the losses, and whether it is asked to stop."""

import math
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from accelerate import Accelerator

from preprocessing.errors import UserError

ASK_EVERY = 8  # updates between two questions to the other processes


class LossWatch:
    """Reads losses without making a GPU wait, and stops at one that is NaN or infinite.

    A loss is copied to the host in the background and looked at once it is there, a step or so later.

    Attributes:
        mean: a moving mean of the losses that were looked at, of about the last 20.
    """

    def __init__(self):
        self.mean = math.nan
        self._coming: deque[tuple[torch.Tensor, torch.cuda.Event | None, Sequence[str]]] = deque()

    def put(self, loss: torch.Tensor, clip_ids: Sequence[str]) -> None:
        """Take note of a step's loss [] and its clips, and look at those that have arrived.

        Raises:
            UserError: a loss is NaN or infinite; names the clips of its batch.
        """
        event = None
        if loss.is_cuda:
            host = torch.empty((), dtype=loss.dtype, pin_memory=True)
            loss = host.copy_(loss, non_blocking=True)
            event = torch.cuda.Event()
            event.record()
        self._coming.append((loss, event, clip_ids))
        while self._coming and (self._coming[0][1] is None or self._coming[0][1].query()):
            self._check(*self._coming.popleft())

    def drain(self) -> None:
        """Wait for all losses and look at them: before weights are stored."""
        while self._coming:
            self._check(*self._coming.popleft())

    def _check(self, loss: torch.Tensor, event: torch.cuda.Event | None, clip_ids: Sequence[str]) -> None:
        if event is not None:
            event.synchronize()
        value = loss.item()
        if not math.isfinite(value):
            raise UserError(
                f"the loss became {value} in the batch of the clips {', '.join(clip_ids)}: training "
                "diverged; look at these clips, or type a smaller optim.lr or optim.encoder_lr"
            )
        self.mean = value if math.isnan(self.mean) else 0.95 * self.mean + 0.05 * value


class StopRequest:
    """Whether SIGTERM came, as schedulers of clusters send it before they kill."""

    def __init__(self):
        self.received = False

    @contextmanager
    def listen(self) -> Iterator[None]:
        """Take SIGTERM for a request to stop after the update at hand.

        In a thread other than the main one, where Python takes no signals, nothing is listened to.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGTERM, self._note)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def _note(self, number: int, frame: object) -> None:
        del number, frame
        self.received = True

    def agreed(self, accelerator: Accelerator, update: int) -> bool:
        """Whether to stop after this update; all processes get one answer, at updates that all ask at."""
        if accelerator.num_processes == 1:
            return self.received
        if update % ASK_EVERY:
            return False
        asked = torch.tensor(float(self.received), device=accelerator.device)
        return accelerator.reduce(asked, "sum").item() > 0
