"""Forms of images where batches are wanted: against batches and loops of one's own."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import eagleeye
from eagleeye.data import Batches, Images
from eagleeye.errors import ConfigError
from eagleeye.given import batches_of

X = torch.randn(40, 3, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.randint(0, 4, (40,), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8)]
    return nn.Sequential(*layers, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)).eval()


def statistics(model: nn.Module) -> torch.Tensor:
    return torch.cat([buffer.flatten().float() for buffer in model.buffers()])


@pytest.mark.parametrize("form", [TensorDataset(X, Y), X, (X, Y), DataLoader(TensorDataset(X, Y), batch_size=128)])
def test_recalibration_takes_images_in_every_form(model: nn.Module, form: Any) -> None:
    eagleeye.adapt_batch_norm(model, [X])
    wanted = statistics(model).clone()
    eagleeye.adapt_batch_norm(model, [X[:4]])
    eagleeye.adapt_batch_norm(model, form)
    assert torch.equal(statistics(model), wanted)


@pytest.mark.parametrize("form", [TensorDataset(X, Y), (X, Y), DataLoader(TensorDataset(X, Y), batch_size=7)])
def test_scores_of_images_in_every_form(model: nn.Module, form: Any) -> None:
    with torch.no_grad():
        wanted = (model(X).argmax(1) == Y).double().mean().item()
    assert eagleeye.evaluate(model, form).accuracy == wanted


def test_a_network_that_takes_a_structure_gets_it_from_its_loader() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(3)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.norm(image)

    network = Named().eval()
    eagleeye.adapt_batch_norm(network, DataLoader([{"image": image} for image in X], batch_size=40))
    assert torch.allclose(network.norm.running_mean, X.mean((0, 2, 3)), atol=1e-6)


@pytest.mark.parametrize("form", [TensorDataset(X, Y), X, (X, Y)])
def test_batches_that_were_made_are_those_of_the_images(model: nn.Module, form: Any) -> None:
    made = batches_of(form, model, labelled=False)
    assert torch.equal(torch.cat(list(made)), X)
    next(iter(made)).zero_()
    assert torch.equal(torch.cat(list(made)), X)
    assert batches_of(made, model, labelled=False) is made
    assert batches_of(DataLoader(TensorDataset(X, Y), batch_size=16), model, labelled=False).batch_size == 16
    with pytest.raises(ConfigError, match="the batches have labelled=False; needed is labelled=True"):
        batches_of(made, model, labelled=True)


def test_where_there_are_no_labels_the_networks_answers_stand_for_them(model: nn.Module) -> None:
    made = batches_of(X, model, labelled=True)
    with torch.no_grad():
        assert torch.equal(made.labels, model(X).argmax(1))
    assert not made.labels_known
    assert made.first(3).labels_known is made.in_precision(torch.float64).labels_known is False
    assert batches_of((X, Y), model, labelled=True).labels_known


def test_a_search_takes_what_people_have_and_ranks_as_with_batches(model: nn.Module) -> None:
    space = eagleeye.trace(model, X[:1])
    shell = eagleeye.Shell(space, eagleeye.Budget(macs=0.6, tolerance=0.1), max_rate=0.7)
    strategies = eagleeye.sampler("uniform")(shell, count=6, seed=0)
    tables = []
    for images in ((X, (X, Y)), (TensorDataset(X, Y), TensorDataset(X, Y)), _batches()):
        engine = eagleeye.Engine(model, space, *images, method=eagleeye.Method(precision="float32"), lanes=1)
        tables.append(eagleeye.search(engine, strategies))
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])


def test_without_labels_a_search_ranks_by_agreement_and_has_no_accuracy(model: nn.Module) -> None:
    space = eagleeye.trace(model, X[:1])
    engine = eagleeye.Engine(model, space, X, X, method=eagleeye.Method(precision="float32"), lanes=1)
    shell = eagleeye.Shell(space, eagleeye.Budget(macs=0.6, tolerance=0.1), max_rate=0.7)
    strategies = eagleeye.sampler("uniform")(shell, count=4, seed=0)
    with pytest.raises(ConfigError, match="score accuracy: it needs labels, and sub_validation has none; choose agree"):
        eagleeye.search(engine, strategies, score="accuracy")
    ranking = eagleeye.search(engine, strategies)
    assert (ranking["ranked_by"] == "agreement").all()
    assert not {"accuracy", "loss"} & set(ranking)
    winner = engine.network(ranking["widths"][0])
    with torch.no_grad():
        same = (winner(X).argmax(1) == model(X).argmax(1)).double().mean().item()
    assert ranking["agreement"][0] == pytest.approx(same, abs=1 / 40)


def _batches() -> tuple[Any, Any]:
    images = Images(X, Y)
    return (
        Batches(images, None, batch_size=128, device="cpu", labelled=False),
        Batches(images, None, batch_size=128, device="cpu", labelled=True),
    )
