"""Networks inside of what others wrap around them."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from eagleeye.errors import ModelError

_INSIDE = {nn.DataParallel: "module", DistributedDataParallel: "module", AveragedModel: "module"}


def unwrapped(model: nn.Module) -> nn.Module:
    """The network itself, where it comes in a wrapper that adds nothing to what it computes.

    Args:
        model: Any network; DataParallel, DistributedDataParallel, AveragedModel and compiled ones are taken off, in
            each other as well.

    Returns:
        The network inside, or the model itself.

    Raises:
        ModelError: It is no network, or a TorchScript one: that has no code left to follow.
    """
    if not isinstance(model, nn.Module):
        raise ModelError(f"model is a {type(model).__name__}; needed is a torch.nn.Module")
    name = next((inside for kind, inside in _INSIDE.items() if isinstance(model, kind)), "")
    # By its name: importing what compiles takes seconds.
    if type(model).__name__ == "OptimizedModule" and "_orig_mod" in model._modules:
        name = "_orig_mod"
    if name:
        return unwrapped(model.get_submodule(name))
    if isinstance(model, torch.jit.ScriptModule):
        raise ModelError(
            f"network {type(model).__name__}: a TorchScript module cannot be followed, its Python code is gone; give"
            " the network that it was made from, with the weights of its state_dict()"
        )
    return model
