"""baseline: the trained network to prune, from the user's checkpoint or, without one, from a training run."""

from pathlib import Path

import pandas as pd
import torch
from torch import nn

from eagleeye.data import Batches
from eagleeye.models import load_checkpoint, save_checkpoint
from eagleeye.scoring.evaluate import outputs_of, predict
from eagleeye.task import CLASSIFICATION
from eagleeye.train import current_share
from tasks.artifacts import BASELINE, BASELINE_HISTORY, SUB_VALIDATION, schema_of, write_table
from tasks.inputs.images import choose_device, load_subset, preprocess
from tasks.inputs.network import build_network, check_images
from tasks.inputs.trial import check_checkpoint, check_expected
from tasks.params import Params
from tasks.run.context import Context
from tasks.task_rules import chosen_by, task_for
from tasks.work.training import forget_all_but, open_trainer, training_key


def run(params: Params, context: Context) -> None:
    """Write the network's weights, so that every later stage has one and the same input.

    Raises:
        CheckpointError: The checkpoint is missing, damaged or does not fit the model.
        ConfigError: Its network does far better on images that are prepared otherwise.
        EvaluationError: It is no better than chance, or far from what is expected of it.
        ModelError: The model cannot be built, or does not take the images.
    """
    torch.manual_seed(params.baseline.seed)
    network = build_network(params)
    check_images(params, network)
    if params.model.checkpoint is None:
        history = _train(params, network, context)
    else:
        load_checkpoint(network, Path(params.model.checkpoint), say=context.say)
        if task_for(params) is CLASSIFICATION:
            check_checkpoint(params, network)
        history = schema_of(BASELINE_HISTORY, task_for(params)).empty_table().to_pandas()
    if current_share().rank == 0:
        score, images = _score(params, network)
        if task_for(params) is CLASSIFICATION:
            check_expected(params, score, images)
        save_checkpoint(network, BASELINE)
        write_table(BASELINE_HISTORY, history, task_for(params))
        context.say(f"baseline: {_told(params, score)}")


def _train(params: Params, network: nn.Module, context: Context) -> pd.DataFrame:
    key = training_key(params, params.baseline, {})
    forget_all_but("baseline", [key])
    trainer = open_trainer(params, params.baseline, "baseline")
    return trainer.train("training the baseline", network, key, context).history


def _told(params: Params, score: float) -> str:
    if task_for(params) is CLASSIFICATION:
        return f"{score:.2%} of the sub-validation images are right"
    by = chosen_by(params).first
    return f"{by.label} {by.evidence.text(score)} on the sub-validation images"


def _score(params: Params, network: nn.Module) -> tuple[float, int]:
    settings = params.baseline
    device = choose_device(params.baseline.device)
    images, _ = load_subset(params, SUB_VALIDATION)
    labelled = Batches(images, preprocess(params), batch_size=settings.batch_size, device=device, labelled=True)
    network = network.to(device).eval()
    found = predict(network, labelled, full=outputs_of(network), task=task_for(params))
    return found.scores[chosen_by(params).name], len(images)
