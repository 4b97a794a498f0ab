"""Networks whose weights are computed from other tensors, with the computed weights as plain ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from eagleeye.channels.deviation import deviation
from eagleeye.channels.untouched import copied, untouched
from eagleeye.errors import ModelError, TraceError
from eagleeye.forward.modes import evaluating
from eagleeye.forward.structures import tensors
from eagleeye.forward.wrappers import unwrapped
from eagleeye.references import described

_HOOKS = (WeightNorm, SpectralNorm, BasePruningMethod)
_STATISTICS = ("running_mean", "running_var")
_CLOSE = 1e-3
"""How far outputs may differ, relative to the largest: more than rounding in 16 bits."""


def plain(model: nn.Module) -> nn.Module:
    """A network that holds every weight as what its layer uses, as evaluation mode computes it; without wrappers.

    That is what `torch.nn.utils.parametrize` (weight norm, spectral norm, orthogonality), the older `weight_norm` and
    `spectral_norm`, and the masks of `torch.nn.utils.prune` amount to once training is over. Batch normalisation that
    is frozen (`FrozenBatchNorm2d` of detectors) becomes `BatchNorm2d`, which computes the same: in a pruned network its
    statistics are those of another one, and have to be estimated anew.

    Args:
        model: Any network; left as it was.

    Returns:
        The network itself if it computes no weight this way, else a copy that has plain parameters in their place.

    Raises:
        ModelError: It cannot be copied, or is a TorchScript module.
    """
    model = unwrapped(model)
    if not any(_computes(module) or _is_frozen(module) for module in model.modules()):
        return model
    copy = _copied(model)
    with evaluating(copy), torch.no_grad():
        for module in [module for module in copy.modules() if _computes(module)]:
            _make_plain(module)
    _thaw(copy)
    return copy


def check_same(model: nn.Module, made_plain: nn.Module, run: Callable[[nn.Module], Any]) -> None:
    """Check that a plain network gives what the one gives that computes its weights.

    Args:
        model: A network; left as it was.
        made_plain: From `plain`.
        run: Calls a network with an example.

    Raises:
        TraceError: They differ: weights follow from more than the network's tensors.
    """
    with untouched(model), evaluating(model), evaluating(made_plain), torch.no_grad():
        outputs = [tensors(run(network)) for network in (model, made_plain)]
    if deviation(outputs[1], outputs[0]) > _CLOSE:
        raise TraceError(
            f"network {type(model).__name__}: it computes weights anew at every call, and not from its tensors alone:"
            " with those of one call it gives other outputs; make its weights plain parameters first"
        )


def _make_plain(module: nn.Module) -> None:
    if parametrize.is_parametrized(module):
        _unparametrize(module)
    for hook in _hooks(module):
        _remove(module, hook)
    for name in _attributes(module):
        _register(module, name)
    for name, hooks in vars(module).items():
        if name.endswith("_hooks"):
            for key in [key for key, hook in hooks.items() if _translates_states(hook)]:
                del hooks[key]
    # As a new layer has them: weights first.
    module._parameters = dict(sorted(module._parameters.items(), key=lambda item: "bias" in item[0]))


def _is_frozen(module: nn.Module) -> bool:
    # torchvision, timm and detectron2 have one each, of the same name and the same four buffers.
    return type(module).__name__ == "FrozenBatchNorm2d" and {"weight", "bias", *_STATISTICS} <= set(module._buffers)


def _thaw(model: nn.Module) -> None:
    """Put batch normalisation in the place of frozen ones; its scales and shifts are not trained either."""
    found: dict[nn.Module, nn.Module] = {}
    for name, module in list(model.named_modules(remove_duplicate=False)):
        if name and _is_frozen(module):
            if module not in found:
                found[module] = _thawed(module)
            model.set_submodule(name, found[module])


def _thawed(frozen: Any) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(len(frozen.weight), eps=getattr(frozen, "eps", 1e-5))
    for name in ("weight", "bias"):
        setattr(layer, name, nn.Parameter(getattr(frozen, name).detach().clone(), requires_grad=False))
    for name in _STATISTICS:
        setattr(layer, name, getattr(frozen, name).detach().clone())
    return layer.to(frozen.weight.device).train(frozen.training)


def _computes(module: nn.Module) -> bool:
    return parametrize.is_parametrized(module) or bool(_hooks(module)) or bool(_attributes(module))


def _hooks(module: nn.Module) -> list[Any]:
    return [hook for hook in module._forward_pre_hooks.values() if isinstance(hook, _HOOKS)]


def _attributes(module: nn.Module) -> list[str]:
    """Tensors that a layer of torch uses but does not own: somebody put a tensor in the parameter's place."""
    if not type(module).__module__.startswith("torch.nn.modules") or _hooks(module):
        return []
    return [name for name in ("weight", "bias") if isinstance(vars(module).get(name), Tensor)]


def _copied(model: nn.Module) -> nn.Module:
    try:
        return copied(model)
    except Exception as error:  # whatever a user's module raises is the user's to read
        raise ModelError(
            f"network {type(model).__name__}: it computes weights from other tensors, and copying it to hold them as"
            f" plain ones failed: {described(error)}; make them plain first: parametrize.remove_parametrizations,"
            " remove_weight_norm, remove_spectral_norm or prune.remove of torch.nn.utils"
        ) from error


def _unparametrize(module: nn.Module) -> None:
    # remove_parametrizations() writes into the original tensor and changes the class, which a copy shares.
    lists: Any = module.parametrizations
    values = {name: getattr(module, name).detach().clone() for name in lists}
    originals = {name: list(lists[name].parameters(recurse=False)) for name in lists}
    module.__class__ = parametrize.type_before_parametrizations(module)
    del module.parametrizations
    for name, value in values.items():
        if originals[name]:
            setattr(module, name, nn.Parameter(value, any(tensor.requires_grad for tensor in originals[name])))
        else:
            module.register_buffer(name, value)


def _remove(module: nn.Module, hook: Any) -> None:
    if isinstance(hook, WeightNorm):
        remove_weight_norm(module, hook.name)
    elif isinstance(hook, SpectralNorm):
        remove_spectral_norm(module, hook.name)
    else:
        original = f"{hook._tensor_name}_orig"
        # prune.remove() writes into it, and others may use it.
        tensor = module.get_parameter(original)
        setattr(module, original, nn.Parameter(tensor.detach().clone(), tensor.requires_grad))
        unmask: Any = prune.remove
        unmask(module, hook._tensor_name)


def _translates_states(hook: Any) -> bool:
    """Whether a hook turns state dicts of plain layers into those of layers that compute weights, or back."""
    inner = getattr(hook, "hook", hook)
    return str(getattr(inner, "__module__", "")).startswith("torch.nn.utils.")


def _register(module: nn.Module, name: str) -> None:
    if module._forward_pre_hooks:
        raise ModelError(
            f"a {type(module).__name__} layer: its {name} is no parameter but set anew by a hook of its own, which"
            " cannot be followed; compute it by torch.nn.utils.parametrize, or make it a parameter without the hook"
        )
    value = vars(module).pop(name)
    module.register_buffer(name, value.detach().clone())
