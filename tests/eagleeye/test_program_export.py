"""torch.export files against the networks they were made of."""

import copy
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

import eagleeye
from eagleeye import program_export
from eagleeye.errors import ArtifactError
from eagleeye.models import build
from eagleeye.program_export import export_program
from tests.eagleeye import networks

EXAMPLE = torch.randn(1, 3, 12, 12, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def thin() -> nn.Module:
    torch.manual_seed(0)
    network = networks.lively(networks.Concatenation()).eval()
    space = eagleeye.trace(network, EXAMPLE)
    return eagleeye.prune(network, space, [0.4] * len(space.groups)).train()


def test_the_file_gives_the_networks_outputs_for_any_number_of_images(thin, tmp_path):
    before = copy.deepcopy(thin.state_dict())
    path = tmp_path / "net.pt2"
    difference = export_program(thin, EXAMPLE, path)
    program, twin = torch.export.load(path).module(), copy.deepcopy(thin).eval()
    for count in (1, 2, 9):
        batch = torch.randn(count, 3, 12, 12)
        torch.testing.assert_close(program(batch), twin(batch))
    assert 0 <= difference < 1e-5
    assert thin.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in thin.state_dict().items())
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.pt2"]
    # Nor does it tell where it was made: the project's folder, and that of the packages.
    places = [str(Path(folder).parents[1]).encode() for folder in (program_export.__file__, torch.__file__)]
    with zipfile.ZipFile(path) as archive:
        texts = [archive.read(name) for name in archive.namelist()]
    assert not any(place in text for place in places for text in texts)


def test_the_name_of_the_unfinished_file_is_not_in_the_finished_one(thin, tmp_path):
    export_program(thin, EXAMPLE, tmp_path / "net.pt2")
    with zipfile.ZipFile(tmp_path / "net.pt2") as file:
        assert {name.partition("/")[0] for name in file.namelist()} == {"archive"}


def test_the_file_shrinks_as_the_parameters_do(tmp_path):
    network = build("cifar_resnet20", num_classes=10)
    space = eagleeye.trace(network, torch.zeros(1, 3, 32, 32))
    thin = eagleeye.prune(network, space, [0.5] * len(space.groups))
    sizes, params = [], []
    for name, net in (("full", network), ("thin", thin)):
        export_program(net, torch.zeros(1, 3, 32, 32), tmp_path / name)
        sizes.append((tmp_path / name).stat().st_size)
        params.append(sum(tensor.numel() for tensor in net.parameters()))
    # Beside the weights the file holds the graph, the same in both.
    assert sizes[0] - sizes[1] == pytest.approx(4 * (params[0] - params[1]), rel=0.05)


def test_a_file_that_computes_something_else_does_not_get_its_name(thin, tmp_path, monkeypatch):
    export = program_export._export

    def wrong(model, example, unfinished):
        other = copy.deepcopy(model)
        other.get_submodule("head.linear").bias.data += 0.1
        export(other, example, unfinished)

    monkeypatch.setattr(program_export, "_export", wrong)
    with pytest.raises(ArtifactError, match="outputs differ"):
        export_program(thin, EXAMPLE, tmp_path / "net.pt2")
    assert not list(tmp_path.iterdir())


def test_a_network_that_cannot_be_exported_is_named_in_one_line(tmp_path):
    class Fickle(nn.Module):
        def forward(self, x):
            return x.flatten(1) if float(x.sum()) > 0 else -x.flatten(1)

    with pytest.raises(ArtifactError, match=r"net\.pt2: the network cannot be exported by torch\.export"):
        export_program(Fickle(), EXAMPLE, tmp_path / "net.pt2")
    assert not list(tmp_path.iterdir())
