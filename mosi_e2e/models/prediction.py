"""What every model returns."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Prediction(NamedTuple):
    """A model's answer to a batch of b clips; no label was involved.

    Attributes:
        score: regression: sentiment, in [-3, 3] by intent; binary: logit of "positive"; of c classes the
            logit of each.
        by_stream: the same from each stream alone, for auxiliary losses and for explanation.
    """

    score: Float[Tensor, " b *c"]
    by_stream: dict[str, Float[Tensor, " b *c"]]


def bound_score(score: Float[Tensor, " b *c"], limit: float) -> Float[Tensor, " b *c"]:
    """Keep scores within ±`limit`, with slope 1 at 0 (a hyperbolic tangent); 0 leaves them free."""
    return limit * torch.tanh(score / limit) if limit else score
