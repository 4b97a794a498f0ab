"""The weights of a network in what training scripts save: beside an optimiser, under prefixes, averaged or several."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_DEPTH = 4
# Where training scripts keep the weights beside optimiser, epoch and so on; the likeliest first.
WRAPPINGS = ("state_dict", "model_state_dict", "model", "net", "network", "weights")
# What DataParallel, torch.compile, FSDP and activation checkpointing put into names, wherever they wrap.
_WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
_AVERAGES = {"ema", "swa", "averaged", "average", "shadow"}
# Counters that are kept among the weights: of AveragedModel, and of a tool that counts operations.
COUNTERS = {"n_averaged", "total_ops", "total_params"}
_COUNTED_BY_BN = "num_batches_tracked"


@dataclass(frozen=True)
class Weights:
    """A network's weights in a checkpoint.

    Attributes:
        place: The keys that lead to them.
        prefix: What all their names begin with.
        tensors: By name, without prefix; names that the network does not know among them.
        beside: Names of what lies next to them, under other prefixes.
        missing: Names that the network has and they have not.
        fit: Whether nothing is missing, too much or of another shape.
    """

    place: tuple[str, ...]
    prefix: str
    tensors: dict[str, Tensor]
    beside: tuple[str, ...]
    missing: tuple[str, ...]
    fit: bool

    @property
    def is_average(self) -> bool:
        """Whether they are called a moving average."""
        words = {word for name in (*self.place, self.prefix) for word in re.split(r"[^a-z]+", name.lower())}
        return bool(words & _AVERAGES) or "n_averaged" in self.beside

    @property
    def rank(self) -> tuple[bool, int]:
        """Small where they are likely to be meant, by what they are called."""
        names = [*self.place, *self.prefix.rstrip(".").split(".")]
        likely = min((WRAPPINGS.index(name) for name in names if name in WRAPPINGS), default=len(WRAPPINGS))
        return not self.is_average, likely if any(names) else -1

    def __str__(self) -> str:
        place = "/".join(self.place)
        return f"{place} ({self.prefix}*)" if place and self.prefix else place or f"{self.prefix}*"


def find_weights(stored: Mapping[Any, Any], wanted: Mapping[str, Tensor], ignored: tuple[str, ...]) -> list[Weights]:
    """All that may be a network's weights.

    Args:
        stored: What a checkpoint holds.
        wanted: The network's own weights.
        ignored: Beginnings of names that may be there and are left out.

    Returns:
        What fits and is likely to be meant first: a moving average before what it is an average of.
    """
    found = [
        _under(place, tensors, prefix, wanted, ignored)
        for place, wrapped in _tensors(stored)
        for tensors in [_without_wrappers(wrapped, wanted)]
        for prefix in _prefixes(tensors, wanted)
    ]
    # Stable: of what is called alike, the first in the file.
    return sorted(found, key=lambda entry: (not entry.fit, *((0, 0) if entry.fit else _lacks(entry)), *entry.rank))


def ambiguous(found: list[Weights]) -> list[Weights]:
    """Those that fit and are called no less likely than the first, but hold other values."""
    first, *others = (entry for entry in found if entry.fit)
    return [entry for entry in others if entry.rank == first.rank and not _same(entry, first)]


def _lacks(entry: Weights) -> tuple[int, int]:
    return len(entry.missing), -len(entry.tensors)


def _same(one: Weights, other: Weights) -> bool:
    return one.tensors.keys() == other.tensors.keys() and all(
        torch.equal(tensor, other.tensors[name]) for name, tensor in one.tensors.items()
    )


def _tensors(stored: Any) -> Iterator[tuple[tuple[str, ...], dict[str, Tensor]]]:
    """Every mapping with tensors, and the keys that lead there."""
    seen: set[int] = set()
    level: list[tuple[tuple[str, ...], Any]] = [((), stored)]
    for _ in range(_DEPTH):
        below: list[tuple[tuple[str, ...], Any]] = []
        for place, mapping in level:
            # A file may refer to one mapping from many places.
            if not isinstance(mapping, Mapping) or id(mapping) in seen:
                continue
            seen.add(id(mapping))
            entries = [(key, value) for key, value in mapping.items() if isinstance(key, str)]
            if tensors := {key: value for key, value in entries if isinstance(value, Tensor)}:
                yield place, tensors
            below += [((*place, key), value) for key, value in entries if isinstance(value, Mapping)]
        level = below


def _without_wrappers(tensors: dict[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    own = {part for name in wanted for part in name.split(".")}
    dropped = {part for part in _WRAPPERS if part not in own}
    names = {name: ".".join(part for part in name.split(".") if part not in dropped) for name in tensors}
    if len(set(names.values())) < len(names):
        return tensors
    return {names[name]: tensor for name, tensor in tensors.items()}


def _prefixes(tensors: dict[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    """Beginnings under which most of the network's names are found; none at all, if there is no such."""
    counts: Counter[str] = Counter()
    for name in tensors:
        parts = name.split(".")
        tails = ((".".join(parts[:cut]), ".".join(parts[cut:])) for cut in range(len(parts)))
        counts.update(f"{head}." if head else "" for head, tail in tails if tail in wanted)
    return [prefix for prefix, count in counts.items() if 2 * count > len(wanted)] or [""]


def _under(
    place: tuple[str, ...],
    tensors: dict[str, Tensor],
    prefix: str,
    wanted: Mapping[str, Tensor],
    ignored: tuple[str, ...],
) -> Weights:
    inside = {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix) and (name in wanted or name.rpartition(".")[2] not in COUNTERS)
    }
    inside = {name: tensor for name, tensor in inside.items() if name in wanted or not name.startswith(ignored)}
    beside = tuple(name for name in tensors if not name.startswith(prefix) or name in COUNTERS)
    missing = tuple(name for name in wanted if name not in inside and not name.endswith(_COUNTED_BY_BN))
    fit = not missing and all(name in wanted and tensor.shape == wanted[name].shape for name, tensor in inside.items())
    return Weights(place, prefix, inside, beside, missing, fit)
