"""The unpruned network that the settings describe."""

from torch import nn

from eagleeye.models import build, load_checkpoint
from tasks.artifacts import BASELINE, SUB_VALIDATION, require
from tasks.images import open_subset
from tasks.params import Params


def build_network(params: Params) -> nn.Module:
    """The network with fresh weights, one output per class of the data.

    Raises:
        ModelError: It cannot be built.
    """
    classes = len(open_subset(SUB_VALIDATION).classes)
    return build(params.model.name, num_classes=classes, **params.model.options)


def load_network(params: Params) -> nn.Module:
    """The network with its trained weights, in evaluation mode.

    Raises:
        CheckpointError: The weights do not fit.
    """
    require(BASELINE)
    network = build_network(params)
    load_checkpoint(network, BASELINE)
    return network.eval()
