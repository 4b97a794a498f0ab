"""What a network makes of the test set, which chooses nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from eagleeye.data import Batches, ImageSet, decode
from eagleeye.scoring.evaluate import Predictions, outputs_of, predict
from eagleeye.scoring.measure import has_metrics, measure
from tasks.artifacts import column_of
from tasks.inputs.images import preprocess
from tasks.inputs.network import load_network
from tasks.params import Params
from tasks.task_rules import chosen_by, task_for

CHUNK = 2000  # images decoded at a time: an ImageNet test set would not fit into memory


@dataclass(frozen=True)
class Tested:
    """What a network makes of the test set.

    Attributes:
        predictions: Image by image.
        metrics: Of the whole set, by what people call them.
    """

    predictions: Predictions
    metrics: dict[str, float] = field(default_factory=dict)

    def figures(self, params: Params) -> dict[str, Any]:
        """The columns of tables: the two scores that choose an epoch, the first image by image, and the metrics.

        Args:
            params: The settings.
        """
        by = chosen_by(params)
        scores = self.predictions.scores
        hits = by.first.evidence(self.predictions.columns[by.name])
        return {
            **{f"test_{each.name}": scores[each.name] for each in (by.first, by.second)},
            **{column_of(name): value for name, value in self.metrics.items()},
            "test_images": len(hits.values),
            f"test_{by.first.images}": hits.pack(),
        }


def score_on_test(
    params: Params, network: nn.Module, test: ImageSet, *, device: torch.device, batch_size: int
) -> Tested:
    """What a network makes of each test image, and of all of them.

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

    task = task_for(params)
    full = outputs_of(load_network(params).to(device)) if chosen_by(params).first.compares else None
    predictions = predict(network, batches(), full=full, task=task)
    return Tested(predictions, measure(network, batches(), task) if has_metrics(task) else {})
