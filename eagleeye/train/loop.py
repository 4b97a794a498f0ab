"""Training and fine-tuning: SGD with a cosine learning rate, the best epoch kept, resumable at any epoch.

The published recipe is 120 epochs of SGD at 0.01 with a cosine, momentum 0.9 and weight decay 1e-4 (paper,
section 4.1). Unlike the published code, the best epoch is chosen on the sub-validation images, never on the
test set.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from eagleeye.errors import CheckpointError, DataError, EvaluationError, ModelError
from eagleeye.evaluate import evaluate
from eagleeye.train import augment, distributed
from eagleeye.train.data import Batch, TrainData
from eagleeye.train.recipe import Recipe, learning_rate

State = dict[str, Any]
HISTORY_COLUMNS = ["epoch", "lr", "train_loss", "validation_accuracy", "validation_loss", "images_per_second"]


@dataclass(frozen=True)
class TrainResult:
    """What a training run tells.

    Attributes:
        history: One row per epoch: epoch (from 1), lr (of its first step), train_loss (with label smoothing),
            validation_accuracy in [0, 1], validation_loss (cross-entropy), images_per_second.
        best_epoch: Epoch whose weights the model ended with.
        best_accuracy: Validation accuracy of that epoch.
    """

    history: pd.DataFrame
    best_epoch: int
    best_accuracy: float


def train(
    model: nn.Module,
    data: TrainData,
    validation: Iterable[Batch],
    recipe: Recipe,
    *,
    device: str | torch.device,
    state: State | None = None,
    on_epoch: Callable[[State], None] | None = None,
    on_step: Callable[[int, int, float], None] | None = None,
) -> TrainResult:
    """Train a network in place; it ends in evaluation mode, with the weights of its best epoch.

    The best epoch has the highest accuracy on the validation batches; among equals the lowest loss, then the
    earliest. Interrupted at any moment and continued from the last state, a run ends with the very bits of
    an undisturbed one (on the same device). Started by `torchrun`, the processes share every batch, and only
    the first one calls back.

    Args:
        model: Any module with logits (n, classes) as output; a traced or pruned network as well.
        data: Training images, on the same device.
        validation: Labelled batches (x, y), iterated once per epoch; a list or a re-iterable object.
        recipe: Settings of the run.
        device: Where to train, e.g. ``cpu`` or ``cuda``.
        state: What ``on_epoch`` last received, to continue from there.
        on_epoch: Called after each epoch with everything needed to continue: a dict of tensors and plain
            values that ``torch.load(weights_only=True)`` reads back. Writing it is the caller's business.
        on_step: Called after each step with the steps done, the steps of the whole run, and images per
            second.

    Returns:
        History, best epoch and its accuracy.

    Raises:
        CheckpointError: The state belongs to another recipe or another network.
        DataError: There are too few images, labels the network has no output for, or validation batches for
            one epoch.
        EvaluationError: The loss is no longer a number.
        ModelError: The network does not return logits.
    """
    if iter(validation) is validation:
        raise DataError("validation is an iterator, empty after one epoch: pass a list of batches, or Batches")
    place = distributed.local_device(device)
    with distributed.process_group(place) as share, _repeatable(place):
        run = _Run(model, data, recipe, place, share)
        try:
            if state is not None:
                run.restore(state)
            for epoch in range(run.epoch, recipe.epochs):
                run.train_epoch(epoch, on_step)
                run.score_epoch(validation)
                if on_epoch and share.rank == 0:
                    on_epoch(run.snapshot())
        finally:
            run.leave()
        return run.finish()


class _Run:
    """The moving parts of one training run in one process."""

    def __init__(
        self,
        model: nn.Module,
        data: TrainData,
        recipe: Recipe,
        device: torch.device,
        share: distributed.Share,
    ) -> None:
        self.model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.data, self.recipe, self.device, self.share = data, recipe, device, share
        self.highest_label = int(data.labels.max())
        self.optimizer = torch.optim.SGD(
            model.parameters(),
            lr=recipe.lr,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=recipe.momentum > 0,
        )
        self.autocast = _autocast_type(device) if recipe.mixed_precision else None
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.autocast is torch.float16)
        self.criterion = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
        self.parallel = DistributedDataParallel(self.model) if share.world > 1 else self.model
        self.epoch = 0
        self.history: list[dict[str, float]] = []
        self.best: State = {}

    def train_epoch(self, epoch: int, on_step: Callable[[int, int, float], None] | None) -> None:
        """Run every step of one epoch (from 0) and begin its row of the history."""
        torch.set_rng_state(augment.generator(self.recipe.seed, epoch, self.share.rank).get_state())
        if self.device.type == "cuda":
            torch.cuda.manual_seed(augment.generator(self.recipe.seed, epoch, self.share.rank).initial_seed())
        steps = self.data.steps(self.recipe, self.share)
        total, images, start = torch.zeros((), device=self.device), 0, time.perf_counter()
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

    def _step(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """One step of SGD; returns the batch's mean loss."""
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, dtype=self.autocast, enabled=self.autocast is not None):
            logits = self.parallel(x)
            self._require_logits(logits)
            loss: torch.Tensor = self.criterion(logits.float(), y)
        torch.autograd.backward(self.scaler.scale(loss))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.detach()

    def score_epoch(self, validation: Iterable[Batch]) -> None:
        """Finish the epoch's row with the validation score; keep the weights if they are the best so far."""
        score = torch.zeros(2, dtype=torch.float64, device=self.device)
        if self.share.rank == 0:
            score += torch.tensor(tuple(evaluate(self.model, validation)), dtype=torch.float64)
        accuracy, loss = distributed.copy_from_first(score, self.share).tolist()
        self.history[-1] |= {"validation_accuracy": accuracy, "validation_loss": loss}
        if not self.best or (accuracy, -loss) > (self.best["accuracy"], -self.best["loss"]):
            self.best = {
                "epoch": self.epoch,
                "accuracy": accuracy,
                "loss": loss,
                "model": _copied(self.model.state_dict()),
            }

    def snapshot(self) -> State:
        """Everything needed to continue after this epoch, in memory of its own."""
        state: State = _copied(
            {
                "epoch": self.epoch,
                "best_epoch": self.best["epoch"],
                "best_accuracy": self.best["accuracy"],
                "best_loss": self.best["loss"],
                "best_model": self.best["model"],
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "history": self.history,
                "recipe": asdict(self.recipe),
            }
        )
        return state

    def restore(self, state: State) -> None:
        """Continue from a snapshot of the same recipe and network."""
        recorded, wanted = state.get("recipe", {}), asdict(self.recipe)
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
        except (KeyError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(
                f"the training state does not fit the network ({reason}): remove it to start again"
            ) from error
        self.scaler.load_state_dict(state["scaler"])
        self.epoch, self.history = state["epoch"], [dict(row) for row in state["history"]]
        self.best = {key: state[f"best_{key}"] for key in ("epoch", "accuracy", "loss", "model")}

    def finish(self) -> TrainResult:
        """Load the best weights, the same in every process."""
        self.model.load_state_dict(self.best["model"])
        for value in self.model.state_dict().values():
            # The running statistics of batch norm are each process's own.
            distributed.copy_from_first(value, self.share)
        return TrainResult(
            pd.DataFrame(self.history, columns=HISTORY_COLUMNS).astype({"epoch": "int64"}),
            self.best["epoch"],
            self.best["accuracy"],
        )

    def leave(self) -> None:
        """Put the network into evaluation mode and the usual memory format, whatever happened."""
        self.model.eval()
        self.model.to(memory_format=torch.contiguous_format)

    def _set_learning_rate(self, lr: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = lr

    def _require_logits(self, logits: object) -> None:
        if not isinstance(logits, torch.Tensor) or logits.ndim != 2:
            shape = f"a tensor of shape {tuple(logits.shape)}" if isinstance(logits, torch.Tensor) else type(logits)
            raise ModelError(f"the network returns {shape} in training, but must return logits (images, classes)")
        if self.highest_label >= logits.shape[1]:
            raise DataError(
                f"the network has {logits.shape[1]} outputs, but there are labels up to {self.highest_label}: "
                f"build the model with num_classes={self.highest_label + 1}"
            )

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


def _autocast_type(device: torch.device) -> torch.dtype | None:
    """The half-precision type that pays on this device; None on a CPU, where it is slow to emulate."""
    if device.type != "cuda":
        return None
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


@contextmanager
def _repeatable(device: torch.device) -> Iterator[None]:
    """Repeatable kernels inside; outside, the caller's random state and settings as they were."""
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            cudnn.deterministic, cudnn.benchmark = True, False
            yield
        finally:
            cudnn.deterministic, cudnn.benchmark = before


def _copied(value: Any) -> Any:
    """A deep copy with every tensor on the CPU, detached and in its memory format."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return value
