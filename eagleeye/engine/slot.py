"""A place for one candidate at a time: a network whose tensors are exchanged instead of a network built anew."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from eagleeye.engine.adaptable import Adaptable
from eagleeye.engine.parent import Parent
from eagleeye.thin import set_sizes


class Slot(Adaptable):
    """A network that takes the shape of any candidate; one thread at a time.

    Filling it cuts the parent's tensors and changes nothing else: no graph is built, no module made (but those few
    whose settings follow the widths).

    Args:
        parent: The trained network.
        dtype: Of the weights of convolutions and linear layers; statistics and everything else stay as they are.
    """

    def __init__(self, parent: Parent, *, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(parent.network(), dtype, parent.around if parent.has_core else None)
        self.parent = parent
        self._trained = [(tensor, tensor.clone()) for layer in self.outside for tensor in layer.buffers()]
        self._targets = [self._find(cut.name) for cut in parent.cuts]
        self._layers = self._sized_layers()
        self._folded_weights = {f"{pair.conv}.weight": pair.conv for pair in self.pairs}

    def fill(self, widths: Sequence[int]) -> None:
        """Take the shape of a candidate, with the trained network's statistics.

        Args:
            widths: Channels left per group.

        Raises:
            StrategyError: The widths do not fit the space.
        """
        kept = self.parent.kept(widths)
        indices = self.parent.indices(kept)
        refitted = self.parent.refitted(kept)
        for cut, target in zip(self.parent.cuts, self._targets, strict=True):
            tensor = refitted[cut.name] if cut.name in refitted else cut.of(indices)
            if cut.name in self._folded_weights:
                self.exact[self._folded_weights[cut.name]] = tensor
            tensor = tensor.to(self.dtype) if target in self.low else tensor
            # Recalibration writes into statistics; the parent's are not to change.
            target.data = tensor.clone() if tensor is cut.tensor and not isinstance(target, nn.Parameter) else tensor
        for tensor, trained in self._trained:
            tensor.copy_(trained)
        for thin, full in self._layers:
            set_sizes(thin, full)
        for name, step in self.parent.space.steps.items():
            module = step.build(kept).to(self.parent.device)
            self.network.set_submodule(name, module)
            self.folded.set_submodule(name, module)

    def _find(self, name: str) -> Tensor:
        path, _, key = name.rpartition(".")
        tensor: Tensor = getattr(self.network.get_submodule(path), key)
        return tensor

    def _sized_layers(self) -> list[tuple[nn.Module, nn.Module]]:
        """The layers whose own size attributes follow the widths, each with the parent's."""
        names = dict.fromkeys(cut.name.rpartition(".")[0] for cut in self.parent.cuts)
        return [(self.network.get_submodule(name), self.parent.full.get_submodule(name)) for name in names]
