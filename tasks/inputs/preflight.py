"""Checks around a search: is the unpruned network reproduced on the candidates' path, and was anything found?"""

import torch

from eagleeye.channels.core import core_inputs, core_of
from eagleeye.errors import EvaluationError
from eagleeye.forward.running import run
from eagleeye.forward.structures import tensors
from eagleeye.scoring.chance import chance_level
from eagleeye.scoring.evaluate import outputs_of, predict
from eagleeye.scoring.racing import Scores
from eagleeye.task import CLASSIFICATION, Scorer, Task
from tasks.inputs.chance import NEAR_CHANCE
from tasks.inputs.evaluator import Evaluator
from tasks.run.context import Context
from tasks.task_rules import chosen_by

LARGEST_DIFFERENCE = 1e-3  # of the outputs, relative to the largest: float32 rounding is far below, a mistake far above
LARGEST_LOSS = 0.1
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
    by = chosen_by(evaluator.params).first
    full = outputs_of(evaluator.network)
    exact = predict(evaluator.network, images, full=full, task=evaluator.engine.task).scores[by.name]
    if evaluator.engine.task is CLASSIFICATION and exact <= _chance(evaluator, IMAGES):
        raise EvaluationError(
            f"the unpruned network is right on {exact:.2%} of the sub-validation images, which is chance; likely "
            "causes: weights that are not trained, another order of classes, other data.preprocess mean and std"
        )
    if _says_the_same(evaluator):
        context.warn(
            "the unpruned network gives every image the same answer, so that scores say little; likely causes: weights"
            " that are not trained, another data.preprocess than they were trained with"
        )
    unpruned = evaluator.engine.score(evaluator.space.channels, sub_validation=IMAGES, vanilla=True)
    assert unpruned.vanilla_predictions is not None
    before = unpruned.vanilla_predictions.scores[by.name]
    _warn(evaluator, by, (exact, before, unpruned.predictions.scores[by.name]), context)


@torch.no_grad()
def _says_the_same(evaluator: Evaluator) -> bool:
    """Whether a network answers all images alike, whatever they show; chance is known of classes alone."""
    task = evaluator.engine.task
    if task is CLASSIFICATION or task.targets == "list" or type(task).answers is Task.answers:
        return False
    inputs, _ = evaluator.engine.sub_validation.part(0, evaluator.engine.sub_validation.batch_size)
    answers = task.answers(run(evaluator.network, inputs))
    return len(answers) > 1 and bool((answers == answers[:1]).all())


def _warn(evaluator: Evaluator, by: Scorer, scores: tuple[float, float, float], context: Context) -> None:
    exact, before, after = scores
    text = by.evidence.text
    arithmetic = str(evaluator.engine.dtype).removeprefix("torch.")
    of = "" if evaluator.engine.task is CLASSIFICATION else f" ({by.label})"
    context.say(
        f"preflight: the unpruned network scores {text(exact)}, in {arithmetic} {text(before)}, recalibrated"
        f" {text(after)}{of}"
    )
    # Of scores without a natural size, in their own.
    size = 1.0 if by.evidence.unit == "%" else abs(exact) or 1.0
    if abs(before - exact) > LARGEST_CHANGE_BY_PRECISION * size:
        context.warn(
            f"{arithmetic} changes the {by.name} by {(before - exact) / size:+.1%}: set evaluate.precision to float32"
        )
    if by.sign * (after - before) < -LARGEST_LOSS * size:
        context.warn(
            f"recalibration alone costs {abs(before - after) / size:.1%} of {by.name}; raise subset.calibration, which"
            f" gives {len(evaluator.engine.calibration.labels)} images, or evaluate.batch_size"
        )


def check_best_score(evaluator: Evaluator, winner: Scores, context: Context) -> None:
    """Warn if even the best candidate is no better than chance: then the ranking says nothing, whatever score ranks.

    What chance is, is known of classes alone.
    """
    if evaluator.engine.task is CLASSIFICATION and (right := winner.values["accuracy"]) <= _chance(evaluator):
        context.warn(f"the best candidate is right on {right:.2%}, which is chance: {NEAR_CHANCE}")


def _chance(evaluator: Evaluator, images: int | None = None) -> float:
    return chance_level(evaluator.engine.sub_validation.labels.cpu().numpy()[:images])


@torch.no_grad()
def _require_same_outputs(evaluator: Evaluator) -> None:
    inputs, _ = evaluator.engine.sub_validation.part(0, evaluator.engine.sub_validation.batch_size)
    unpruned = evaluator.prune([0.0] * len(evaluator.space.groups)).eval()
    name = evaluator.space.core
    # Outputs that are chosen by values, such as boxes, may be others by a rounding: a core's are not.
    reaching = core_inputs(evaluator.network, name, inputs)
    one, other = (tensors(run(core_of(network, name), reaching)) for network in (evaluator.network, unpruned))
    pairs = zip(one, other, strict=True)
    difference = max(float((one.double() - other.double()).abs().max() / one.abs().max()) for one, other in pairs)
    if not difference <= LARGEST_DIFFERENCE:
        raise EvaluationError(
            f"pruning nothing changes the network's outputs by {difference:.1e}: its forward pass cannot be followed; "
            "exclude the layers concerned by strategies.exclude"
        )
