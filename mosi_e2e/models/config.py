"""What a model can be told: the schema of the section `model` of a recipe, and nothing that computes."""

from dataclasses import dataclass, field
from typing import Any

from preprocessing.errors import UserError
from preprocessing.settings import check_range

FREEZE_POLICIES = ("frozen", "last_n", "full")
LAYER_CHOICES = ("last", "weighted")
FUSION_KINDS = ("crossmodal", "bottleneck", "concat")


def check_freeze_policy(section: str, freeze: str, last_n: int) -> None:
    """Refuse a freeze policy that does not exist, naming those that do."""
    if freeze not in FREEZE_POLICIES:
        raise UserError(f"{section}.freeze is one of {', '.join(FREEZE_POLICIES)}; found {freeze!r}")
    if freeze == "last_n" and last_n < 1:
        raise UserError(f"{section}.last_n is at least 1; found {last_n}, or type {section}.freeze=frozen")


@dataclass(frozen=True)
class FaceConfig:
    """Settings of the face encoder.

    Attributes:
        model: a timm model (`convnext_tiny.fb_in22k_ft_in1k`), a hub id (`hf_hub:timm/...`), a local
            folder as `timm.models.save_for_hf` writes it, or a run or model folder of this program: its face
            encoder, with the weights that it has learned.
        pretrained: False builds the same class with random weights.
        weights: a .pth or .safetensors file of `model`, in place of the weights that timm would
            download.
        kwargs: arguments of the timm model's constructor, such as `{depth: 2, embed_dim: 64, num_heads:
            2}`.
        image_size: side in pixels at which the network works, None for its own. Other crops are resized.
        freeze: `frozen`, `last_n` (the last `last_n` layers train) or `full`.
        gradient_checkpointing: recompute activations in the backward pass: less memory, a third more
            time.
    """

    model: str = "vit_small_patch16_224.augreg_in21k_ft_in1k"
    pretrained: bool = True
    weights: str | None = None
    kwargs: dict[str, Any] = field(default_factory=dict)
    image_size: int | None = None
    freeze: str = "last_n"
    last_n: int = 4
    gradient_checkpointing: bool = False

    def __post_init__(self):
        check_freeze_policy("model.crossmodal.face", self.freeze, self.last_n)
        check_range("model.crossmodal.face", self, "image_size", low=1, high=4096)
        if self.weights and not self.pretrained:
            raise UserError("face.weights needs face.pretrained=true; set it, or remove face.weights")


@dataclass(frozen=True)
class SpeechConfig:
    """Settings of the speech encoder.

    Attributes:
        model: hub name or local folder of a checkpoint; with `pretrained: false` also a bare family:
            wav2vec2, hubert, wavlm, data2vec-audio or whisper (its encoder alone). Or a run or model folder
            of this program: its speech encoder, with the weights that it has learned.
        pretrained: False builds the same class with random weights.
        kwargs: entries of the model's transformers config, such as `{hidden_size: 64, num_hidden_layers:
            2}`. With pretrained weights, a smaller `num_hidden_layers` keeps the first layers.
        normalise: zero mean and unit variance per clip; None: as the checkpoint was trained.
        freeze: `frozen`, `last_n` (the last `last_n` transformer layers train) or `full`.
        freeze_stem: keep the convolutional stem frozen under `full` too, as usual in fine-tuning.
        layers: `last`, or `weighted`: a learned mean over all layers, since how something is said is found
            below the last one (SUPERB; Yang et al., Interspeech 2021, section 2.2). What a frozen encoder
            says is then kept of every layer (0.4 MB a second of whisper-base, 1 MB of wav2vec2-base), and
            each of its numbers is standardised by train.
        stride: tokens, of 20 ms each, whose mean becomes one: 8 keeps an eighth, and attention over them
            costs less. How something is said changes more slowly than sounds do.
        gradient_checkpointing: recompute activations in the backward pass: less memory, a third more
            time.
    """

    model: str = "facebook/wav2vec2-base-960h"
    pretrained: bool = True
    kwargs: dict[str, Any] = field(default_factory=dict)
    normalise: bool | None = None
    freeze: str = "last_n"
    last_n: int = 4
    freeze_stem: bool = True
    layers: str = "last"
    stride: int = 1
    gradient_checkpointing: bool = False

    def __post_init__(self):
        check_freeze_policy("model.crossmodal.speech", self.freeze, self.last_n)
        check_range("model.crossmodal.speech", self, "stride", low=1)
        if self.layers not in LAYER_CHOICES:
            raise UserError(
                f"model.crossmodal.speech.layers is one of {', '.join(LAYER_CHOICES)}; found {self.layers!r}"
            )


@dataclass(frozen=True)
class TextConfig:
    """Settings of the encoder of words.

    Attributes:
        model: hub name or local folder of a checkpoint; with `pretrained: false` a bare family: bert,
            distilbert, electra, mpnet, roberta or xlm-roberta. Words are given in lower case.
        pretrained: False builds the same class with random weights, and without a tokenizer.
        kwargs: entries of the model's transformers config, such as `{hidden_size: 64, num_hidden_layers: 2}`.
        freeze: `frozen`, `last_n` (the last `last_n` transformer layers train) or `full`.
        adapter_rank: above 0, the layers that train keep their own weights and learn low-rank adapters of
            this rank beside them (LoRA): a hundredth of the weights, less memory. They want a larger
            `optim.encoder_lr`.
        tokenizer_bytes: length of the tokenizer that comes with stored weights; 0 in a recipe.
    """

    model: str = "sentence-transformers/all-MiniLM-L6-v2"
    pretrained: bool = True
    kwargs: dict[str, Any] = field(default_factory=dict)
    freeze: str = "full"
    last_n: int = 2
    adapter_rank: int = 0
    tokenizer_bytes: int = 0

    def __post_init__(self):
        check_freeze_policy("model.NAME.words", self.freeze, self.last_n)
        check_range("model.NAME.words", self, "tokenizer_bytes", low=0, high=100_000_000)
        check_range("model.NAME.words", self, "adapter_rank", low=0, high=1024)


