"""A few test images with the answers of the full and the pruned network, where these are masks or boxes."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from eagleeye.data import Batches, Images, decode
from eagleeye.data.targets import usable
from eagleeye.forward.modes import evaluating
from eagleeye.forward.running import run
from eagleeye.report.examples import Examples
from tasks.inputs.images import open_images, preprocess
from tasks.params import Params
from tasks.task_rules import task_for

SHOWN = 4


def examples_of(params: Params, full: nn.Module, pruned: nn.Module) -> Examples | None:
    """What both networks make of test images that are spread evenly over the set.

    Args:
        params: The settings.
        full: The unpruned network.
        pruned: The pruned one, on the same device.

    Returns:
        None for tasks whose answers are no masks or boxes.

    Raises:
        DataError: An image cannot be decoded.
    """
    task = task_for(params)
    if task.targets not in ("tensor", "list"):
        return None
    _, test = open_images(params)
    rows = np.linspace(0, len(test) - 1, min(SHOWN, len(test))).astype(int)
    images = decode(test, rows, preprocess(params))
    device = next(full.parameters()).device
    inputs = next(iter(Batches(images, preprocess(params), batch_size=len(rows), device=device, labelled=False)))
    answers = {"full network": _answers(task, full, inputs), "pruned": _answers(task, pruned, inputs)}
    if inputs.dim() != 4 or not (task.listed or answers["pruned"].shape[1:] == inputs.shape[2:]):
        return None
    told = {"as labelled": usable(images.labels), **answers}
    return Examples(_pixels(images), {name: [_plain(each) for each in found] for name, found in told.items()})


def _answers(task: Any, network: nn.Module, inputs: Tensor) -> Any:
    with evaluating(network), torch.inference_mode():
        return task.answers(run(network, inputs))


def _plain(answer: Any) -> Any:
    """An image's mask or boxes without tensors."""
    if isinstance(answer, dict):
        return {name: values.cpu().numpy() for name, values in answer.items()}
    return answer.cpu().numpy()


def _pixels(images: Images) -> np.ndarray:
    """Images in [0, 1], as channels are drawn: grey, or the first three."""
    pixels = images.pixels.double()
    if images.pixels.dtype != torch.uint8:
        low, high = pixels.amin((1, 2, 3), keepdim=True), pixels.amax((1, 2, 3), keepdim=True)
        pixels = (pixels - low) / (high - low).clamp(min=1e-9)
    else:
        pixels = pixels / 255
    drawn: np.ndarray = pixels.permute(0, 2, 3, 1).numpy()
    return drawn[..., 0] if drawn.shape[3] < 3 else drawn[..., :3]
