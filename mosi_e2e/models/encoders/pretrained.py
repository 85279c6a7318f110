"""What encoders with pretrained weights share: which layers train, and how the others are kept still."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class PretrainedEncoder(nn.Module):
    """An encoder around `backbone`, another library's network, of which some layers may be frozen.

    Frozen layers stay in eval mode whatever `train()` says: dropout, stochastic depth and gradient
    checkpointing act on trained layers only, and a frozen encoder gives the same tokens in training as
    in prediction. A frozen beginning builds no autograd graph, as nothing that enters it asks for a
    gradient.

    Batch normalisation always uses its stored statistics; its scale and shift train like any weight.
    Statistics of the batch would depend on how clips are spread over processes and accumulation steps,
    and the frames of one clip are too similar to estimate them from.
    """

    def __init__(self, backbone: nn.Module, width: int):
        super().__init__()
        self.backbone = backbone
        self.width = width
        self.frozen = False

    def parameter_layers(self) -> list[list[nn.Parameter]]:
        """All parameters, one list per layer, from input to output."""
        raise NotImplementedError

    def freeze_layers(self, layers: list[list[nn.Parameter]], n_trainable: int) -> None:
        """Freeze all but the last `n_trainable` of `layers`."""
        for layer in layers[: len(layers) - n_trainable]:
            for parameter in layer:
                parameter.requires_grad_(False)
        self.frozen = not any(parameter.requires_grad for parameter in self.backbone.parameters())
        self.train(self.training)

    def train(self, mode: bool = True) -> "PretrainedEncoder":
        """Set training mode, frozen layers excepted.

        `modules()` goes from the outside in and from input to output, so that a module without
        parameters (dropout, activation, padding) follows the one before it.
        """
        super().train(mode)
        trainable = True
        for module in self.backbone.modules():
            parameters = list(module.parameters())
            if parameters:
                trainable = any(parameter.requires_grad for parameter in parameters)
            if not trainable or isinstance(module, _BatchNorm):
                module.training = False
        return self
