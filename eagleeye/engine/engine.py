"""Scores of many candidates of one trained network (paper, section 3), as fast as the device allows."""

from __future__ import annotations

import copy
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor, fx, nn

from eagleeye.channels.core import core_of
from eagleeye.channels.space import Space
from eagleeye.data import Batches
from eagleeye.engine.memory import choose_chunk
from eagleeye.engine.method import Method, Outcome, best_method, choose_precision
from eagleeye.engine.parent import Parent
from eagleeye.engine.slot import Slot
from eagleeye.engine.start import Start, fits
from eagleeye.engine.unpruned import Unpruned
from eagleeye.errors import ConfigError, EvaluationError
from eagleeye.forward.cores import usable_cores
from eagleeye.forward.inputs import Inputs
from eagleeye.forward.running import is_full, run
from eagleeye.forward.structures import joined, mapped
from eagleeye.given import batches_of
from eagleeye.scoring.batchnorm import adapt_batch_norm
from eagleeye.scoring.evaluate import Predictions, in_float32, predict
from eagleeye.strategies import Strategy
from eagleeye.task import CLASSIFICATION, Task

GPU_LANES = 4
Part = TypeVar("Part")


class Engine:
    """Evaluates candidates; any number of threads may call `score` at a time.

    On a CPU, whoever owns the process calls `keep_freed_memory` before, as `search` does: small networks take a tenth
    less time.

    Args:
        model: The trained network on its device, left untouched; it takes a tensor of images. One whose weights are
            float64, float16 or bfloat16 is searched in that precision.
        space: Its search space. Where it has a core, that alone is pruned, and the whole network is recalibrated and
            scored.
        calibration: Images that re-estimate BN statistics. Their batch size is part of a score: it is the number of
            images whose statistics are averaged. `Batches`, or images in any form that `eagleeye.given.collect`
            takes (a DataLoader, a data set, a tensor), which are all read; labels are left aside.
        sub_validation: Images whose labels are predicted, likewise; their batch size does not matter. Where they have
            no labels, the unpruned network's answers stand for them.
        method: How candidates are pruned and evaluated; None: by `best_method`, which takes a pass over 512 images.
        task: What the network is for; what its outputs are and how they are scored follows from it.
        lanes: Candidates that are on the device at a time, each with the memory of one network; None: as many as the
            machine has cores, or 4 on a GPU.
        say: Told in a line when a batch does not fit into memory and is halved.

    Raises:
        StrategyError: The space was traced from another network.
        ConfigError: Batches or the precision are not what they should be.
        EvaluationError: The network does not take such images, or its outputs are no class scores of the labels.
    """

    def __init__(
        self,
        model: nn.Module,
        space: Space,
        calibration: Batches[Tensor] | Any,
        sub_validation: Batches[tuple[Tensor, Tensor]] | Any,
        *,
        method: Method | None = None,
        task: Task = CLASSIFICATION,
        lanes: int | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        calibration = batches_of(calibration, model, labelled=False, name="calibration", task=task)
        sub_validation = batches_of(sub_validation, model, labelled=True, name="sub_validation", task=task)
        method = method or best_method(model, space, calibration)
        self.whole = self.parent = Parent(model, space, criterion=method.criterion, refit=method.refit)
        self.calibration = calibration.in_precision(self.parent.precision)
        self.sub_validation = sub_validation.in_precision(self.parent.precision)
        self.method = method
        self.task = task
        self.say = say
        self.dtype = choose_precision(method.precision, self.parent.device, self.parent.precision)
        self._weights = torch.float32 if self.dtype == self.parent.precision else self.dtype
        self._check_network()
        self.lanes = lanes or (usable_cores() if self.parent.device.type == "cpu" else GPU_LANES)
        self._start = self._set_apart()
        self._full: nn.Module | None = None
        images = len(self.sub_validation.labels)
        self._unpruned = Unpruned(self._run_unpruned, images, self.parent.device, listed=task.listed)
        self._halving = threading.Lock()
        self._streams: dict[int, torch.cuda.Stream] = {}
        self._slots: queue.SimpleQueue[Slot | None] = queue.SimpleQueue()
        for _ in range(self.lanes):
            self._slots.put(None)
        with self._lane() as slot, self._autocast():
            slot.fold()
            self.chunk = choose_chunk(slot.folded, self.parent.reaching(self._part(0, 1, 0)[0]), 1)
        """Sub-validation images per forward pass."""

    def score(
        self,
        strategy: Strategy | Sequence[int],
        *,
        calibration: int | None = None,
        sub_validation: int | None = None,
        begun: tuple[int, Tensor] | None = None,
        vanilla: bool = False,
    ) -> Outcome:
        """Evaluate a candidate: cut its tensors, re-estimate its BN statistics, look at its predictions.

        Args:
            strategy: The candidate, or its widths in group order.
            calibration: So many of the first calibration images; None: all there are.
            sub_validation: So many of the first sub-validation images; None: all there are.
            begun: Calibration images that an earlier evaluation of this candidate has used (a multiple of the batch
                size) and the statistics it ended with: only the images after them are run through the network, with
                the same result. Of more images than are wanted now, they are no use and left aside.
            vanilla: Whether to score the candidate with the trained network's statistics, too.

        Returns:
            The scores, with what it takes to compare and to go on. The same bits for the same images on the same number
            of threads, whatever else ran.

        Raises:
            StrategyError: The strategy does not fit the space.
            EvaluationError: The network cannot be scored.
        """
        widths = strategy.widths if isinstance(strategy, Strategy) else strategy
        wanted = len(self.calibration.labels)
        look = len(self.sub_validation.labels)
        wanted = min(calibration or wanted, wanted)
        look = min(sub_validation or look, look)
        self._unpruned.prepare(look, self.chunk)
        with self._lane() as slot:
            slot.fill(widths)
            before = self._predict(slot, look, 0) if vanilla else None
            self._adapt(slot, widths, wanted, begun)
            return Outcome(self._predict(slot, look, wanted), before, slot.statistics())

    def network(self, strategy: Strategy | Sequence[int], *, in_turn: Inputs | None = None) -> nn.Module:
        """A candidate as a network of its own, ready to be saved, exported or trained on.

        Pruned by the engine's criterion, with BN statistics re-estimated on all calibration images as a search's winner
        has them. It is in the trained network's precision, also where candidates of a float32 network are scored in
        bfloat16: the accuracy is then the score but for images on the edge between two classes.

        Args:
            strategy: The candidate, or its widths in group order.
            in_turn: Calibration images as one batch: the layers are refitted once more, one after another, as in
                `prune`. The network is then better than its score says.

        Returns:
            The network on the engine's device, in evaluation mode; its tensors are its own. A graph
            (`torch.fx.GraphModule`); where the space has a core, the whole network with one in the core's place.

        Raises:
            StrategyError: The strategy does not fit the space.
            ConfigError: `in_turn` where the method does not refit.
            EvaluationError: Its statistics cannot be re-estimated.
        """
        widths = strategy.widths if isinstance(strategy, Strategy) else strategy
        if in_turn is not None and self.method.refit is None:
            raise ConfigError("in_turn: candidates are not refitted; give the engine a method with refit")
        slot = Slot(self.whole)
        slot.fill(widths)
        if in_turn is not None:
            return self._in_turn(slot, widths, in_turn)
        self._adapt(slot, widths, len(self.calibration.labels), None)
        # A copy: the slot shares those of the trained network's tensors that lose no channel.
        return self.whole.as_given(slot.copied())

    def _in_turn(self, slot: Slot, widths: Sequence[int], images: Inputs) -> nn.Module:
        assert self.method.refit is not None
        network = self.whole.as_given(slot.copied())
        core = core_of(network, self.whole.space.core)
        assert isinstance(core, fx.GraphModule)
        self.method.refit.in_turn(core, self.whole.kept(widths), self.whole.reaching(images))
        if slot.norms:
            adapt_batch_norm(network, self.calibration, mode=self.method.mode, iterations=self.method.iterations)
        return network

    def full_outputs(self, images: int | None = None) -> Any:
        """The unpruned network's outputs for sub-validation images, batch first, at least float32.

        Args:
            images: So many of the first ones; None: all there are.
        """
        count = images or len(self.sub_validation.labels)
        self._unpruned.prepare(count, self.chunk)
        return self._unpruned.between(0, count)

    def _run_unpruned(self, start: int, stop: int) -> Any:
        if self._full is None:
            slot = Slot(self.parent, dtype=self._weights)
            slot.fill(self.parent.space.channels)
            self._full = slot.fold()
        network = self._full
        with self._arithmetic(), torch.inference_mode():
            parts = self._in_chunks(start, stop, lambda a, b: in_float32(network(self._part(a, b, 0)[0])))
            # On the CPU first: other streams of a GPU must not read what is still being computed.
            return mapped(joined(parts, listed=self.task.listed), lambda tensor: tensor.cpu().to(self.parent.device))

    def _adapt(self, slot: Slot, widths: Sequence[int], stop: int, begun: tuple[int, Tensor] | None) -> None:
        start = 0
        if begun is not None and begun[0] <= stop:
            start = begun[0]
            slot.restore(begun[1])
        if start >= stop or not slot.norms:
            return
        size = self.calibration.batch_size
        try:
            batches = self.calibration if self.method.mode == "paper" else self._source(slot).between(start, stop)
            adapt_batch_norm(
                slot.adaptable(), batches, mode=self.method.mode, iterations=self.method.iterations, seen=start
            )
        except (RuntimeError, MemoryError) as error:
            if not is_full(error):
                raise
            self._halve_calibration(size)
            slot.fill(widths)
            self._adapt(slot, widths, stop, None)

    def _predict(self, slot: Slot, stop: int, seen: int) -> Predictions:
        network = slot.fold()

        def look(start: int, end: int) -> Predictions:
            def full(_start: int, _stop: int, _batch: Inputs) -> Any:
                return self._unpruned.between(start, end)

            return predict(network, [self._part(start, end, seen)], full=full, task=self.task)

        return Predictions.joined(self._in_chunks(0, stop, look))

    def _in_chunks(self, start: int, stop: int, work: Callable[[int, int], Part]) -> list[Part]:
        """Do the work on images from and to, as many at a time as fit into memory."""
        parts = list[Part]()
        while start < stop:
            chunk = self.chunk
            try:
                parts.append(work(start, min(start + chunk, stop)))
                start += chunk
            except (RuntimeError, MemoryError) as error:
                if not is_full(error):
                    raise
                self.chunk = self._half(chunk, "sub-validation images at a time; scores stay the same but for rounding")
        return parts

    def _set_apart(self) -> Start | None:
        # The published protocol runs over its images again and again: there is no state to go on from.
        # Of a whole network, what comes before its core may be anything, and different for every image.
        if self.method.mode == "paper" or self.whole.has_core:
            return None
        parent = copy.copy(self.whole)
        parent.set_apart()
        # Sub-validation images twice: with statistics of the calibration images, and with the trained network's.
        images = len(self.calibration.labels) + 2 * len(self.sub_validation.labels)
        with self._arithmetic():
            if parent.start is not None and fits(parent.start, self.calibration.part(0, 1), images):
                self.parent = parent
                # A copy: its layers change their precision and statistics.
                return Start(copy.deepcopy(parent.start), self._weights, self.calibration, self.sub_validation)
        return None

    def _source(self, slot: Slot) -> Batches[Tensor] | Start:
        return self.calibration if self._start is None or slot.parent is self.whole else self._start

    def _part(self, start: int, stop: int, seen: int) -> tuple[Tensor, Tensor]:
        if self._start is not None:
            return self._start.part(start, stop, seen)
        return self.sub_validation.part(start, stop)

    def _check_network(self) -> None:
        with torch.inference_mode():
            outputs = run(self.parent.whole, self.sub_validation.part(0, 1)[0])
        self.task.check(outputs, self.sub_validation.labels)
        if self.sub_validation.labels_known:
            self.task.check_images(self.parent.whole, self.sub_validation.pixels[:1], self.sub_validation.labels)

    def _halve_calibration(self, size: int) -> None:
        said = "calibration images per batch; candidates scored from here on are compared with others less exactly"
        with self._halving:
            # Several candidates may have met the same limit: one of them halves the batch.
            if self.calibration.batch_size == size:
                self.calibration = copy.copy(self.calibration)
                self.calibration.batch_size = self._half(size, said)
                if self._start is not None:
                    self._start.regroup(self.calibration)

    def _half(self, size: int, what: str) -> int:
        if size == 1:
            raise EvaluationError("device: its memory does not hold one image's activations; use a larger one")
        if self.parent.device.type == "cuda":
            torch.cuda.empty_cache()
        self.say(f"the device's memory is full: {size} → {size // 2} {what}")
        return size // 2

    @contextmanager
    def _lane(self) -> Iterator[Slot]:
        """A place for a candidate, with the arithmetic of the engine's precision and, on a GPU, a stream of its own."""
        slot = self._slots.get()
        try:
            if slot is None:
                slot = Slot(self.parent, dtype=self._weights)
            with self._stream(slot), self._arithmetic():
                yield slot
        finally:
            self._slots.put(slot)

    def _stream(self, slot: Slot) -> AbstractContextManager[object]:
        if self.parent.device.type != "cuda":
            return nullcontext()
        # Small networks do not fill a GPU: candidates on streams of their own run side by side.
        stream = self._streams.setdefault(id(slot), torch.cuda.Stream(self.parent.device))
        stream.wait_stream(torch.cuda.default_stream(self.parent.device))
        return torch.cuda.stream(stream)

    def _arithmetic(self) -> AbstractContextManager[object]:
        # A core has it in its place; what is around it computes as it was given.
        return nullcontext() if self.whole.has_core else self._autocast()

    def _autocast(self) -> AbstractContextManager[object]:
        # Weights are in the lower precision already; autocast brings the inputs to it wherever a layer needs that.
        return torch.autocast(self.parent.device.type, self.dtype, enabled=self._weights != torch.float32)
