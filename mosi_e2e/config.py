"""What a run can be told: the schema of the recipes in `configs/`, and nothing that does the work.

Reading settings, listing them and `--help` need no torch. The models' options: `models/config.py`.
"""

from dataclasses import dataclass, field

from mosi_e2e.models.config import ModelConfig
from preprocessing.errors import UserError
from preprocessing.settings import check_choice, check_range

SPLITS = ("train", "valid", "test")
ALL = "all"  # of them at once
FAILED = ("failed", "refused")  # states of clips that are not in the cache
ABSENCES = ("no_audio", "no_face", "no_video", "too_short", "no_rows")  # states of clips that lack a stream
TASKS = ("regression", "binary", "classes")
FOLD_UNITS = ("video_id",)
MOST_VALENCE = 3.0
ZERO_RULES = ("drop", "positive")
REGRESSION_LOSSES = ("l1", "mse", "huber")
SCHEDULES = ("cosine", "plateau", "constant")
TRACKERS = ("tensorboard", "wandb")
MATMUL = ("highest", "high", "medium")
SPEED_STEPS = 20  # tempo changes by multiples of 1/20: few resamplers, each made once


@dataclass(frozen=True)
class FoldConfig:
    """Splits from a rule instead of the cache's own: train without fold `test`, which is then scored.

    Attributes:
        by: `video_id`: whole videos (speakers, where the labels say so) go to a fold; empty: no folds.
        n: number of folds; 0 leaves one video out at a time.
        test: the fold that is test, from 0; the one after it is valid.
        seed: of the dealing.
    """

    by: str = ""
    n: int = 0
    test: int = 0
    seed: int = 0

    def __post_init__(self):
        if self.by:
            check_choice("data.folds.by", self.by, FOLD_UNITS)
        check_range("data.folds", self, "n", "test", "seed", low=0)
        if self.n in (1, 2):
            raise UserError(f"data.folds.n is 0 or at least 3 (train, valid, test); found {self.n}")
        if self.n and self.test >= self.n:
            raise UserError(f"data.folds.test is one of 0 to {self.n - 1}; found {self.test}")


@dataclass(frozen=True)
class DataConfig:
    """Where clips come from and how they are batched.

    Attributes:
        cache: folder that preprocessing wrote, a pack of it, or shards of it.
        source: cache | shards: what lies there. The clips of an update are the same either way.
        batch_size: clips per optimizer update, over all processes and micro-batches.
        micro_batch: clips per forward pass of one process; 0 takes the process's whole share at once.
            Results do not depend on it; memory does.
        eval_batch: clips per forward pass of one process in evaluation.
        workers: loading processes beside each training process.
        bucket: clips of one update, and of a batch in evaluation, are of similar length, which saves padding.
        encode_frozen: what a frozen encoder makes of a stream that is not augmented is computed once and kept
            in the cache; an epoch then costs a fraction.
        scramble_times: only for ablations: within each clip the rows of a stream get one another's times, so
            that nothing can be known from when things happened.
        max_seconds: a longer training clip gives a random window of this length; 0 never cuts.
        allow_missing: causes for which clips may be left out or lack a stream: `failed`, `refused` (not in
            the cache), `no_audio`, `no_face`, `no_video`, `too_short`, `no_rows` (lack a stream, stay in).
        labels_valence: of a set whose labels are names, the sentiment in [-3, 3] of each name, for the tasks
            regression and binary: `{happy: 2, sad: -2, surprised: null}`; null leaves the name's clips out.
        folds: splits from a rule; `python -m mosi_e2e.ablate` runs all of them.
    """

    cache: str = "cache/mosi"
    source: str = "cache"
    batch_size: int = 16
    micro_batch: int = 0
    eval_batch: int = 16
    workers: int = 2
    bucket: bool = False
    encode_frozen: bool = True
    scramble_times: bool = False
    max_seconds: float = 30.0
    allow_missing: list[str] = field(default_factory=lambda: list(ABSENCES))
    labels_valence: dict[str, float | None] = field(default_factory=dict)
    folds: FoldConfig = field(default_factory=FoldConfig)

    def __post_init__(self):
        check_range("data", self, "batch_size", "eval_batch", low=1)
        check_range("data", self, "micro_batch", "max_seconds", low=0)
        check_range("data", self, "workers", low=0, high=1024)  # processes: a typing error takes the machine
        for name, value in self.labels_valence.items():
            if value is not None and not abs(value) <= MOST_VALENCE:
                raise UserError(f"data.labels_valence.{name} is in [-3, 3] or null; found {value:g}")


