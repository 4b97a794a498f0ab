"""The trained network that all candidates are cut from: its tensors, and in which order its channels go."""

from __future__ import annotations

import copy
import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn

from eagleeye.channels.core import apart, core_inputs, with_core
from eagleeye.channels.plain import plain
from eagleeye.channels.space import Space
from eagleeye.channels.steps import Kept
from eagleeye.engine.split import split
from eagleeye.forward.inputs import Inputs, precision_of
from eagleeye.importance import Criterion, l1_norm
from eagleeye.prune import first_of, order_of
from eagleeye.reconstruction import Reconstruction
from eagleeye.scoring.batchnorm import batch_norm_layers, exact
from eagleeye.stored.names import attribute
from eagleeye.thin import build_thin, check_fits, check_widths


@dataclass(frozen=True)
class Cut:
    """A tensor that differs from candidate to candidate."""

    name: str
    tensor: Tensor
    """Its value in the trained network."""
    axes: tuple[tuple[int, int], ...]
    """Each axis that loses channels, and the number of its entry in `Parent.places`."""

    def of(self, indices: Sequence[Tensor | None]) -> Tensor:
        """The tensor without what goes.

        Args:
            indices: From `Parent.indices`.
        """
        tensor = self.tensor
        for axis, place in self.axes:
            index = indices[place]
            tensor = tensor if index is None else tensor.index_select(axis, index)
        return tensor


class Parent:
    """What all candidates of a network share; read by any number of threads at a time.

    Args:
        model: The trained network, left untouched; its tensors are copied once.
        space: Its search space.
        criterion: Importance of every group's channels.
        refit: From `reconstruct`, with this model: candidates' layers are refitted to do without the inputs they lose.

    Raises:
        StrategyError: The space was traced from another network, or `refit` measured with another one.
    """

    def __init__(
        self,
        model: nn.Module,
        space: Space,
        *,
        criterion: Criterion = l1_norm,
        refit: Reconstruction | None = None,
    ) -> None:
        core, alone = apart(model, space)
        core = plain(core)
        check_fits(core, space)
        self.space = space
        self.precision = precision_of(core)
        everything = [np.ones(group.channels, dtype=bool) for group in space.groups]
        self.full = build_thin(core, space, everything).eval()
        """The trained network, or its core, in the candidates' form, with nothing removed, from where they differ."""
        self._whole = with_core(model, space.core, self.full).eval()
        norms = batch_norm_layers(self._whole)
        self._types = [layer.running_mean.dtype for layer in norms if layer.running_mean is not None]
        for layer in norms:
            exact(layer)
        self.device = next((tensor.device for tensor in core.parameters()), torch.device("cpu"))
        self._order = order_of(core, alone, criterion)
        if refit is not None:
            refit.check(core)
        self._refit = None if refit is None else refit.refit(self._order)
        self._numbers: dict[bytes, int] = {}
        self.places: list[npt.NDArray[np.int64]] = []
        """The distinct lists of channel ids that tensors' axes carry: many tensors share one."""
        self.cuts = tuple(self._cuts())
        self.start: fx.GraphModule | None = None
        """The layers before that, where they are run apart."""

    @property
    def has_core(self) -> bool:
        """Whether candidates are the core of a larger network."""
        return bool(self.space.core)

    @property
    def whole(self) -> nn.Module:
        """The trained network around `full`; `full` itself where it has no core."""
        return self._whole if self.has_core else self.full

    def around(self, core: nn.Module) -> nn.Module:
        """A copy of the whole network with something else in the core's place.

        Args:
            core: What takes it; not copied.
        """
        return copy.deepcopy(self._whole, {id(self.full): core})

    def reaching(self, inputs: Inputs) -> Inputs:
        """What the core is called with; see `eagleeye.channels.core.core_inputs`.

        Args:
            inputs: What the whole network takes.
        """
        return core_inputs(self.whole, self.space.core, inputs)

    def kept(self, widths: Sequence[int]) -> Kept:
        """Which channel ids a candidate keeps: of every group the most important ones.

        Args:
            widths: Channels left per group.

        Returns:
            By channel id.

        Raises:
            StrategyError: The widths do not fit the space.
        """
        check_widths(self.space, widths)
        return self.space.kept(first_of(self._order, widths))

    def refitted(self, kept: Kept) -> dict[str, Tensor]:
        """The tensors of a candidate that are not merely cut, by name.

        Args:
            kept: From `kept`.
        """
        return {} if self._refit is None else self._refit.tensors(kept)

    def indices(self, kept: Kept) -> list[Tensor | None]:
        """Which positions stay, for every entry of `places`; None where all do."""
        keeps = [kept[ids] for ids in self.places]
        return [
            None if keep.all() else torch.from_numpy(np.flatnonzero(keep)).to(self.device, non_blocking=True)
            for keep in keeps
        ]

    def set_apart(self) -> None:
        """Take the layers that are the same in all candidates off the network, as `start`, if it begins with any."""
        halves = split(self.full, self._differs)
        if halves is not None:
            self.start, self.full = halves
            left = {name for name, _ in self.full.named_modules()}
            self.cuts = tuple(cut for cut in self.cuts if cut.name.rpartition(".")[0] in left)

    def _differs(self, node: fx.Node) -> bool:
        name = str(node.target)
        if node.op not in ("call_module", "get_attr"):
            return False
        return name in self.space.steps or any(
            cut.axes and (cut.name == name or cut.name.startswith(f"{name}.")) for cut in self.cuts
        )

    def network(self) -> fx.GraphModule:
        """A network of the candidates' kind with nothing removed, in evaluation mode; its tensors are its own."""
        return copy.deepcopy(self.full)

    def as_given(self, network: nn.Module) -> nn.Module:
        """Bring a network of the candidates' kind back to the trained one's precision; it is changed.

        Args:
            network: The whole of it.

        Returns:
            The same network.
        """
        for layer, dtype in zip(batch_norm_layers(network), self._types, strict=True):
            layer.to(dtype)
        return network

    def _cuts(self) -> list[Cut]:
        axes: dict[str, list[tuple[int, int]]] = {name: [] for name in (*self._statistics(), *self._refit_names())}
        grouped = np.zeros(self.space.id_count, dtype=bool)
        grouped[np.concatenate(self.space.ids)] = True
        for axis in self.space.axes:
            if grouped[axis.ids].any():
                axes.setdefault(attribute(axis.tensor), []).append((axis.axis, self._place(axis.ids)))
        find = {name: operator.attrgetter(name)(self.full) for name in axes}
        return [Cut(name, find[name].detach(), tuple(places)) for name, places in axes.items()]

    def _statistics(self) -> list[str]:
        """BN statistics: recalibration changes them, so that they are replaced even where no channel goes."""
        layers = set(batch_norm_layers(self.full))
        names = [name for name, module in self.full.named_modules() if module in layers]
        return [f"{name}.{key}" for name in names for key in ("running_mean", "running_var")]

    def _refit_names(self) -> list[str]:
        return [] if self._refit is None else self._refit.names

    def _place(self, ids: npt.NDArray[np.int64]) -> int:
        number = self._numbers.setdefault(ids.tobytes(), len(self.places))
        if number == len(self.places):
            self.places.append(ids)
        return number
