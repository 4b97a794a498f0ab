"""The exponential moving average of a network's weights, which is scored and kept in their place."""

from __future__ import annotations

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class MovingAverage(AveragedModel):
    """A copy of a network that follows it: average ← decay · average + (1 - decay) · weights, after every step.

    BN statistics are averaged like the weights, so that they belong to the same mixture of steps. The first update
    copies: no weights of before the training remain.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Copy the network.

        Args:
            model: The network, where it will be trained.
            decay: In (0, 1); about 1 / (1 - decay) steps are averaged.
        """
        super().__init__(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)

    def update_parameters(self, model: nn.Module) -> None:
        """Take the network's weights and buffers after a step into the average.

        Args:
            model: The network that was copied.
        """
        super().update_parameters(model)
        for mine, theirs in zip(self.module.buffers(), model.buffers(), strict=True):
            # A count or an index has no average: rounded down it would drift away.
            if not mine.is_floating_point():
                mine.copy_(theirs)
