import copy

import pytest
import torch
from torch import fx, nn

import eagleeye
from eagleeye.channels.core import apart, core_inputs, core_of, with_core
from eagleeye.errors import EvaluationError, ModelError, TraceError
from eagleeye.forward.structures import tensors
from tests.eagleeye.detectors import Twice, detector, pictures

HALF = [0.5, 0.5]


def same(one, other):
    pairs = zip(tensors(one), tensors(other), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_a_network_that_cannot_be_followed_is_pruned_in_its_core():
    model, images = detector(), pictures(4)
    with pytest.raises(TraceError):
        eagleeye.trace(model, images)
    space = eagleeye.trace(model, images, core="backbone")
    assert space.core == "backbone"
    assert [group.name for group in space.groups] == ["first.0", "second.0"]  # the last one's filters stay
    assert space.full_cost == eagleeye.cost(model.backbone, images * 2 - 1)
    assert eagleeye.check(model, space, HALF, images) < 1e-12
    thin = eagleeye.prune(model, space, HALF)
    alone = eagleeye.trace(model.backbone, images * 2 - 1)
    by_hand = copy.deepcopy(model)
    by_hand.backbone = eagleeye.prune(model.backbone, alone, HALF)
    assert type(thin) is type(model) and isinstance(thin.backbone, fx.GraphModule)
    assert thin.backbone.get_submodule("second.0").weight.shape == (6, 4, 3, 3)
    assert same(thin(images), by_hand(images))
    assert type(model.backbone) is not type(thin.backbone) and not model.backbone._forward_pre_hooks


def test_refitted_it_is_as_if_the_core_were_alone():
    model, images = detector(), pictures(40)
    space = eagleeye.trace(model, images[:2], core="backbone")
    inputs = images * 2 - 1
    alone = eagleeye.trace(model.backbone, inputs[:2])
    found = eagleeye.reconstruct(model, space, [images])
    wanted = eagleeye.reconstruct(model.backbone, alone, [inputs])
    thin = eagleeye.prune(model, space, HALF, criterion=found.order, refit=found, in_turn=images)
    by_hand = eagleeye.prune(model.backbone, alone, HALF, criterion=wanted.order, refit=wanted, in_turn=inputs)
    state = by_hand.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in thin.backbone.state_dict().items())
    assert same(tuple(thin.head.parameters()), tuple(model.head.parameters()))


def test_the_inputs_that_reach_it_are_those_of_a_forward_pass():
    model, images = detector(), pictures(3)
    assert torch.equal(core_inputs(model, "backbone", images).args[0], images * 2 - 1)
    assert core_inputs(model, "", images) is images
    assert core_of(nn.DataParallel(model), "backbone") is model.backbone
    module, space = apart(model, eagleeye.trace(model, images, core="backbone"))
    assert module is model.backbone and space.core == ""


def test_wherever_it_is_used_another_takes_its_place():
    model = detector()
    model.same = [model.backbone]
    other = nn.Identity()
    whole = with_core(model, "backbone", other)
    assert whole.backbone is other and whole.same[0] is other and whole.head is not model.head
    assert with_core(model, "", other) is other


@pytest.mark.parametrize(
    ("model", "core", "said"),
    [
        (detector(), "backbne", r"core 'backbne': network Detector has no such module; close names: backbone"),
        (detector(), "unused", r"core 'unused': a forward pass in evaluation mode does not call it"),
        (
            Twice(),
            "parts.conv",
            r"calls it 2 times, with \(2, 1, 16, 16\); \(2, 1, 8, 8\); needed .* once, e.g. 'parts', which holds it",
        ),
    ],
)
def test_what_is_no_core_is_told_in_a_line(model, core, said):
    with pytest.raises(ModelError, match=said) as caught:
        eagleeye.trace(model, pictures(2), core=core)
    assert "\n" not in str(caught.value)


def test_inputs_that_the_network_does_not_take_are_told_in_a_line():
    with pytest.raises(EvaluationError, match="network Detector: it cannot run on a batch of"):
        eagleeye.trace(detector(), torch.rand(2, 3, 16, 16), core="backbone")


def test_a_core_is_cut_in_place():
    model, images = detector(), pictures(4)
    space = eagleeye.trace(model, images, core="backbone")
    wanted = eagleeye.prune(model, space, HALF)
    core = model.backbone
    assert eagleeye.prune(model, space, HALF, inplace=True) is model
    assert model.backbone is core and core.second[0].weight.shape == (6, 4, 3, 3)
    assert same(model(images), wanted(images))
