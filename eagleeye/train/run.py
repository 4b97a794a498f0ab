"""The moving parts of a training run in one process: steps, scores, and the state to continue from."""

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from eagleeye.data.images import Targets
from eagleeye.errors import CheckpointError, EvaluationError
from eagleeye.scoring.evaluate import outputs_of, predict
from eagleeye.train import augment, distributed
from eagleeye.train.average import MovingAverage
from eagleeye.train.data import Batch, TrainData
from eagleeye.train.forward import Forward, Made
from eagleeye.train.objective import Aim, Objective
from eagleeye.train.precision import autocast_type, spare_slow_layers
from eagleeye.train.recipe import Recipe, learning_rate

State = dict[str, Any]


class Run:
    """A network in training: epochs done, history, the best weights so far."""

    def __init__(
        self,
        model: nn.Module,
        data: TrainData,
        recipe: Recipe,
        device: torch.device,
        share: distributed.Share,
        aim: Aim,
        teacher: nn.Module | None = None,
    ) -> None:
        self.objective = Objective(recipe, teacher, device, aim)
        self.aim = aim
        self.model = model.to(device).to(memory_format=torch.channels_last)
        self.data = data
        self.recipe = recipe
        self.device = device
        self.share = share
        self.checked = False
        self.optimizer = torch.optim.SGD(
            model.parameters(),
            lr=recipe.lr,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=recipe.momentum > 0,
        )
        self.autocast = autocast_type(device) if recipe.mixed_precision else None
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.autocast is torch.float16)
        self.average = None if recipe.ema is None else MovingAverage(self.model, recipe.ema)
        forward = Forward(self.model, aim.task, aim.core, self.objective.teacher, alone=self.objective.loss is None)
        # Where the core alone learns, the rest of a network has no gradients.
        partly = aim.task.computes_losses and forward.alone
        self.parallel = DistributedDataParallel(forward, find_unused_parameters=partly) if share.world > 1 else forward
        self.epoch = 0
        self.history: list[dict[str, float]] = []
        self.best: State = {}
        self.hooks = spare_slow_layers(self.model, device) if self.autocast else []

    def train_epoch(self, epoch: int, on_step: Callable[[int, int, float], None] | None) -> None:
        """Run every step of one epoch (from 0) and begin its row of the history."""
        torch.set_rng_state(augment.generator(self.recipe.seed, epoch, self.share.rank).get_state())
        if self.device.type == "cuda":
            torch.cuda.manual_seed(augment.generator(self.recipe.seed, epoch, self.share.rank).initial_seed())
        steps = self.data.steps(self.recipe, self.share)
        total = torch.zeros((), device=self.device)
        images = 0
        start = time.perf_counter()
        self.parallel.train()
        for step, (x, y) in enumerate(self.data.batches(self.recipe, epoch, self.share)):
            done = epoch * steps + step
            self._set_learning_rate(learning_rate(self.recipe, done, steps))
            total += self._step(x, y)
            images += len(x) * self.share.world
            # Looking at the loss makes a GPU wait: now and then, and always before the epoch counts as done.
            if step % 20 == 0 or step == steps - 1:
                self._require_number(total, epoch, step)
            speed = images / (time.perf_counter() - start)
            if on_step and self.share.rank == 0:
                on_step(done + 1, steps * self.recipe.epochs, speed)
        self.epoch = epoch + 1
        self.history.append(
            {
                "epoch": self.epoch,
                "lr": learning_rate(self.recipe, epoch * steps, steps),
                "train_loss": float(distributed.mean_over_processes(total / steps, self.share)),
                "images_per_second": images / (time.perf_counter() - start),
            }
        )

    def _step(self, x: torch.Tensor, y: Targets) -> torch.Tensor:
        """One step of SGD; returns the batch's mean loss."""
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, dtype=self.autocast, enabled=self.autocast is not None):
            outputs = self.parallel(x, y)
            self._require_outputs(outputs, y)
            loss = self.objective(x, outputs, y)
        torch.autograd.backward(self.scaler.scale(loss))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            self.average.update_parameters(self.model)
        return loss.detach()

    @property
    def result(self) -> nn.Module:
        """The network that is scored and kept: the average of the weights where the recipe asks for it."""
        return self.model if self.average is None else self.average.module

    def score_epoch(self, validation: Iterable[Batch]) -> None:
        """Finish the epoch's row with the validation scores; keep the weights if they are the best so far."""
        by = self.aim.by
        names = self._deciding
        found = torch.zeros(2, dtype=torch.float64, device=self.device)
        if self.share.rank == 0:
            scores = self._scores(validation)
            found += torch.tensor([scores[name] for name in names], dtype=torch.float64)
        scores = dict(zip(names, distributed.copy_from_first(found, self.share).tolist(), strict=True))
        self.history[-1] |= {f"validation_{name}": score for name, score in scores.items()}
        if not self.best or by.merits(scores) > by.merits(self.best):
            self.best = {"epoch": self.epoch, **scores, "model": _copied(self.result.state_dict())}

    @property
    def _deciding(self) -> tuple[str, str]:
        return self.aim.by.first.name, self.aim.by.second.name

    def _scores(self, validation: Iterable[Batch]) -> dict[str, float]:
        teacher = self.objective.teacher
        full = outputs_of(teacher) if teacher is not None and self.aim.by.first.compares else None
        return predict(self.result, validation, full=full, task=self.aim.task).scores

    def snapshot(self) -> State:
        """Everything needed to continue after this epoch, in memory of its own."""
        state: State = _copied(
            {
                "epoch": self.epoch,
                **{f"best_{key}": value for key, value in self.best.items()},
                "model": self.model.state_dict(),
                "average": self.average.state_dict() if self.average is not None else None,
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "history": self.history,
                "recipe": asdict(self.recipe),
            }
        )
        return state

    def restore(self, state: State) -> None:
        """Continue from a snapshot of the same recipe and network."""
        recorded = state.get("recipe", {})
        wanted = asdict(self.recipe)
        changed = [name for name in wanted if recorded.get(name) != wanted[name]]
        if changed:
            name = changed[0]
            raise CheckpointError(
                f"the training state was made with {name} {recorded.get(name)!r}, not {wanted[name]!r}: "
                "restore the setting, or remove the state to start again"
            )
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            if self.average is not None:
                self.average.load_state_dict(state["average"])
        except (KeyError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(
                f"the training state does not fit the network ({reason}): remove it to start again"
            ) from error
        self.scaler.load_state_dict(state["scaler"])
        self.epoch = state["epoch"]
        self.history = [dict(row) for row in state["history"]]
        self.best = {key: state[f"best_{key}"] for key in ("epoch", *self._deciding, "model")}

    def load_best(self) -> None:
        """Give the network the weights of its best epoch, the same in every process."""
        self.model.load_state_dict(self.best["model"])
        for value in self.model.state_dict().values():
            # The running statistics of batch norm are each process's own.
            distributed.copy_from_first(value, self.share)

    def leave(self) -> None:
        """Put the network into evaluation mode and the usual memory format, whatever happened."""
        for hook in self.hooks:
            hook.remove()
        self.objective.leave()
        self.model.eval()
        self.model.to(memory_format=torch.contiguous_format)

    def _set_learning_rate(self, lr: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = lr

    def _require_outputs(self, outputs: object, targets: Targets) -> None:
        if not self.checked and (self.objective.loss is not None or self.aim.task.targets == "class"):
            # Of classes, those of all images are known; larger targets are read with their images.
            known = self.data.labels if self.aim.task.targets == "class" else targets
            self.aim.task.check_training(outputs.losses if isinstance(outputs, Made) else outputs, known)
        self.checked = True

    def _require_number(self, total: torch.Tensor, epoch: int, step: int) -> None:
        if torch.isfinite(total):
            return
        where = f"the training loss is no longer a number in epoch {epoch + 1}, step {step + 1}"
        if epoch == 0 and step == 0:
            raise EvaluationError(f"{where}: the weights or the images hold NaN or infinity; check the checkpoint")
        raise EvaluationError(
            f"{where}: lower lr ({self.recipe.lr}), raise warmup_epochs ({self.recipe.warmup_epochs}), "
            "or turn mixed_precision off"
        )


def _copied(value: Any) -> Any:
    """A deep copy with every tensor on the CPU, detached and in its memory format."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return value
