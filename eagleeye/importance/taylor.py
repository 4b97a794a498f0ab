"""First-order Taylor criterion: what the loss would change by if weights were zero."""

from __future__ import annotations

import operator
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from eagleeye.channels.space import Space
from eagleeye.errors import EvaluationError
from eagleeye.forward.inputs import precision_of, to_precision
from eagleeye.forward.kernels import repeatable_kernels
from eagleeye.forward.modes import evaluating
from eagleeye.importance.ranked import Rows, channel_rows, filter_axes
from eagleeye.task import CLASSIFICATION

LabelledBatches = Iterable[tuple[Tensor, Tensor]]


def taylor_rows(batches: LabelledBatches, model: nn.Module, space: Space) -> list[list[Rows]]:
    """Weight times gradient, element by element (Molchanov et al., CVPR 2019, section 3.1).

    The paper sums a filter's products and squares the sum, in which opposite signs cancel; these rows are meant for
    sums of absolute values, in which every weight counts. The gradient is that of the mean cross-entropy over all
    images, in evaluation mode; how the images are divided into batches does not matter.

    Args:
        batches: Pairs of normalised float tensors (n, C, H, W) and int64 labels (n,), on the network's device.
        model: A classifier with outputs (n, classes); its parameters and their `grad` are left as they are.
        space: Its search space.

    Returns:
        Per group and convolution, one row for each channel.

    Raises:
        EvaluationError: No images, outputs that are no class scores or not finite, or labels beyond the classes.
    """
    axes = filter_axes(space)
    weights: dict[str, Tensor] = {axis.tensor: operator.attrgetter(axis.tensor)(model) for axis in axes}
    gradients = _mean_gradients(model, weights, batches)
    return channel_rows(space, axes, lambda name: weights[name].detach().double() * gradients[name])


def _mean_gradients(model: nn.Module, weights: dict[str, Tensor], batches: LabelledBatches) -> dict[str, Tensor]:
    # Leaves of their own, one for each tensor even if it has two names: frozen weights have a gradient as well, and
    # the network's own parameters collect none.
    leaves = {id(weight): weight.detach().requires_grad_() for weight in weights.values()}
    own = {name: leaves[id(weight)] for name, weight in weights.items()}
    sums = {key: torch.zeros_like(leaf, dtype=torch.float64, requires_grad=False) for key, leaf in leaves.items()}
    images = 0
    with evaluating(model), repeatable_kernels(), torch.enable_grad():
        for inputs, labels in batches:
            outputs = functional_call(model, own, (to_precision(inputs, precision_of(model)),))
            CLASSIFICATION.check(outputs, labels)
            loss = F.cross_entropy(outputs.double(), labels, reduction="sum")
            gradients = torch.autograd.grad(loss, tuple(leaves.values()), materialize_grads=True)
            for key, gradient in zip(leaves, gradients, strict=True):
                sums[key] += gradient
            images += len(labels)
    if not images:
        raise EvaluationError(
            "criterion taylor: there are no images; give batches that can be iterated over as often as it is asked"
        )
    return {name: sums[id(weight)] / images for name, weight in weights.items()}
