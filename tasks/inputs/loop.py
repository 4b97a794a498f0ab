"""The user's own loop that trains a pruned network, by its name in the settings."""

import inspect
from collections.abc import Callable

from torch import nn

from eagleeye.errors import ConfigError
from eagleeye.references import resolve
from tasks.params import FineTuning, Training

Loop = Callable[..., nn.Module]
"""Called with the network, a folder and a function to tell what an epoch came to: see `eagleeye.train.train_by`."""


def loop_named(settings: Training) -> str | None:
    """The function that trains instead of the pipeline's own loop, where the settings name one.

    Args:
        settings: A stage's own section.
    """
    return settings.trainer if isinstance(settings, FineTuning) else None


def open_loop(reference: str) -> Loop:
    """The function that `finetune.trainer` names.

    Args:
        reference: `package.module:function`.

    Raises:
        ConfigError: There is none, or it takes other arguments.
    """
    found = resolve(reference, ConfigError)
    try:
        inspect.signature(found).bind(None, None, None)
    except TypeError:
        raise ConfigError(
            f"finetune.trainer is {reference}, which takes other arguments; needed is trainer(network, folder, told),"
            " which returns the network"
        ) from None
    except ValueError:  # some that are not written in Python do not say
        pass
    return found
