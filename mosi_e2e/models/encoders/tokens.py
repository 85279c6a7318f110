"""Streams that are tables already: behaviour tokens, low-level descriptors, functionals."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mosi_e2e.models.config import TokenConfig
from mosi_e2e.models.layers import Tokens
from mosi_e2e.models.strides import join_times, missing_rows
from preprocessing.errors import UserError

# In standard deviations. Beyond it lie a tracker that slipped and a period detected wrongly: on real
# clips at most 0.2 % of any column of OpenFace or eGeMAPS, where one spike of 1e4 would drown its clip.
LIMIT = 10.0


class TokenEncoder(nn.Module):
    """Standardise, project, join neighbouring rows, normalise.

    Mean and standard deviation are buffers, so that they travel with the weights. Rows of padding, and
    rows that the tracker marked as failed, enter as zeros (the mean of the training data) whatever they
    hold, NaN included. With `stride` or `context`, a convolution over time of `stride + 2 * context`
    rows makes one token of every `stride` rows; its time is the mean over the valid rows among them, and
    it is padding where no row is valid.
    """

    config_class: ClassVar[type] = TokenConfig
    mean: Tensor
    std: Tensor

    def __init__(self, config: TokenConfig, n_columns: int | None):
        super().__init__()
        if not n_columns:
            raise UserError(f"a token stream needs the number of its columns; found {n_columns}")
        self.config = config
        self.width = config.width
        self.register_buffer("mean", torch.zeros(n_columns))
        self.register_buffer("std", torch.ones(n_columns))
        self.project = nn.Linear(n_columns, config.width)
        kernel = config.stride + 2 * config.context
        self.join = (
            nn.Conv1d(config.width, config.width, kernel, config.stride) if kernel > 1 else nn.Identity()
        )
        self.norm = nn.LayerNorm(config.width)

    def set_statistics(self, mean: Float[Tensor, " d"], std: Float[Tensor, " d"]) -> None:
        """Take over mean and standard deviation per column, of the training split.

        Args:
            mean: raw units. A value that is not finite (a column never seen) counts as 0.
            std: raw units. A column that is constant up to rounding (std 0 or nearly), or unknown (not
                finite), is centred only.
        """
        if mean.shape != self.mean.shape or std.shape != self.std.shape:
            raise UserError(
                f"statistics must have one value per column: the stream has {len(self.mean)} columns, "
                f"the statistics {tuple(mean.shape)} and {tuple(std.shape)}; preprocess the set again"
            )
        self.mean.copy_(torch.where(mean.isfinite(), mean, 0.0))
        self.std.copy_(torch.where(std.isfinite() & (std > 1e-6 * self.mean.abs()), std, 1.0))

    def parameter_layers(self) -> list[list[nn.Parameter]]:
        """All parameters: one layer."""
        return [list(self.parameters())]

    def standalone_config(self) -> TokenConfig:
        """The config itself: nothing is fetched from elsewhere."""
        return self.config

    def forward(
        self, values: Float[Tensor, "b t d"], time: Float[Tensor, "b t"], is_pad: Bool[Tensor, "b t"]
    ) -> Tokens:
        """Encode one stream.

        Args:
            values: raw units.
            time: seconds, centre of each row.
            is_pad: True = padding, or a row that the tracker failed on.

        Returns:
            `ceil(t / stride)` tokens.
        """
        standard = ((values - self.mean) / self.std).clamp(-LIMIT, LIMIT)
        hidden = self.project(standard.masked_fill(is_pad[..., None], 0.0))  # [b t d] -> [b t w]
        if not isinstance(self.join, nn.Identity):
            hidden = self._join_rows(hidden.masked_fill(is_pad[..., None], 0.0))
        hidden = self.norm(F.gelu(hidden))
        time, is_pad = join_times(time, is_pad, self.config.stride)
        return Tokens(hidden.masked_fill(is_pad[..., None], 0.0), time, is_pad)

    def _join_rows(self, hidden: Float[Tensor, "b t w"]) -> Float[Tensor, "b u w"]:
        """One token of every `stride` rows."""
        context = self.config.context
        hidden = F.pad(
            hidden.transpose(1, 2), (context, context + missing_rows(hidden.shape[1], self.config.stride))
        )
        return self.join(hidden).transpose(1, 2)