@dataclass(frozen=True)
class AugmentConfig:
    """Strength of each augmentation; 0 switches one off, `enabled: false` all.

    Attributes:
        flip: probability that a clip's faces are mirrored (crops only: tokens keep their sides).
        affine: largest shift (share of the side) and zoom of the crops; rotation is 90 degrees times this.
        colour: largest relative change of brightness, contrast and saturation.
        blur: probability of a slight Gaussian blur.
        jpeg: probability that crops are compressed to a JPEG quality from 20 to 80.
        shrink: probability that crops are shrunk, to 0.2 to 0.8 of their side, and enlarged again: as a face
            is that was small in its video.
        gain_db: largest change of loudness.
        noise_db: lowest signal-to-noise ratio of added white noise, drawn up to 20 dB above it.
        noise: probability of adding that noise.
        speed: largest relative change of tempo; pitch goes along, the times of all streams are rescaled.
        token_noise: standard deviation of noise on tokens, in training standard deviations.
        time_mask: largest share of a token stream's rows that one gap removes.
        stream_dropout: probability that a clip loses one stream; it never loses its last.
    """

    enabled: bool = True
    flip: float = 0.5
    affine: float = 0.08
    colour: float = 0.25
    blur: float = 0.1
    jpeg: float = 0.0
    shrink: float = 0.0
    gain_db: float = 6.0
    noise_db: float = 10.0
    noise: float = 0.5
    speed: float = 0.1
    token_noise: float = 0.1
    time_mask: float = 0.2
    stream_dropout: float = 0.1

    def __post_init__(self):
        shares = ("flip", "colour", "blur", "jpeg", "shrink", "noise", "time_mask", "stream_dropout")
        check_range("augment", self, *shares, low=0, high=1)
        check_range("augment", self, "affine", low=0, below=1)  # a zoom to nothing cannot be undone
        check_range("augment", self, "gain_db", low=0, high=100)  # thousands overflow
        check_range("augment", self, "noise_db", low=-100, high=100)
        check_range("augment", self, "speed", low=0, high=1 - 1 / SPEED_STEPS)  # at 1 it may stand still
        check_range("augment", self, "token_noise", low=0)


@dataclass(frozen=True)
class LossConfig:
    """What is minimised.

    Attributes:
        regression: l1 | mse | huber.
        huber_delta: where Huber's loss turns from square to linear.
        balance: binary and classes: give all classes the same weight, whatever their shares in train.
        auxiliary: weight of each stream's own loss beside the fused one's.
        ccc: regression only: weight of 1 - CCC over the update's clips, which rewards the right spread of
            scores and not only small errors. It needs every update in one pass (`data.micro_batch=0`).
        ordinal: regression only: weight of the proportional-odds loss at the cut points between the seven
            classes.
        smoothing: classes only: share of each clip's label that is spread over all classes (label smoothing;
            Szegedy et al., CVPR 2016, section 7). It helps few speakers; probabilities are then too cautious.
    """

    regression: str = "l1"
    huber_delta: float = 1.0
    balance: bool = False
    auxiliary: float = 0.2
    ccc: float = 0.0
    ordinal: float = 0.0
    smoothing: float = 0.0

    def __post_init__(self):
        check_range("loss", self, "huber_delta", above=0)
        check_range("loss", self, "smoothing", low=0, below=1)
        check_range("loss", self, "auxiliary", "ccc", "ordinal", low=0)


