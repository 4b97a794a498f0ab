"""Networks by name."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from eagleeye.errors import EagleEyeError, ModelError, close_names
from eagleeye.forward.wrappers import unwrapped
from eagleeye.models.cifar_resnet import CifarResNet
from eagleeye.models.mobilenet_v1 import MobileNetV1
from eagleeye.references import described, resolve

_OWN: dict[str, Callable[..., nn.Module]] = {
    **{f"cifar_resnet{depth}": partial(CifarResNet, (depth - 2) // 6) for depth in (20, 32, 44, 56, 110)},
    "mobilenet_v1": partial(MobileNetV1, stem_stride=2),
    "mobilenet_v1_cifar": partial(MobileNetV1, stem_stride=1),
}
# Auxiliary classifiers change what a network returns while training; initialising anew takes minutes.
_PLAIN = {"aux_logits": False, "init_weights": False}
_DEFAULTS: dict[str, dict[str, Any]] = {"googlenet": _PLAIN, "inception_v3": _PLAIN}


def build(name: str, *, num_classes: int | None, **options: Any) -> nn.Module:
    """Build a network with fresh weights.

    Args:
        name: One of `names()`, or `package.module:factory` for your own, called as
            `factory(num_classes=num_classes, **options)`, without `num_classes` if it takes none.
        num_classes: Outputs of the network; None where nothing tells, and a factory of your own knows.
        **options: Handed on to the network.

    Returns:
        The network, in training mode, on the CPU.

    Raises:
        ModelError: The name is unknown, the options do not fit, or a factory failed.
    """
    own = ":" in name
    if not (own and num_classes is None) and (
        isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1
    ):
        raise ModelError(
            f"num_classes must be a whole number from 1; got {num_classes!r}: where the data have no classes, give it"
            " among the model's options"
        )
    if own:
        factory = resolve(name, ModelError)
        if num_classes is None or not takes_classes(factory):
            return _made(name, factory, options)
    elif name in _OWN:
        factory = _OWN[name]
    elif name in _from_torchvision():
        factory = partial(_torchvision().get_model, name, weights=None)
        more = {"weights_backbone": None} if name in _segmenting() else {}
        options = {**_DEFAULTS.get(name, {}), **more, **options}
    else:
        close = close_names(name, names(), list(_OWN))
        raise ModelError(f"unknown model {name!r}; {close}; or name your own as package.module:factory")
    return _made(name, factory, {"num_classes": num_classes, **options})


def takes_classes(factory: Callable[..., Any]) -> bool:
    """Whether a factory has the argument `num_classes`, or one that takes all there are.

    Args:
        factory: A function or class.
    """
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # some that are not written in Python do not say
        return True
    return any(entry.kind is entry.VAR_KEYWORD or _is_classes(entry) for entry in parameters)


def _is_classes(entry: inspect.Parameter) -> bool:
    return entry.name == "num_classes" and entry.kind is not entry.POSITIONAL_ONLY


def _made(name: str, factory: Callable[..., Any], options: dict[str, Any]) -> nn.Module:
    try:
        model = factory(**options)
    except EagleEyeError:
        raise
    except Exception as cause:
        raise ModelError(f"model {name} cannot be built: {described(cause)}") from cause
    if not isinstance(model, nn.Module):
        raise ModelError(f"{name} returned a {type(model).__name__}; needed is a torch.nn.Module")
    return unwrapped(model)


def names() -> tuple[str, ...]:
    """Names of the networks that `build` knows: its own, then torchvision's classification networks."""
    return (*_OWN, *_from_torchvision())


def published_weights(name: str, file: str) -> Any:
    """The weights that torchvision publishes for a model.

    Args:
        name: The model's name.
        file: Name of a checkpoint's file.

    Returns:
        Those that torchvision publishes under that file's name, else the first of the model's; None where there are
        none. Their `transforms()` tell how images were prepared.
    """
    if name in _OWN or ":" in name or name not in _from_torchvision():
        return None
    published = list(_torchvision().get_model_weights(name))
    return next((one for one in published if one.url.rpartition("/")[2] == file), published[0] if published else None)


def _from_torchvision() -> list[str]:
    # Those of the module itself; its other submodules hold networks that cannot be traced as a whole, or take videos.
    return [*_torchvision().list_models(module=_torchvision()), *_segmenting()]


def _segmenting() -> list[str]:
    return list(_torchvision().list_models(module=_torchvision().segmentation))


def _torchvision() -> Any:
    from torchvision import models

    return models
