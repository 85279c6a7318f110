"""What a run can be told: the schema of the recipes in `configs/`."""

from dataclasses import dataclass, field

from mosi_e2e.data.augment import AugmentConfig
from mosi_e2e.data.dataset import DataConfig
from mosi_e2e.engine.early_stopping import StoppingConfig
from mosi_e2e.engine.losses import LossConfig
from mosi_e2e.engine.optim import OptimConfig
from mosi_e2e.models import ModelConfig
from preprocessing.settings import check_range


@dataclass(frozen=True)
class RunConfig:
    """One training run. Processes and precision are Accelerate's business, all else is here.

    Attributes:
        name: of the run's folder below `out`.
        seed: of weights, order, augmentation and dropout.
        task: regression (sentiment in [-3, 3]) | binary (negative / positive).
        zero_label: binary only: clips labelled 0 are left out (`drop`) or `positive`.
        compile: run the model through `torch.compile`: the first steps, and the
            first validation, take minutes; later ones are faster.
        save_every: store the state to resume from after so many updates within an epoch, too; 0 stores it
            after each epoch and at SIGTERM alone.
        trackers: where curves go live: tensorboard, wandb (Weights & Biases, if installed).
    """

    name: str = "run"
    out: str = "runs"
    seed: int = 0
    task: str = "regression"
    zero_label: str = "drop"
    compile: bool = False
    save_every: int = 0
    trackers: list[str] = field(default_factory=lambda: ["tensorboard"])
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    stopping: StoppingConfig = field(default_factory=StoppingConfig)

    def __post_init__(self):
        check_range("", self, "seed", low=0, high=2**32 - 1)  # NumPy's global generator takes no more
        check_range("", self, "save_every", low=0)