@dataclass(frozen=True)
class TokenConfig:
    """Settings of a token stream's encoder.

    Attributes:
        width: length of one token.
        stride: rows that become one token. 4 turns 100 rows per second into 25 tokens per second.
        context: further rows on either side that a token sees.
    """

    width: int = 128
    stride: int = 1
    context: int = 0

    def __post_init__(self):
        check_range("model.NAME.STREAM", self, "width", "stride", low=1)  # every model has several
        check_range("model.NAME.STREAM", self, "context", low=0)


@dataclass(frozen=True)
class FusionConfig:
    """How streams are fused.

    `layers` counts the layers in which streams see each other, `self_layers` those in which each stream
    sees only itself: after the cross-attention in `crossmodal`, before the bottleneck layers in
    `bottleneck`; `concat` runs `layers + self_layers` joint ones, so that the three have the same
    depth. Attention takes time by the number of heads, whatever their size: rather few of 32 features or
    more than many small ones.
    """

    kind: str = "crossmodal"
    width: int = 128
    heads: int = 4
    layers: int = 2
    self_layers: int = 1
    ffn_mult: int = 4
    dropout: float = 0.1
    bottleneck_tokens: int = 4

    def __post_init__(self):
        if self.kind not in FUSION_KINDS:
            raise UserError(
                f"model.crossmodal.fusion.kind is one of {', '.join(FUSION_KINDS)}; found {self.kind!r}"
            )
        counts = ("width", "heads", "layers", "ffn_mult", "bottleneck_tokens")
        check_range("model.crossmodal.fusion", self, *counts, low=1)
        check_range("model.crossmodal.fusion", self, "self_layers", low=0)
        check_range("model.crossmodal.fusion", self, "dropout", low=0, below=1)
        if self.width % self.heads:
            raise UserError(
                f"model.crossmodal.fusion.width is a multiple of heads; found {self.width} and {self.heads}: "
                f"try model.crossmodal.fusion.width={-(-self.width // self.heads) * self.heads}"
            )


@dataclass(frozen=True)
class CrossModalConfig:
    """Streams, their encoders, and how they are fused.

    Attributes:
        streams: names out of `mosi_e2e.data.streams` or of `tokens`, in any order.
        tokens: encoders of streams that the cache brings along, by name.
        correction: scale of what the fusion adds to the mean of the streams' own scores. A small one lets the
            fusion learn more slowly than they do (as LayerScale; Touvron et al., ICCV 2021, section 2).
        head_dropout: of the streams' summaries and heads.
        bound: largest score in either direction (3 on MOSI), approached smoothly; 0 leaves scores free.
            Regression only.
    """

    streams: list[str] = field(default_factory=lambda: ["face", "speech", "behaviour"])
    face: FaceConfig = field(default_factory=FaceConfig)
    speech: SpeechConfig = field(default_factory=SpeechConfig)
    behaviour: TokenConfig = field(default_factory=TokenConfig)
    acoustics: TokenConfig = field(default_factory=lambda: TokenConfig(stride=4))
    functionals: TokenConfig = field(default_factory=TokenConfig)
    words: TextConfig = field(default_factory=TextConfig)
    tokens: dict[str, TokenConfig] = field(default_factory=dict)
    fusion: FusionConfig = field(default_factory=FusionConfig)
    correction: float = 0.1
    head_dropout: float = 0.1
    bound: float = 0.0

    def __post_init__(self):
        check_range("model.crossmodal", self, "head_dropout", low=0, below=1)
        check_range("model.crossmodal", self, "correction", "bound", low=0)


@dataclass(frozen=True)
class LateFusionConfig:
    """Sizes of the baseline.

    Attributes:
        streams: which of behaviour, acoustics (low-level descriptors), functionals and `tokens` are used.
        tokens: encoders of streams that the cache brings along, by name; each is a submodel of that name.
        width: of every hidden vector.
        bound: largest score in either direction (3 on MOSI), approached smoothly; 0 leaves scores free.
            Regression only.
    """

    streams: list[str] = field(default_factory=lambda: ["behaviour", "acoustics", "functionals"])
    width: int = 64
    dropout: float = 0.2
    bound: float = 0.0
    behaviour: TokenConfig = field(default_factory=lambda: TokenConfig(width=64, context=1))
    acoustics: TokenConfig = field(default_factory=lambda: TokenConfig(width=64, stride=5, context=2))
    functionals: TokenConfig = field(default_factory=lambda: TokenConfig(width=64))
    words: TextConfig = field(default_factory=TextConfig)
    tokens: dict[str, TokenConfig] = field(default_factory=dict)

    def __post_init__(self):
        check_range("model.late_fusion", self, "width", low=1)
        check_range("model.late_fusion", self, "dropout", low=0, below=1)
        check_range("model.late_fusion", self, "bound", low=0)


@dataclass(frozen=True)
class ModelConfig:
    """`name` chooses the model; the section of that name configures it."""

    name: str = "crossmodal"
    crossmodal: CrossModalConfig = field(default_factory=CrossModalConfig)
    late_fusion: LateFusionConfig = field(default_factory=LateFusionConfig)


def encoder_settings(section: Any, stream: str) -> Any:
    """The settings of a stream's encoder: its own section of the model's, or its entry in `tokens`."""
    return section.tokens.get(stream) or getattr(section, stream, None) or TokenConfig()
