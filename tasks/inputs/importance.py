"""Which channels go first, and whether others take over: what the settings say of that, with a trained network."""

import torch
from torch import Tensor, nn

from eagleeye.channels import Space
from eagleeye.data import Batches, Images
from eagleeye.importance import Criterion, criterion
from eagleeye.reconstruction import Reconstruction, images_in_turn, reconstruct
from tasks.inputs.images import preprocess
from tasks.params import Params

BATCH = 64
"""Images per forward pass while activations are measured; it changes their moments by rounding alone."""


def open_criterion(params: Params, images: Images, device: torch.device, found: Reconstruction | None) -> Criterion:
    """The importance criterion.

    Args:
        params: The settings.
        images: The calibration images.
        device: The network's device.
        found: What was measured, for `obs`.
    """
    wanted = params.importance
    if wanted.criterion == "obs":
        assert found is not None
        return found.order
    size = params.evaluate.batch_size
    labelled = Batches(images, preprocess(params), batch_size=size, device=device, labelled=True)
    return criterion(wanted.criterion, aggregate=wanted.aggregate, seed=wanted.seed, batches=labelled)


def measure_activations(params: Params, network: nn.Module, space: Space, images: Images) -> Reconstruction:
    """What the network's layers read on some of the calibration images.

    Args:
        params: The settings.
        network: The trained network on its device.
        space: Its search space.
        images: The calibration images.

    Raises:
        EvaluationError: A layer reads values that are not finite.
    """
    device = next(network.parameters()).device
    batches = Batches(images, preprocess(params), batch_size=BATCH, device=device, labelled=False)
    return reconstruct(network, space, batches.first(params.importance.images))


def batch_in_turn(params: Params, images: Batches[Tensor]) -> Tensor | None:
    """The images on which the layers of networks that are fine-tuned are refitted in turn, if they are.

    Args:
        params: The settings.
        images: The calibration images.

    Returns:
        One batch of them.
    """
    return images_in_turn(images, params.importance.images) if params.importance.refit == "in_turn" else None
