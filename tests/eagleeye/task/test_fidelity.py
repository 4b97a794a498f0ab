"""Any outputs: distances against formulas in NumPy, and a whole compression without a label."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cosine
from torch import Tensor, nn

import eagleeye
from benchmarks.scene_networks import Heads
from eagleeye.errors import ConfigError, EvaluationError
from eagleeye.task.fidelity import Fidelity, relative_distance, relative_error, similarity
from tests.eagleeye.task.networks import scenes, trained


class Pair(NamedTuple):
    first: Tensor
    second: dict[str, list[Tensor]]


def outputs(seed: int, images: int = 5, scale: float = 1.0) -> Pair:
    generator = torch.Generator().manual_seed(seed)
    first, second = (scale * torch.randn(images, *shape, generator=generator) for shape in ((3, 4), (7,)))
    return Pair(first, {"deep": [second]})


@given(seeds=st.tuples(st.integers(0, 999), st.integers(0, 999)), scale=st.sampled_from([1e-3, 1.0, 50.0]))
def test_distance_and_similarity_are_those_of_numpy_and_scipy(seeds: tuple[int, int], scale: float) -> None:
    mine, full = outputs(seeds[0], scale=scale), outputs(seeds[1])
    found, alike = relative_distance(mine, full), similarity(mine, full)
    for image in range(5):
        pairs = [
            (mine.first[image].flatten().double().numpy(), full.first[image].flatten().double().numpy()),
            (mine.second["deep"][0][image].double().numpy(), full.second["deep"][0][image].double().numpy()),
        ]
        distances = [np.linalg.norm(a - b) / np.sqrt((a @ a + b @ b) / 2) for a, b in pairs]
        assert found[image].item() == pytest.approx(np.mean(distances), abs=1e-9)
        assert alike[image].item() == pytest.approx(np.mean([1 - cosine(a, b) for a, b in pairs]), abs=1e-9)
    assert 0 <= found.min() <= found.max() <= 2


def test_equal_outputs_are_at_no_distance_and_opposite_ones_at_the_largest() -> None:
    full = outputs(0)
    opposite = Pair(-full.first, {"deep": [-full.second["deep"][0]]})
    assert relative_distance(full, full).tolist() == [0] * 5
    assert relative_distance(opposite, full).tolist() == pytest.approx([2] * 5)
    assert similarity(full, full).tolist() == pytest.approx([1] * 5)
    nothing = torch.zeros(2, 3)
    assert relative_distance(nothing, nothing).tolist() == [0, 0]
    assert similarity(nothing, nothing).tolist() == [1, 1]


def test_near_the_full_network_it_is_the_relative_error() -> None:
    full = torch.randn(4, 50, generator=torch.Generator().manual_seed(0)).double()
    mine = full + 1e-4 * torch.randn(4, 50, generator=torch.Generator().manual_seed(1)).double()
    expected = (mine - full).norm(dim=1) / full.norm(dim=1)
    torch.testing.assert_close(relative_distance(mine, full), expected, rtol=1e-3, atol=0)
    assert relative_error(mine, full).item() == pytest.approx(((mine - full).norm() / full.norm()).item())


def test_of_whole_numbers_the_share_that_differs_counts() -> None:
    mine, full = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]]), torch.tensor([[1, 2, 3, 0], [0, 0, 0, 0]])
    assert relative_distance(mine, full).tolist() == [0.25, 1.0]
    assert similarity(mine, full).tolist() == [0.75, 0.0]


@pytest.mark.parametrize(
    ("given_outputs", "said"),
    [
        ({"boxes": 3}, "a dict without tensors"),
        (
            {"scores": torch.zeros(4, 2), "anchors": torch.zeros(9, 4)},
            r"output_scores is \(4, 2\), others begin with 9",
        ),
        ({"loss": torch.zeros(())}, r"output_loss is \(\)"),
        ([torch.zeros(4, 2), torch.full((4,), torch.nan)], "output_1 holds NaN"),
    ],
)
def test_outputs_that_say_nothing_about_each_image_are_refused_by_name(given_outputs: object, said: str) -> None:
    with pytest.raises(EvaluationError, match=said):
        Fidelity().check(given_outputs, torch.zeros(4))


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return trained(Heads)


def test_any_network_is_compressed_without_a_label_and_fine_tuned_by_itself(model: nn.Module, tmp_path: Path) -> None:
    images = scenes().images
    settings = {"macs": 0.5, "task": "fidelity", "candidates": 8, "tolerance": 0.02, "progress": False}
    alone = eagleeye.compress(model, images, **settings)
    tuned = eagleeye.compress(model, images, epochs=3, **settings)
    assert (alone.scored_by, set(alone.scores)) == ("distance", {"distance", "similarity"})
    assert list(tuned.history.columns[3:5]) == ["validation_distance", "validation_similarity"]
    assert tuned.score == pytest.approx(tuned.history["validation_distance"].min())
    assert tuned.score < 0.8 * alone.score
    assert "relative distance" not in str(alone)
    assert "distance" in str(alone)
    alone.save(tmp_path / "pruned.safetensors")
    alone.report(tmp_path / "report.html")
    assert "relative distance" in (tmp_path / "report.html").read_text()
    loaded = eagleeye.load(tmp_path / "pruned.safetensors")
    with torch.no_grad():
        ours, theirs = loaded(images[:50]), alone.model(images[:50])
        full = model(images[:50])
    torch.testing.assert_close(ours["heads"][1], theirs["heads"][1])
    assert relative_distance(ours, full).mean().item() == pytest.approx(alone.score, rel=0.3)


def test_a_search_that_was_killed_goes_on(model: nn.Module, tmp_path: Path) -> None:
    settings = {"macs": 0.5, "task": "fidelity", "candidates": 6, "tolerance": 0.02, "progress": False}
    told: list[str] = []

    def kill(candidate: eagleeye.Candidate) -> None:
        told.append(candidate.id)
        if len(told) == 4:
            raise KeyboardInterrupt

    record = tmp_path / "search.sqlite"
    with pytest.raises(KeyboardInterrupt):
        eagleeye.compress(model, scenes().images, on_candidate=kill, resume=record, **settings)
    found = eagleeye.compress(model, scenes().images, resume=record, **settings)
    whole = eagleeye.compress(model, scenes().images, **settings)
    assert found.ranking.equals(whole.ranking)


def test_labels_are_not_looked_at_and_a_loss_has_none_to_use(model: nn.Module) -> None:
    found = scenes()
    settings = {"macs": 0.5, "task": "fidelity", "candidates": 4, "tolerance": 0.02, "progress": False}
    paired = torch.utils.data.TensorDataset(found.images, found.masks)
    assert (
        eagleeye.compress(model, paired, **settings).scores == eagleeye.compress(model, found.images, **settings).scores
    )
    with pytest.raises(ConfigError, match="loss: it needs labels"):
        eagleeye.compress(model, found.images, epochs=1, loss=nn.MSELoss(), **settings)
    with pytest.raises(ConfigError, match="task 'depth' is none of classification, detection, fidelity"):
        eagleeye.compress(model, found.images, macs=0.5, task="depth")


def test_outputs_that_never_change_are_refused_before_the_search() -> None:
    class Constant(Heads):
        def forward(self, x: Tensor) -> Tensor:
            return self.count(self.body(x).amax((2, 3))) * 0 + 1

    with pytest.raises(EvaluationError, match="outputs are the same for all of"):
        eagleeye.compress(Constant().eval(), scenes().images, macs=0.5, task="fidelity", progress=False)


class Signal(nn.Module):
    """A network for signals, (n, 2, time)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv1d(2, 16, 5, padding=2, bias=False), nn.BatchNorm1d(16), nn.ReLU()),
            *(nn.Conv1d(16, 24, 5, stride=2, padding=2, bias=False), nn.BatchNorm1d(24), nn.ReLU()),
        )
        self.head = nn.Conv1d(24, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


class Restore(nn.Module):
    """A network without batch normalisation, which adds what is missing to its input."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()),
            nn.Conv2d(16, 1, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


@pytest.mark.parametrize(("kind", "shape"), [(Signal, (2, 40)), (Restore, (1, 16, 16))])
def test_signals_and_networks_without_batch_norm(kind: type[nn.Module], shape: tuple[int, ...], tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = kind().train()
    inputs = torch.randn(96, *shape)
    with torch.no_grad():
        model(inputs)
    found = eagleeye.compress(
        model.eval(), inputs, macs=0.5, task="fidelity", candidates=4, tolerance=0.03, epochs=1, progress=False
    )
    assert abs(found.cost.macs / found.full_cost.macs - 0.5) <= 0.03
    found.save(tmp_path / "pruned.safetensors")
    with torch.no_grad():
        torch.testing.assert_close(eagleeye.load(tmp_path / "pruned.safetensors")(inputs), found.model(inputs))