@dataclass(frozen=True)
class OptimConfig:
    """AdamW and its learning rate.

    Attributes:
        lr: peak rate of everything that is new.
        encoder_lr: peak rate of the face and speech encoders' last layer.
        layer_decay: an encoder layer learns at `layer_decay` times the rate of the one after it.
        weight_decay: of matrices; biases, norms and embeddings have none.
        epochs: longest training.
        warmup: share of all updates over which the rate rises from 0.
        schedule: cosine (to `final` times the peak) | plateau (times `factor` after `patience` epochs
            without a better valid metric) | constant.
        clip: largest norm of the gradient; 0 = never clipped.
        ema: validate and keep a moving average of the weights that forgets by this factor per update (0.999,
            say, where an epoch has hundreds of updates); 0 keeps the weights themselves.
    """

    lr: float = 1e-3
    encoder_lr: float = 2e-5
    layer_decay: float = 0.9
    weight_decay: float = 0.05
    epochs: int = 40
    warmup: float = 0.1
    schedule: str = "cosine"
    final: float = 0.01
    factor: float = 0.5
    patience: int = 3
    clip: float = 1.0
    ema: float = 0.0

    def __post_init__(self):
        check_range("optim", self, "lr", "encoder_lr", "weight_decay", "patience", "clip", low=0)
        check_range("optim", self, "layer_decay", "warmup", "final", low=0, high=1)
        check_range("optim", self, "epochs", low=1)
        check_range("optim", self, "factor", above=0, below=1)
        check_range("optim", self, "ema", low=0, below=1)


@dataclass(frozen=True)
class StoppingConfig:
    """Stop after `patience` epochs whose valid metric is not better than the best by `min_delta`."""

    patience: int = 8
    min_delta: float = 0.0

    def __post_init__(self):
        check_range("stopping", self, "patience", low=1)
        check_range("stopping", self, "min_delta", low=0)


@dataclass(frozen=True)
class RunConfig:
    """One training run. Processes and precision are Accelerate's business, all else is here.

    Attributes:
        name: of the run's folder below `out`.
        seed: of weights, order, augmentation and dropout.
        start: run or model folder whose weights the model begins with; it has the same model settings.
        task: regression (sentiment in [-3, 3]) | binary (negative / positive) | classes (the names that the
            labels are, such as happy).
        zero_label: binary only: clips labelled 0 are left out (`drop`) or `positive`.
        compile: run the model through `torch.compile`: the first steps, and the
            first validation, take minutes; later ones are faster.
        matmul: how exactly float32 matrices are multiplied (`torch.set_float32_matmul_precision`): highest |
            high (TF32 on GPUs that have it) | medium (bfloat16 inside, on GPUs and on processors with AMX).
        save_every: store the state to resume from after so many updates within an epoch, too; 0 stores it
            after each epoch and at SIGTERM alone.
        trackers: where curves go live: tensorboard, wandb (Weights & Biases, if installed).
    """

    name: str = "run"
    out: str = "runs"
    seed: int = 0
    start: str = ""
    task: str = "regression"
    zero_label: str = "drop"
    compile: bool = False
    matmul: str = "highest"
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
        check_choice("matmul", self.matmul, MATMUL)
        check_range("", self, "save_every", low=0)
        check_loss(self.task, self.loss)


def check_loss(task: str, loss: LossConfig) -> None:
    """Refuse parts of a loss that the task has no use for.

    Raises:
        UserError: says what to type.
    """
    if task != "regression" and (loss.ccc or loss.ordinal):
        raise UserError("loss.ccc and loss.ordinal belong to task=regression; type loss.ccc=0 loss.ordinal=0")
    if task != "classes" and loss.smoothing:
        raise UserError("loss.smoothing belongs to task=classes; type loss.smoothing=0")
