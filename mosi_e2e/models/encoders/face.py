"""Face crops through any timm image model: one token per frame."""

from dataclasses import replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from mosi_e2e.models.config import FaceConfig
from mosi_e2e.models.encoders.pretrained import PretrainedEncoder
from mosi_e2e.models.layers import Tokens
from preprocessing.errors import UserError

# Frames per pass where no gradient is kept: bounds the memory that a long video takes, and changes no
# value.
FRAMES_PER_PASS = 256


class FaceEncoder(PretrainedEncoder):
    """Encode each crop alone, into the image model's pooled features.

    Only frames that are there run through the network. Mean, standard deviation, size and interpolation
    are those it was trained with, from its own data config. The crop is kept whole: it is cut around the
    face already, where timm's `crop_pct` is for photographs.
    """

    config_class: ClassVar[type] = FaceConfig
    mean: Tensor
    std: Tensor

    def __init__(self, config: FaceConfig, n_columns: int | None = None):
        # Here, since timm takes seconds to import, and reading a config should not.
        from mosi_e2e.models.encoders.face_checkpoint import load_image_model

        del n_columns  # crops have no columns
        image_model = load_image_model(config)
        backbone = image_model.backbone
        super().__init__(backbone, backbone.head_hidden_size)
        self.config = config
        self.arguments = image_model.arguments
        self.size = image_model.size
        self.interpolation = image_model.interpolation
        # Not in the state dict: they are settings of the network, and saved with those.
        self.register_buffer("mean", 255 * torch.tensor(image_model.mean)[:, None, None], persistent=False)
        self.register_buffer("std", 255 * torch.tensor(image_model.std)[:, None, None], persistent=False)
        if config.gradient_checkpointing:
            _checkpoint_gradients(backbone, config.model)
        layers = self.parameter_layers()
        if config.freeze == "last_n" and config.last_n > len(layers):
            raise UserError(
                f"face.last_n is at most this model's {len(layers)} layers; found {config.last_n}"
            )
        self.freeze_layers(layers, {"frozen": 0, "last_n": config.last_n, "full": len(layers)}[config.freeze])

    def parameter_layers(self) -> list[list[nn.Parameter]]:
        """All parameters, by timm's own notion of a layer, or by top module in models without one."""
        from timm.models import group_parameters

        if hasattr(self.backbone, "group_matcher"):
            matcher = self.backbone.group_matcher(coarse=False)
            first, *others = group_parameters(self.backbone, matcher, return_values=True).values()
        else:
            first, *others = (list(child.parameters()) for child in self.backbone.children())
        grouped = {id(parameter) for layer in (first, *others) for parameter in layer}
        # Some models (pit, efficientvim) have parameters beside their layers, such as positions.
        alone = [parameter for parameter in self.backbone.parameters() if id(parameter) not in grouped]
        return [[*alone, *first], *others]

    def standalone_config(self) -> FaceConfig:
        """A config that rebuilds this network without hub or folder, for weights saved elsewhere."""
        return replace(
            self.config,
            model=self.backbone.pretrained_cfg["architecture"],
            pretrained=False,
            weights=None,
            kwargs=self.arguments,
        )

    def forward(
        self, values: UInt8[Tensor, "b t 3 h w"], time: Float[Tensor, "b t"], is_pad: Bool[Tensor, "b t"]
    ) -> Tokens:
        """Encode the crops of a batch, one token per frame.

        Args:
            values: RGB.
            time: seconds.
            is_pad: True = padding, or no face found.
        """
        chosen = (~is_pad).flatten().nonzero()[:, 0]  # [n] positions in b * t
        if not len(chosen):
            # One frame all the same: every process then has a gradient (of zero) for every parameter.
            chosen = chosen.new_zeros(1)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            encoded = self._encode_frames(values.flatten(0, 1)[chosen])  # [n 3 h w] -> [n d]
        tokens = encoded.new_zeros(is_pad.numel(), self.width).index_copy(0, chosen, encoded)
        tokens = tokens.unflatten(0, is_pad.shape)  # [b * t, d] -> [b t d]
        return Tokens(tokens.masked_fill(is_pad[..., None], 0.0), time, is_pad)

    def _encode_frames(self, frames: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        if torch.is_grad_enabled():
            return self.backbone(self._normalise(frames))
        parts = [self.backbone(self._normalise(part)) for part in frames.split(FRAMES_PER_PASS)]
        return torch.cat(parts)

    def _normalise(self, frames: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 height width"]:
        """To the size and the range of values that the network was trained with."""
        frames = frames.float()
        if frames.shape[-2:] != self.size:
            frames = F.interpolate(frames, self.size, mode=self.interpolation, antialias=True)
            frames = frames.clamp(0, 255)  # the bicubic filter overshoots at edges
        return (frames - self.mean) / self.std


def _checkpoint_gradients(backbone: nn.Module, model: str) -> None:
    try:
        backbone.set_grad_checkpointing(True)
    except AssertionError as error:  # timm's way to say that a model cannot
        raise UserError(
            f"{model} has no gradient checkpointing; set face.gradient_checkpointing=false"
        ) from error
