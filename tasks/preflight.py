"""Checks around a search: is the unpruned network reproduced on the candidates' path, and was anything found?"""

from collections.abc import Mapping

import torch
from torch import nn

from eagleeye.batchnorm import batch_norm_layers
from eagleeye.errors import EvaluationError
from tasks.bench import Bench
from tasks.chance import NEAR_CHANCE, chance_level
from tasks.context import Context
from tasks.scorebook import Scores

LARGEST_DIFFERENCE = 1e-3  # of the logits, relative to the largest: float32 rounding is far below, a mistake far above
LARGEST_LOSS_OF_ACCURACY = 0.1


def check_network(bench: Bench, context: Context) -> None:
    """Send the unpruned network through the very path of the candidates, with nothing removed.

    Args:
        bench: What candidates are scored with.
        context: Told the accuracies, and warned if recalibration costs the unpruned network much of its accuracy.

    Raises:
        EvaluationError: The outputs differ, the network has no BN layer or is no better than chance.
    """
    _require_batch_norm(bench.network)
    unpruned = bench.prune([0.0] * len(bench.space.groups))
    _require_same_outputs(bench, unpruned)
    before = bench.look_at(unpruned).accuracy
    if before <= chance_level(bench.sub_validation.labels.cpu().numpy()):
        raise EvaluationError(
            f"the unpruned network is right on {before:.2%} of the sub-validation images, which is chance; likely "
            "causes: weights that are not trained, another order of classes, other data.preprocess mean and std"
        )
    bench.adapt(unpruned)
    after = bench.look_at(unpruned).accuracy
    context.say(f"preflight: the unpruned network scores {before:.2%}, with recalibrated BN {after:.2%}")
    if after < before - LARGEST_LOSS_OF_ACCURACY:
        context.warn(
            f"recalibration alone costs {before - after:.1%} of accuracy; raise subset.calibration, which gives "
            f"{len(bench.calibration.labels)} images, or evaluate.batch_size"
        )


def check_best_score(bench: Bench, scores: Mapping[str, Scores], context: Context) -> None:
    """Warn if even the best candidate is no better than chance: then the ranking says nothing."""
    best = max(score.accuracy for score in scores.values())
    if best <= chance_level(bench.sub_validation.labels.cpu().numpy()):
        context.warn(f"the best candidate is right on {best:.2%}, which is chance: {NEAR_CHANCE}")


def _require_batch_norm(network: nn.Module) -> None:
    if not batch_norm_layers(network):
        raise EvaluationError(
            f"{type(network).__name__} has no batch-normalisation layer, so there is nothing to recalibrate: use a "
            "variant with BN (torchvision: vgg16_bn rather than vgg16)"
        )


@torch.no_grad()
def _require_same_outputs(bench: Bench, unpruned: nn.Module) -> None:
    inputs, _ = next(iter(bench.sub_validation))
    wanted, found = bench.network(inputs), unpruned.eval()(inputs)
    difference = float((wanted - found).abs().max() / wanted.abs().max())
    if not difference <= LARGEST_DIFFERENCE:
        raise EvaluationError(
            f"pruning nothing changes the network's outputs by {difference:.1e}: its forward pass cannot be followed; "
            "exclude the layers concerned by strategies.exclude"
        )
