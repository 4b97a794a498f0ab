import pytest
import torch
from torch import nn

from eagleeye.errors import ConfigError, DataError, ModelError
from eagleeye.task import CLASSIFICATION
from eagleeye.task.named import TASKS
from eagleeye.train.forward import Forward
from eagleeye.train.objective import Aim, Objective
from eagleeye.train.recipe import Recipe
from tests.eagleeye.detectors import detector, pictures, targets

TASK = TASKS["detection"]
CPU = torch.device("cpu")


def aim(core="backbone"):
    return Aim(TASK, TASK.order(), core=core)


def relative(found, wanted):
    return (found - wanted).norm() / wanted.norm()


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_the_loss_is_the_detectors_own_and_the_distance_of_its_core(share):
    teacher = detector(seed=1) if share else None
    model, twin = detector().train(), detector().train()
    x, y = pictures(8), targets(8)
    objective = Objective(Recipe(1, distillation=share), teacher, CPU, aim())
    forward = Forward(model, TASK, "backbone", teacher, alone=objective.loss is None)
    loss = objective(x, forward(x, y), y)
    expected = torch.zeros(())
    if share < 1:
        losses = twin(x, y)
        expected = (1 - share) * (losses["classes"] + losses["size"])
    if share:
        inputs = x * 2 - 1
        twin = detector().train()
        with torch.no_grad():
            wanted = teacher.backbone(inputs)["map"]
        expected = expected + share * relative(twin.backbone(inputs)["map"], wanted)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert model.backbone.first[0].weight.grad.abs().sum() > 0
    assert (model.head.weight.grad is None) == (share == 1)
    assert teacher is None or not any(module._forward_hooks for module in teacher.modules())
    assert not model.backbone._forward_hooks and not model.backbone._forward_pre_hooks


class Writing(nn.Module):
    def forward(self, x):
        return x.add_(0.5)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_core_that_writes_into_its_input_does_not_change_the_teachers(share):
    model, teacher = detector().train(), detector(seed=1)
    for each in (model, teacher):
        each.backbone.first.insert(0, Writing())
    x, y = pictures(8), targets(8)
    objective = Objective(Recipe(1, distillation=share), teacher, CPU, aim())
    made = Forward(model, TASK, "backbone", teacher, alone=share == 1)(x, y)
    with torch.no_grad():
        wanted = teacher.backbone(x * 2 - 1)["map"]
    own = made.losses["classes"] + made.losses["size"] if share < 1 else 0
    expected = (1 - share) * own + share * relative(made.core["map"], wanted)
    torch.testing.assert_close(objective(x, made, y), torch.as_tensor(expected))


def test_other_networks_are_called_with_images_alone():
    model = nn.Linear(3, 2)
    x = torch.rand(4, 3)
    assert torch.equal(Forward(model, CLASSIFICATION, "", None, alone=False)(x, None), model(x))


def test_boxes_that_do_not_fit_are_told_in_a_line():
    y = targets(4)
    y[2]["boxes"] = y[2]["boxes"] + 100
    with pytest.raises(DataError, match=r"targets: image 2: box .* lies outside of 16x16"):
        Forward(detector().train(), TASK, "", None, alone=False)(pictures(4), y)


def test_what_cannot_be_learnt_is_refused():
    with pytest.raises(ConfigError, match="has no gradient to learn by; name its core"):
        Objective(Recipe(1, distillation=0.5), detector(), CPU, aim(core=""))
    with pytest.raises(ModelError, match="the network returns a list in training, but must return a dict of losses"):
        TASK.check_training([torch.zeros(3)], [])
