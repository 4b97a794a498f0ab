"""The place of the core in a copy of the whole network, which one form of a candidate or another takes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from eagleeye.scoring.evaluate import in_float32


class Place(nn.Module):
    """Called in the core's place.

    Args:
        core: What takes it at first.
        dtype: Of the core's convolutions and linear layers; what it gives to the rest of the network is float32 again.
        device: Where it runs.
    """

    def __init__(self, core: nn.Module, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__()
        self.core = core
        self.dtype = dtype
        self.device = device
        self.ends = False
        """Whether a forward pass ends here: what follows has nothing to be recalibrated."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the core."""
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            outputs = self.core(*args, **kwargs)
        if self.ends:
            raise _EndedError
        return outputs if self.dtype == torch.float32 else in_float32(outputs)


class Around(nn.Module):
    """A whole network as it is run.

    Args:
        whole: The network.
        place: Of its core.
        precision: In which it takes images, whatever its core's weights are in.
        ends: Whether it is run no further than its core; there is no output then.
    """

    def __init__(self, whole: nn.Module, place: Place, precision: torch.dtype, *, ends: bool) -> None:
        super().__init__()
        self.whole = whole
        self.input_precision = precision
        self._place = [place]  # no module of its own
        self._ends = ends

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run it."""
        place = self._place[0]
        place.ends = self._ends
        try:
            return self.whole(*args, **kwargs)
        except _EndedError:
            return None


class _EndedError(Exception):
    pass
