"""One process or many: what `torchrun` says about this one, and the group they form while training."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist


@dataclass(frozen=True)
class Share:
    """This process's part of every batch: every ``world``-th image, from image ``rank`` on."""

    rank: int = 0
    world: int = 1


def current_share() -> Share:
    """Read rank and number of processes from the environment that `torchrun` sets; alone without it."""
    return Share(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


def local_device(device: str | torch.device) -> torch.device:
    """The device of this process: under `torchrun`, ``cuda`` becomes the GPU of the process's local rank.

    Args:
        device: Device asked for, e.g. ``cpu`` or ``cuda``.

    Returns:
        The device with its index.
    """
    asked = torch.device(device)
    if asked.type == "cuda" and asked.index is None:
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return asked


@contextmanager
def process_group(device: torch.device) -> Iterator[Share]:
    """Join the processes that `torchrun` started (nccl between GPUs, gloo between CPUs), and leave again.

    A group that exists already is used and left as it is. Alone, nothing happens.

    Args:
        device: This process's device.

    Yields:
        The share of this process.
    """
    share = current_share()
    ours = share.world > 1 and not dist.is_initialized()
    if ours:
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield share
    finally:
        if ours:
            dist.destroy_process_group()


def mean_over_processes(values: torch.Tensor, share: Share) -> torch.Tensor:
    """Average a tensor over all processes, in place.

    Args:
        values: Floating point, on the device of the group.
        share: This process's share; alone, nothing is done.

    Returns:
        The same tensor.
    """
    if share.world > 1:
        dist.all_reduce(values)
        values /= share.world
    return values


def copy_from_first(values: torch.Tensor, share: Share) -> torch.Tensor:
    """Overwrite a tensor with that of the first process.

    Args:
        values: On the device of the group; any type.
        share: This process's share; alone, nothing is done.

    Returns:
        The same tensor.
    """
    if share.world > 1:
        dist.broadcast(values, src=0)
    return values
