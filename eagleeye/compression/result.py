"""What came of a compression: a network that is ready to be used, and why it is this one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
from torch import Tensor, nn

from eagleeye.channels import Cost, Space
from eagleeye.channels.core import apart
from eagleeye.data import Preprocess
from eagleeye.own_module import take_over
from eagleeye.saving.around import graph_of, rest_of
from eagleeye.saving.artifact import save
from eagleeye.task import Scorer, Task
from eagleeye.thin import check_fits


@dataclass(frozen=True, eq=False, repr=False)
class Compressed:
    """A pruned network, its scores and costs.

    Attributes:
        model: The network, recalibrated or fine-tuned, in evaluation mode on the device of the full one; where a core
            was pruned, a copy of the full network with the pruned core in its place.
        task: What the network is for.
        scored_by: The score that decided.
        scores: All scores of `model` on the sub-validation images, by name; those that need labels where these are
            known.
        full_scores: Those of the full network, likewise.
        metrics: What the task reports of all sub-validation images together, e.g. mIoU, of `model`; empty where the
            scores say all, or labels are not known.
        full_metrics: Those of the full network.
        cost: What `model` costs; where a core was pruned, what that costs.
        full_cost: What the full network costs, likewise.
        ranking: All candidates as `eagleeye.search` ranks them, the winner first. Its scores are from before the last
            refitting and fine-tuning.
        history: Fine-tuning, one row per epoch, or what your own loop told; empty without.
        space: The search space, `print(result.space)`.
        preprocess: How pixels become the network's inputs; None where images were given as inputs.
        classes: Names of the classes, where they have any.
        images: Numbers of images: calibration, sub_validation and, if not your own loop fine-tuned, training.
        remarks: What the user should know.
        full_model: The full network.
        example: One input of it.
    """

    model: nn.Module
    task: Task
    scored_by: str
    scores: Mapping[str, float]
    full_scores: Mapping[str, float]
    metrics: Mapping[str, float]
    full_metrics: Mapping[str, float]
    cost: Cost
    full_cost: Cost
    ranking: pd.DataFrame
    history: pd.DataFrame
    space: Space
    preprocess: Preprocess | None
    classes: tuple[str, ...]
    images: Mapping[str, int]
    remarks: tuple[str, ...]
    full_model: nn.Module
    example: Tensor

    @property
    def score(self) -> float:
        """The score of `model` that decided, on the sub-validation images."""
        return self.scores[self.scored_by]

    @property
    def scorer(self) -> Scorer:
        """Everything about the score that decided."""
        return self.task.scorers[self.scored_by]

    @property
    def winner(self) -> str:
        """The id of the candidate that won."""
        return str(self.ranking["id"].iloc[0])

    def save(self, path: str | Path, metadata: Mapping[str, str] | None = None) -> None:
        """Save the network as one file that `eagleeye.load` opens, without the code it was built by.

        Where a core was pruned, `eagleeye.load(path, into=full)` puts it into the full network; see `eagleeye.save`.

        Args:
            path: The file, written beside and renamed.
            metadata: Texts to keep with it, beside the scores, costs, preprocess and classes; see
                `eagleeye.read_metadata`.

        Raises:
            ArtifactError: The network holds something that cannot be described, or the file cannot be written.
        """
        texts = {"id": self.winner, "macs": str(self.cost.macs), "params": str(self.cost.params)}
        texts |= {f"sub_validation_{name}": repr(value) for name, value in self.scores.items()}
        if self.preprocess is not None:
            texts["preprocess"] = json.dumps(asdict(self.preprocess))
        if self.classes:
            texts["classes"] = json.dumps(self.classes)
        save(self.model, path, texts | dict(metadata or {}), core=self.space.core)

    def apply_to(self, network: nn.Module) -> None:
        """Cut a network of the user's own class to the sizes and weights of `model`, as `prune(…, inplace=True)` does.

        Args:
            network: Of the full one's architecture: a copy of it, or itself, which then is the full network no more.

        Raises:
            StrategyError: Its tensors have other shapes than the full network's.
            ModelError: Its own code does not go on with the winner's widths; it is as it was.
        """
        own, alone = apart(network, self.space)
        check_fits(own, alone)
        take_over(own, graph_of(self.model, self.space.core), alone)
        found = rest_of(self.model, self.space.core)
        for name, tensor in rest_of(network, self.space.core).items():
            tensor.data = found[name].detach().to(tensor).clone()

    def report(self, path: str | Path) -> None:
        """Write a page about the search that needs nothing beside itself; latencies are measured for it.

        Args:
            path: The HTML file, or a folder to put `report.html` into.

        Raises:
            ArtifactError: The file cannot be written.
        """
        from eagleeye.compression.page import write_page

        write_page(self, path)

    def __repr__(self) -> str:
        """The result in a line: tables and networks would be pages."""
        return f"<{self}>"

    def __str__(self) -> str:
        """The result in a line."""
        text = self.scorer.evidence.text
        full = f", the full network {text(self.full_scores[self.scored_by])}" if not self.scorer.compares else ""
        costs = (
            f"{getattr(self.cost, name):,} {label} ({getattr(self.cost, name) / getattr(self.full_cost, name):.1%})"
            for name, label in (("macs", "MACs"), ("params", "parameters"))
        )
        metrics = (f", {name} {value:.4f} of {self.full_metrics[name]:.4f}" for name, value in self.metrics.items())
        return (
            f"{self.winner} of {len(self.ranking)} candidates: {self.scored_by} {text(self.score)}{full}"
            f"{''.join(metrics)} on {self.images['sub_validation']:,} images; {', '.join(costs)}"
        )
