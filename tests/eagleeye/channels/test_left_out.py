"""Every convolution is in a group or said to be left out: what is called is heard from torch itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import eagleeye
from tests.eagleeye.network_parts import Head, conv_bn
from tests.eagleeye.networks import CONSTRUCTS, OTHER_INPUTS, inputs_of

CONVOLUTIONS = (
    F.conv1d, F.conv2d, F.conv3d, F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d,
)  # fmt: skip


class Heard(TorchFunctionMode):
    """Notes the weights of all convolutions and of linear layers on maps, and the module that each was called in."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.names = {id(t): name for name, t in [*network.named_parameters(), *network.named_buffers()]}
        self.modules = {module: name for name, module in network.named_modules()}
        self.within: list[nn.Module] = []
        self.called: set[str] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in CONVOLUTIONS or (func is F.linear and result.dim() >= 4):
            weight = (kwargs or {}).get("weight", args[1] if len(args) > 1 else None)
            inside = self.modules[self.within[-1]] or func.__name__
            self.called.add(self.names.get(id(weight), inside).removesuffix(".weight"))
        return result

    def leave(self, *_: object) -> None:
        self.within.pop()


def convolutions_called(network: nn.Module, inputs: tuple[Tensor, ...]) -> set[str]:
    heard = Heard(network)
    handles = []
    for module in network.modules():
        handles.append(module.register_forward_pre_hook(lambda module, _: heard.within.append(module)))
        handles.append(module.register_forward_hook(heard.leave))
    with heard, torch.no_grad():
        network(*inputs)
    for handle in handles:
        handle.remove()
    return heard.called


def assert_accounted(network: nn.Module, space: eagleeye.Space, inputs: tuple[Tensor, ...]) -> None:
    called = convolutions_called(network, inputs)
    uncalled = {line.split(":")[0] for line in space.left_out if "never called" in line}
    named = {line.split(":")[0] for line in space.left_out} - uncalled
    members = {member for group in space.groups for member in group.members}
    assert called
    assert members | named == called
    convolutions = {n for n, m in network.named_modules() if isinstance(m, nn.modules.conv._ConvNd)}
    assert uncalled == convolutions - called


class Unfollowed(nn.Module):
    """Convolutions behind what cannot be followed, with weights that the input decides, and one that is not used."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.units, self.behind = conv_bn(3, 6), nn.Linear(6, 4 * 9), nn.Conv2d(4, 8, 3, padding=1)
        self.depth, self.last = nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.Conv2d(12, 7, 1)
        self.up, self.head, self.spare = nn.ConvTranspose2d(4, 5, 2), Head(7), nn.Conv2d(7, 7, 1)
        self.experts, self.route = nn.Parameter(torch.randn(2, 7, 7, 3, 3)), nn.Linear(7, 2)
        self.hidden, self.rows = nn.Linear(3, 6), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.units(self.stem(x).mean((2, 3))).view(-1, 4, 3, 3)
        y = self.last(torch.cat([self.behind(maps), self.depth(maps)], 1))
        weight = torch.einsum("ne,eoikl->noikl", self.route(y.mean((2, 3))).softmax(1), self.experts)
        n, c, h, w = y.shape
        y = F.conv2d(y.reshape(1, n * c, h, w), weight.flatten(0, 1), padding=1, groups=n).view(n, c, h, w)
        z = self.rows(self.hidden(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)).mean((1, 2, 3))
        return self.head(y) + self.up(maps).mean((2, 3)) + z[:, None]


@pytest.mark.parametrize("construct", [*CONSTRUCTS, *OTHER_INPUTS, Unfollowed])
def test_every_convolution_is_in_a_group_or_left_out(construct: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    network = construct().eval()
    inputs = inputs_of(network, 2)
    assert_accounted(network, eagleeye.trace(network, inputs), inputs)


QUICK = ["resnet18", "mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2_x0_5"]
MORE = [
    "resnet50", "resnext50_32x4d", "wide_resnet50_2", "vgg11", "vgg11_bn", "alexnet", "densenet121", "mobilenet_v2",
    "mobilenet_v3_large", "shufflenet_v2_x1_0", "squeezenet1_0", "mnasnet0_5", "efficientnet_b0", "efficientnet_v2_s",
    "regnet_x_400mf", "regnet_y_400mf", "convnext_tiny", "googlenet", "inception_v3",
]  # fmt: skip


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE)])
def test_every_convolution_of_a_network_of_torchvision_is_accounted_for(name: str) -> None:
    options = {"init_weights": False, "aux_logits": True} if name in ("googlenet", "inception_v3") else {}
    network, side = torchvision.models.get_model(name, weights=None, **options), 64 + 32 * (name == "inception_v3")
    x = torch.randn(1, 3, side, side)
    assert_accounted(network.eval(), eagleeye.trace(network, x), (x,))


def test_filters_behind_what_cannot_be_followed_are_groups_of_their_own() -> None:
    torch.manual_seed(0)
    network, x = Unfollowed().eval(), torch.randn(2, 3, 12, 12)
    space = eagleeye.trace(network, x)
    assert [group.name for group in space.groups] == ["stem.0", "behind"]
    said = "\n".join(space.left_out)
    assert "depth: 4 filters stay: layer 'depth' has inputs that stay" in said
    assert "hidden: 6 filters stay: layer 'rows' takes several of them as one" in said
    assert "conv2d: its filters stay: operation 'conv2d' in the network's forward() computes its weight" in said
    assert "last: 7 filters stay" in said
    assert "spare: it is never called in evaluation mode" in said
    assert eagleeye.check(network, space, [0.5] * len(space.groups), x) < 1e-12


def test_a_fixed_filter_goes_with_its_channels_and_is_said_to() -> None:
    network = CONSTRUCTS[[kind.__name__ for kind in CONSTRUCTS].index("Blur")]()
    space = eagleeye.trace(network.eval(), torch.randn(1, 3, 12, 12))
    assert space.left_out == ("taps: its filters go with the channels they are applied to: the weight is no parameter",)
