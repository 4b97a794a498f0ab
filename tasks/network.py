"""The unpruned network that the settings describe."""

from torch import nn

from eagleeye.errors import ConfigError
from eagleeye.models import build, load_checkpoint
from tasks.artifacts import BASELINE, SUB_VALIDATION, require
from tasks.images import open_subset
from tasks.params import Params


def build_network(params: Params) -> nn.Module:
    """The network with fresh weights, one output per class of the data unless model.options has num_classes.

    Raises:
        ConfigError: num_classes is below the number of classes.
        ModelError: It cannot be built.
    """
    classes = len(open_subset(SUB_VALIDATION).classes)
    options = {"num_classes": classes} | params.model.options
    # What is no number is refused by `build`.
    if isinstance(options["num_classes"], int) and options["num_classes"] < classes:
        raise ConfigError(
            f"model.options.num_classes is {options['num_classes']}, but the data have {classes} classes: give at "
            "least as many, or leave it out"
        )
    return build(params.model.name, **options)


def load_network(params: Params) -> nn.Module:
    """The network with its trained weights, in evaluation mode.

    Raises:
        CheckpointError: The weights do not fit.
    """
    require(BASELINE)
    network = build_network(params)
    load_checkpoint(network, BASELINE)
    return network.eval()
