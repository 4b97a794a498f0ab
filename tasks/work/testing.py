"""Accuracy on the test set, which chooses nothing."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from eagleeye.data import Batches, ImageSet, decode
from eagleeye.scoring.evaluate import Predictions, predict
from tasks.inputs.images import preprocess
from tasks.params import Params

CHUNK = 2000  # images decoded at a time: an ImageNet test set would not fit into memory


def score_on_test(
    params: Params, network: nn.Module, test: ImageSet, *, device: torch.device, batch_size: int
) -> Predictions:
    """What a network makes of each test image.

    Args:
        params: The settings.
        network: The network, on the device.
        test: The test images.
        device: Where the network is.
        batch_size: Images per forward pass.
    """

    def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        shape = preprocess(params)
        for rows in np.array_split(np.arange(len(test)), -(-len(test) // CHUNK)):
            images = decode(test, rows.tolist(), shape)
            yield from Batches(images, shape, batch_size=batch_size, device=device, labelled=True)

    return predict(network, batches())
