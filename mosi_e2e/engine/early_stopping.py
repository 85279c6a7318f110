"""When to stop, and which epoch was best."""

import math

from mosi_e2e.config import StoppingConfig


class EarlyStopping:
    """Follows one metric of the valid split.

    Attributes:
        best: the best value so far, None before the first epoch.
        best_epoch: its epoch.
        waited: epochs since then.
    """

    def __init__(self, config: StoppingConfig, mode: str):
        self.config, self.mode = config, mode
        self.best: float | None = None
        self.best_epoch = -1
        self.waited = 0

    def update(self, value: float | None, epoch: int) -> bool:
        """Take an epoch's metric; True where it is the best so far. An undefined value is never better."""
        if value is not None and math.isfinite(value) and self._is_better(value):
            self.best, self.best_epoch, self.waited = value, epoch, 0
            return True
        self.waited += 1
        return False

    def _is_better(self, value: float) -> bool:
        if self.best is None:
            return True
        gain = self.best - value if self.mode == "min" else value - self.best
        return gain > self.config.min_delta

    @property
    def should_stop(self) -> bool:
        """Whether patience has run out."""
        return self.waited >= self.config.patience

    def state_dict(self) -> dict:
        """What a resumed run continues from."""
        return {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited}

    def load_state_dict(self, state: dict) -> None:
        """Continue from a stored state."""
        best = state["best"]
        self.best, self.best_epoch = None if best is None else float(best), int(state["best_epoch"])
        self.waited = int(state["waited"])
        if self.waited < 0 or not math.isfinite(self.best or 0):
            raise ValueError(f"the best value is {self.best}, {self.waited} epochs ago")
