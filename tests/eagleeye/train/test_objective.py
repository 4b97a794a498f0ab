import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from eagleeye.errors import ConfigError, ModelError
from eagleeye.train.objective import Objective
from eagleeye.train.recipe import Recipe

CPU = torch.device("cpu")
X = torch.zeros(6, 3, 4, 4)
Y = torch.tensor([0, 1, 2, 2, 1, 0])


class Fixed(nn.Module):
    """A teacher that says what it was told."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, x):
        return self.logits


def draw(seed):
    source = torch.Generator().manual_seed(seed)
    mine, wanted = (3 * torch.randn(6, 3, generator=source, dtype=torch.float64) for _ in range(2))
    return mine, wanted


def loss_and_slope(recipe, mine, wanted):
    logits = mine.float().requires_grad_()
    loss = Objective(recipe, Fixed(wanted.float()), CPU)(X, logits, Y)
    loss.backward()
    return float(loss.detach()), logits.grad.double()


@given(
    share=st.floats(0.01, 1), temperature=st.floats(0.5, 20), smoothing=st.floats(0, 0.5), seed=st.integers(0, 10_000)
)
def test_the_loss_is_that_of_the_formula(share, temperature, smoothing, seed):
    recipe = Recipe(1, distillation=share, temperature=temperature, label_smoothing=smoothing)
    mine, wanted = draw(seed)
    found, _ = loss_and_slope(recipe, mine, wanted)
    target = nn.functional.one_hot(Y, 3) * (1 - smoothing) + smoothing / 3
    hard = -(target * mine.softmax(1).log()).sum() / 6
    p, q = (wanted / temperature).softmax(1), (mine / temperature).softmax(1)
    soft = temperature**2 * (p * (p / q).log()).sum() / 6
    assert found == pytest.approx(float((1 - share) * hard + share * soft), rel=1e-4, abs=1e-5)


def test_the_slope_keeps_its_size_at_every_temperature():
    # Hinton et al., equations 2 and 4: T · (q - p), for a large T the difference of the centred logits per class.
    mine, wanted = draw(0)
    for temperature in (1.0, 4.0):
        _, slope = loss_and_slope(Recipe(1, distillation=1.0, temperature=temperature), mine, wanted)
        expected = temperature * ((mine / temperature).softmax(1) - (wanted / temperature).softmax(1)) / 6
        torch.testing.assert_close(slope, expected, rtol=1e-4, atol=1e-6)
    _, slope = loss_and_slope(Recipe(1, distillation=1.0, temperature=1000.0), mine, wanted)
    centred = [each - each.mean(1, keepdim=True) for each in (mine, wanted)]
    torch.testing.assert_close(slope, (centred[0] - centred[1]) / 3 / 6, rtol=0.02, atol=1e-3)


def test_without_a_teacher_it_is_cross_entropy():
    mine, _ = draw(1)
    found = Objective(Recipe(1, label_smoothing=0.1), None, CPU)(X, mine.float(), Y)
    assert torch.equal(found, nn.functional.cross_entropy(mine.float(), Y, label_smoothing=0.1))


def test_the_teacher_judges_in_evaluation_mode_and_stays_as_it_was(net):
    net.train()
    net.bn1.eval()  # a mode of its own
    before, twin = copy.deepcopy(net.state_dict()), copy.deepcopy(net).eval()
    x, y = torch.rand(8, 3, 16, 16), torch.zeros(8, dtype=torch.int64)
    objective = Objective(Recipe(1, distillation=1.0, temperature=1.0), net, CPU)
    with torch.no_grad():
        wanted = twin(x)
    # Its own evaluation outputs are no distance away.
    assert float(objective(x, wanted, y)) == pytest.approx(0, abs=1e-6)
    assert (net.training, net.bn1.training, net.drop.training) == (True, False, True)
    objective(x, twin(x), y).backward()
    objective.leave()
    assert all(parameter.grad is None for parameter in net.parameters())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(value.is_contiguous() for value in net.state_dict().values())


@pytest.mark.parametrize(
    ("recipe", "teacher", "message"),
    [
        (
            Recipe(1, distillation=0.5),
            None,
            r"^distillation is 0\.5, but there is no teacher to learn from: give one, or",
        ),
        (Recipe(1), nn.Identity(), r"^there is a teacher, but distillation is 0: set it above 0, or give no teacher$"),
    ],
)
def test_a_teacher_and_distillation_come_together(recipe, teacher, message):
    with pytest.raises(ConfigError, match=message):
        Objective(recipe, teacher, CPU)


@pytest.mark.parametrize(
    ("teacher", "shape"), [(Fixed(torch.zeros(6, 4)), r"\(6, 4\)"), (nn.Identity(), r"\(6, 3, 4, 4\)")]
)
def test_a_teacher_of_other_classes_is_refused(teacher, shape):
    with pytest.raises(ModelError, match=rf"^the teacher returns {shape}, but the network \(6, 3\): both need"):
        Objective(Recipe(1, distillation=0.5), teacher, CPU)(X, torch.zeros(6, 3), Y)
