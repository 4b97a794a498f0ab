import pytest
import torch
from torch import fx

import eagleeye
from eagleeye.errors import ArtifactError, ModelError
from tests.eagleeye.detectors import detector, pictures


@pytest.fixture
def pruned():
    model = detector()
    return eagleeye.prune(model, eagleeye.trace(model, pictures(2), core="backbone"), [0.5, 0.25])


def found_by(model):
    with torch.no_grad():
        return [tensor for each in model.eval()(pictures(3)) for tensor in each.values()]


def test_a_pruned_core_comes_back_into_a_network_built_anew(pruned, tmp_path):
    file = tmp_path / "pruned.safetensors"
    torch.nn.init.normal_(pruned.head.weight)  # fine-tuned: the rest is in the file, too
    eagleeye.save(pruned, file, {"id": "s0007"}, core="backbone")
    other = detector(seed=5)
    before = [tensor.clone() for tensor in other.state_dict().values()]
    whole = eagleeye.load(file, into=other)
    assert type(whole) is type(other) and not whole.training
    assert whole.state_dict().keys() == pruned.state_dict().keys()
    assert all(torch.equal(a, b) for a, b in zip(found_by(whole), found_by(pruned), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(before, other.state_dict().values(), strict=True))
    again = eagleeye.load(file, into=whole)
    assert all(torch.equal(a, b) for a, b in zip(found_by(again), found_by(pruned), strict=True))
    core = eagleeye.load(file)
    inputs = pictures(3) * 2 - 1
    assert isinstance(core, fx.GraphModule)
    assert torch.equal(core(inputs)["map"], pruned.backbone(inputs)["map"])
    assert eagleeye.read_metadata(file) == {"id": "s0007"}


def test_what_does_not_fit_is_told_in_a_line(pruned, tmp_path):
    file = tmp_path / "pruned.safetensors"
    eagleeye.save(pruned, file, core="backbone")
    other = detector()
    other.head = torch.nn.Conv2d(6, 5, 1)
    with pytest.raises(ArtifactError, match=r"'head.bias': network Detector has \(5,\), the file has \(3,\); build it"):
        eagleeye.load(file, into=other)
    del other.backbone
    with pytest.raises(ModelError, match="core 'backbone': network Detector has no such module"):
        eagleeye.load(file, into=other)
    eagleeye.save(pruned.backbone, file)
    with pytest.raises(ArtifactError, match="it holds a whole network; load it without into"):
        eagleeye.load(file, into=detector())


def test_what_prune_did_not_make_is_not_saved(pruned, tmp_path):
    with pytest.raises(ArtifactError, match=r"only networks that prune.. made can be saved; .* name the core"):
        eagleeye.save(pruned, tmp_path / "x")
    with pytest.raises(ArtifactError, match=r"core 'head' is a Conv2d; only what prune.. put there can be saved"):
        eagleeye.save(pruned, tmp_path / "x", core="head")
    assert not list(tmp_path.iterdir())
