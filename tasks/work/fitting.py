"""The work of the correlation study: one candidate scored, or fine-tuned with one seed, wherever that is done."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eagleeye.errors import EvaluationError
from eagleeye.strategies import Strategy
from eagleeye.study import drift
from eagleeye.task.scores import VANILLA
from tasks.artifacts import BASELINE, CALIBRATION, SUB_VALIDATION, rows_of
from tasks.inputs.evaluator import open_evaluator
from tasks.inputs.images import open_images
from tasks.params import Params
from tasks.run.context import Advance
from tasks.run.shared import Shared
from tasks.state.sources import sources_of
from tasks.task_rules import chosen_by
from tasks.work.testing import score_on_test
from tasks.work.training import Trainer, open_trainer, training_key

STAGE = "correlation"
FILES = (BASELINE, CALIBRATION, SUB_VALIDATION)


@dataclass(frozen=True)
class Fit:
    """A fine-tuning.

    Attributes:
        strategy: The candidate.
        seed: Of the order of the images and of the augmentation.
        key: Hash of everything that determines its result.
    """

    strategy: Strategy
    seed: int
    key: str


def study_key(params: Params, scoring: str) -> str:
    """Hash of everything that determines the study's results but the candidate and the seed.

    Args:
        params: The settings.
        scoring: From `tasks.inputs.evaluator.scoring_key`.
    """
    training = params.correlation.training.model_copy(update={"seed": 0})
    sources = {"fitting": Path(__file__), "testing": Path(__file__).with_name("testing.py")}
    start = {"scoring": scoring, **sources_of("eagleeye.study.drift"), **sources}
    return training_key(params, training, start)


def score_fully(shared: Shared, strategy: Strategy) -> dict[str, float]:
    """All scores of a candidate, on all images.

    Args:
        shared: The settings, with the key of `tasks.inputs.evaluator.scoring_key`.
        strategy: The candidate.

    Returns:
        By the names of the task's scores, with `vanilla_` before those without recalibration.

    Raises:
        EvaluationError: It cannot be scored.
    """
    evaluator = open_evaluator(shared.params, shared.key)
    try:
        outcome = evaluator.engine.score(strategy, vanilla=True)
    except EvaluationError as error:
        raise EvaluationError(f"candidate {strategy.id}: {error}") from error
    assert outcome.vanilla_predictions is not None
    vanilla = {VANILLA + name: score for name, score in outcome.vanilla_predictions.scores.items()}
    return outcome.predictions.scores | vanilla


def fine_tune(shared: Shared, fit: Fit) -> dict[str, Any]:
    """Fine-tune a candidate, test it, and see what that changed; continues where a killed one stopped.

    Args:
        shared: The settings, with the key of `tasks.inputs.evaluator.scoring_key`.
        fit: The fine-tuning.

    Returns:
        What JSON can say: figures, `history`, and per layer the distances of its BN `statistics` and its `weights`.

    Raises:
        EvaluationError: The training diverged.
    """
    params = shared.params
    evaluator = open_evaluator(shared.params, shared.key)
    settings = params.correlation.training.model_copy(update={"seed": fit.seed})
    trainer = replace(_open_trainer(params.model_dump_json(), shared.key), settings=settings)
    network = evaluator.prune(fit.strategy)
    vanilla = drift.statistics(network)
    weights = drift.typical_weights(network)
    evaluator.adapt(network)
    adaptive = drift.statistics(network)
    try:
        training = trainer.train(f"{fit.strategy.id}, seed {fit.seed}", network, fit.key, _Silent())
    except EvaluationError as error:
        raise EvaluationError(f"candidate {fit.strategy.id}, seed {fit.seed}: {error}") from error
    _, test = open_images(params)
    tested = score_on_test(params, network, test, device=trainer.device, batch_size=settings.batch_size)
    scores = tested.predictions.scores
    by = chosen_by(params)
    tuned = drift.statistics(network)
    far = {"vanilla": drift.distances(vanilla, tuned), "adaptive": drift.distances(adaptive, tuned)}
    return {
        "id": fit.strategy.id,
        "seed": fit.seed,
        "best_epoch": training.best_epoch,
        f"validation_{by.name}": training.best_score,
        **{f"test_{each.name}": scores[each.name] for each in (by.first, by.second)},
        # Speed is never the same twice.
        "history": rows_of(training.history.drop(columns="images_per_second")),
        "statistics": [
            {"layer": layer, **{name: list(found[layer]) for name, found in far.items()}} for layer in tuned
        ],
        "weights": drift.weight_histograms(weights, drift.typical_weights(network)),
    }


@functools.lru_cache(maxsize=1)
def _open_trainer(settings: str, _key: str) -> Trainer:
    params = Params.model_validate_json(settings)
    return open_trainer(params, params.correlation.training, STAGE)


class _Silent:
    """Whoever fine-tunes elsewhere has nobody to talk to; whoever waits for its row counts it."""

    @contextmanager
    def progress(self, title: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        """Show nothing."""
        yield lambda: None

    def say(self, line: str) -> None:
        """Say nothing."""
