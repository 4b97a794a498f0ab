"""Checks around a search: is the unpruned network reproduced on the candidates' path, and was anything found?"""

import torch

from eagleeye.errors import EvaluationError
from eagleeye.scoring.chance import chance_level
from eagleeye.scoring.evaluate import evaluate
from eagleeye.scoring.racing import Scores
from tasks.inputs.chance import NEAR_CHANCE
from tasks.inputs.evaluator import Evaluator
from tasks.run.context import Context

LARGEST_DIFFERENCE = 1e-3  # of the logits, relative to the largest: float32 rounding is far below, a mistake far above
LARGEST_LOSS_OF_ACCURACY = 0.1
LARGEST_CHANGE_BY_PRECISION = 0.02
NOTHING_TO_ADAPT = (
    "preflight: the network has no batch normalisation, so that nothing is recalibrated: candidates are scored as "
    "pruning leaves them"
)
IMAGES = 1024  # sub-validation images looked at: enough for a check, which is not to delay the search


def check_network(evaluator: Evaluator, context: Context) -> None:
    """Send the unpruned network through the very path of the candidates, with nothing removed.

    Args:
        evaluator: What candidates are scored with.
        context: Told the accuracies, and warned if recalibration costs the unpruned network much of its accuracy.

    Raises:
        EvaluationError: The outputs differ, or the network is no better than chance.
    """
    if not evaluator.adapts:
        context.say(NOTHING_TO_ADAPT)
    _require_same_outputs(evaluator)
    images = evaluator.engine.sub_validation.first(IMAGES)
    labels = evaluator.engine.sub_validation.labels.cpu().numpy()
    exact = evaluate(evaluator.network, images).accuracy
    if exact <= chance_level(labels[:IMAGES]):
        raise EvaluationError(
            f"the unpruned network is right on {exact:.2%} of the sub-validation images, which is chance; likely "
            "causes: weights that are not trained, another order of classes, other data.preprocess mean and std"
        )
    unpruned = evaluator.engine.score(evaluator.space.channels, sub_validation=IMAGES, vanilla=True)
    assert unpruned.vanilla is not None
    _warn(evaluator, exact, unpruned.vanilla.accuracy, unpruned.score.accuracy, context)


def _warn(evaluator: Evaluator, exact: float, before: float, after: float, context: Context) -> None:
    arithmetic = str(evaluator.engine.dtype).removeprefix("torch.")
    context.say(
        f"preflight: the unpruned network scores {exact:.2%}, in {arithmetic} {before:.2%}, recalibrated {after:.2%}"
    )
    if abs(before - exact) > LARGEST_CHANGE_BY_PRECISION:
        context.warn(f"{arithmetic} changes the accuracy by {before - exact:+.1%}: set evaluate.precision to float32")
    if after < before - LARGEST_LOSS_OF_ACCURACY:
        context.warn(
            f"recalibration alone costs {before - after:.1%} of accuracy; raise subset.calibration, which gives "
            f"{len(evaluator.engine.calibration.labels)} images, or evaluate.batch_size"
        )


def check_best_score(evaluator: Evaluator, winner: Scores, context: Context) -> None:
    """Warn if even the best candidate is no better than chance: then the ranking says nothing, whatever score ranks."""
    accuracy = winner.values["accuracy"]
    if accuracy <= chance_level(evaluator.engine.sub_validation.labels.cpu().numpy()):
        context.warn(f"the best candidate is right on {accuracy:.2%}, which is chance: {NEAR_CHANCE}")


@torch.no_grad()
def _require_same_outputs(evaluator: Evaluator) -> None:
    inputs, _ = evaluator.engine.sub_validation.part(0, evaluator.engine.sub_validation.batch_size)
    unpruned = evaluator.prune([0.0] * len(evaluator.space.groups)).eval()
    wanted = evaluator.network(inputs)
    found = unpruned(inputs)
    difference = float((wanted - found).abs().max() / wanted.abs().max())
    if not difference <= LARGEST_DIFFERENCE:
        raise EvaluationError(
            f"pruning nothing changes the network's outputs by {difference:.1e}: its forward pass cannot be followed; "
            "exclude the layers concerned by strategies.exclude"
        )
