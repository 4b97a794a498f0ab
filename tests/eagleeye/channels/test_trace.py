"""Groups, ties and what is left out, against what a person reads off each small network."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import eagleeye
from eagleeye.channels import Space
from eagleeye.errors import ConfigError, TraceError
from tests.eagleeye import networks
from tests.eagleeye.networks import Head, conv_bn


def traced(network: nn.Module, **options: object) -> Space:
    return eagleeye.trace(network, torch.randn(1, 3, 12, 12), **options)


def members(space: Space) -> list[tuple[int, tuple[str, ...]]]:
    return [(group.channels, group.members) for group in space.groups]


def test_untied_layers_are_groups_of_their_own_in_order_of_execution() -> None:
    assert members(traced(networks.Plain())) == [(8, ("a.0",)), (12, ("b.0",))]


def test_a_residual_sum_ties_its_operands() -> None:
    assert members(traced(networks.Residual())) == [
        (8, ("stem.0", "outer.0")),
        (6, ("inner.0",)),
        (10, ("skip.0", "down.0")),
    ]


def test_concatenation_keeps_its_parts_apart() -> None:
    assert members(traced(networks.Concatenation())) == [(6, ("a.0",)), (4, ("b.0",)), (7, ("c.0",))]


def test_zero_padded_channels_belong_to_the_layer_they_are_added_to() -> None:
    space = traced(networks.PaddedShortcut())
    assert members(space) == [
        (6, ("stem.0", "conv2.0", "last.0")),
        (12, ("conv1.0",)),
        (6, ("conv2.0", "last.0")),
    ]


def test_a_channel_shuffle_is_followed() -> None:
    space = traced(networks.Shuffle())
    assert space.left_out == ()
    assert (8, ("branch.0.0", "branch.1.0")) in members(space)
    assert sum(group.channels for group in space.groups if group.members[0] == "stem.0") == 12


def test_slices_split_a_layer_by_consumer_and_a_mean_over_channels_fixes_its_part() -> None:
    space = traced(networks.Slices())
    assert members(space) == [(4, ("stem.0",)), (3, ("stem.0",)), (4, ("a.0", "b.0", "c.0"))]
    assert [group.name for group in space.groups] == ["stem.0", "stem.0#2", "a.0"]
    assert space.left_out == ("stem.0: 5 filters stay: operation 'mean' in the network's forward() cannot be followed",)


def test_depthwise_filters_go_with_their_inputs_and_a_multiplier_with_each() -> None:
    assert members(traced(networks.Depthwise())) == [(8, ("stem.0", "depth.0")), (10, ("point.0",))]


def test_whole_groups_of_a_grouped_convolution_go() -> None:
    assert members(traced(networks.Grouped())) == [(4, ("stem.0", "grouped.0")), (10, ("point.0",))]


def test_gates_are_tied_to_what_they_scale_but_an_attention_map_is_not() -> None:
    space = traced(networks.Gate())
    assert members(space) == [(8, ("stem.0", "up")), (3, ("down",)), (6, ("after.0",))]
    assert space.left_out[0].startswith("attention: 1 filters stay: operation 'mul'")


@pytest.mark.parametrize(
    ("construct", "expected"),
    [
        (networks.ChannelsLast, [(8, ("stem", "depth", "down")), (12, ("up",))]),
        (networks.GroupNorms, [(4, ("a",)), (9, ("b",)), (6, ("c",))]),
        (networks.Functional, [(8, ("kernel",)), (6, ("b.0",))]),
        (networks.Standardised, [(8, ("a",)), (4, ("b",)), (6, ("c",))]),
        (networks.SplitAttention, [(6, ("stem.0",)), (8, ("a.0", "b.0", "select")), (4, ("squeeze.0",))]),
        (networks.Expanded, [(8, ("stem.0", "gate")), (6, ("a.0", "b.0"))]),
        (networks.EvenGroups, [(6, ("stem.0",)), (8, ("grouped.0",)), (10, ("point.0",))]),
        (networks.GroupedTransposed, [(3, ("stem.0", "up", "twice")), (5, ("after.0",))]),
        (networks.Blur, [(8, ("stem.0",)), (6, ("after.0",))]),
        (networks.PaddedWhole, [(6, ("conv.0",))]),
        (networks.Sequence, [(4, ("a",)), (3, ("b",))]),
        (networks.Volume, [(8, ("a", "b")), (6, ("c",))]),
        (networks.TwoInputs, [(8, ("fine.0", "coarse.0")), (6, ("joint.0",))]),
    ],
)
def test_groups_of_further_constructs(construct: type[nn.Module], expected: list[tuple[int, tuple[str, ...]]]) -> None:
    assert members(eagleeye.trace(construct(), networks.inputs_of(construct, 1))) == expected


def test_a_convolution_with_one_input_channel_is_not_depthwise() -> None:
    assert members(traced(networks.OneChannel())) == [(8, ("expand.0",))]


def test_the_classes_of_a_convolution_head_stay() -> None:
    assert members(traced(networks.ConvolutionHead())) == [(8, ("stem.0",))]


def test_a_layer_called_twice_is_tied_to_itself() -> None:
    assert members(traced(networks.Twice())) == [(8, ("stem.0", "same.0"))]


def test_channels_of_an_unknown_operation_stay_and_the_reason_names_it() -> None:
    space = traced(networks.Sizes())
    assert members(space) == [(6, ("a.0",)), (8, ("b.0",))]
    assert "softmax" in space.left_out[0]


def test_excluded_layers_keep_their_filters_and_whatever_is_tied_to_them() -> None:
    space = traced(networks.Residual(), exclude=["outer.*"])
    assert members(space) == [(6, ("inner.0",)), (10, ("skip.0", "down.0"))]
    assert "stem.0: 8 filters stay: layer 'outer.0' is excluded" in space.left_out


def test_a_pattern_that_matches_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'layer9\.\*' matches no convolution.*stem\.0"):
        traced(networks.Residual(), exclude=["layer9.*"])


def test_one_parameter_in_two_layers_is_cut_once() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.a, self.b, self.head = conv_bn(3, 8), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3), Head(8)
            self.b.weight = self.a.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.b(F.relu(self.a(self.stem(x)))))

    network, x = Shared(), torch.randn(2, 3, 12, 12)
    space = eagleeye.trace(network, x)
    thin = eagleeye.prune(network, space, [0.5])
    assert members(space) == [(8, ("stem.0", "a", "b"))]
    assert thin.a.weight is thin.b.weight
    assert eagleeye.check(network, space, [0.5], x) < 1e-9


def test_a_weight_that_is_also_used_directly_stays_whole_unless_its_use_can_be_followed() -> None:
    class Again(nn.Module):
        def __init__(self, directly: bool) -> None:
            super().__init__()
            self.stem, self.a, self.head, self.directly = conv_bn(3, 8), nn.Conv2d(8, 8, 3), Head(8), directly

        def forward(self, x: Tensor) -> Tensor:
            x = F.relu(self.a(self.stem(x)))
            return self.head(x * self.a.weight.abs().mean() if self.directly else F.conv2d(x, self.a.weight))

    network, x = Again(directly=False), torch.randn(2, 3, 12, 12)
    space = eagleeye.trace(network, x)
    assert members(space) == [(8, ("stem.0", "a"))]
    assert eagleeye.check(network, space, [0.5], x) < 1e-9
    with pytest.raises(TraceError, match=r"stem\.0: 8 filters stay: 'a\.weight' is also used as it is"):
        traced(Again(directly=True))


def test_expanding_to_the_size_of_another_tensor_keeps_its_channels() -> None:
    class ToSize(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.head = conv_bn(3, 8), conv_bn(8, 6), Head(6)

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x)
            return self.head(self.b(x + x.mean((2, 3), keepdim=True).expand(x.shape)))

    space = traced(ToSize())
    assert members(space)[-1] == (6, ("b.0",))
    assert eagleeye.check(ToSize(), space, [0.5] * len(space.groups), torch.randn(2, 3, 12, 12)) < 1e-9


def test_reading_the_number_of_channels_for_arithmetic_fixes_them() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.head = conv_bn(3, 8), conv_bn(8, 6), Head(6)

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x)
            return self.head(self.b(x / x.shape[1]))

    assert members(traced(Scaled())) == [(6, ("b.0",))]


def test_control_flow_on_data_is_refused_with_the_operation_named() -> None:
    class Branch(networks.Plain):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x if x.sum() > 0 else -x)

    with pytest.raises(
        TraceError, match=r"operation 'gt'.* at .*test_trace\.py:\d+: .*control flow.*depends on the data"
    ):
        traced(Branch())


def test_a_failing_forward_pass_is_refused_with_its_layer_named() -> None:
    network = nn.Sequential(conv_bn(3, 8), conv_bn(9, 8))
    with pytest.raises(TraceError, match=r"layer '1(\.0)?'.*channels"):
        traced(network)


def test_a_network_without_removable_filters_is_refused() -> None:
    with pytest.raises(TraceError, match="no convolution's filters can be removed"):
        traced(nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()))


def test_tracing_leaves_the_network_as_it_was() -> None:
    network = networks.lively(networks.Residual()).train()
    network.stem.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    traced(network)
    assert network.training
    assert not network.stem.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_convolutions_without_a_module_and_linear_layers_on_maps_can_be_excluded() -> None:
    assert members(traced(networks.Functional(), exclude=["ker*"])) == [(6, ("b.0",))]
    assert members(traced(networks.ChannelsLast(), exclude=["up"])) == [(8, ("stem", "depth", "down"))]


def test_the_reason_why_a_layer_stays_names_the_operation_that_joins_it_to_the_rest() -> None:
    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.head = conv_bn(3, 8), conv_bn(8, 6), Head(6)
            self.positions = nn.Parameter(torch.randn(1, 8, 12, 12))

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.b(self.a(x) + self.positions))

    space = traced(Positions())
    assert members(space) == [(6, ("b.0",))]
    assert space.left_out[0].startswith("a.0: 8 filters stay: operation 'add' in the network's forward() joins them")


def test_tensors_made_in_the_forward_pass_are_no_attributes_of_the_network_afterwards() -> None:
    network = networks.Blur()
    before = set(vars(network))
    space = traced(network)
    assert set(vars(network)) == before
    assert [float(value) for value in space.constants.values()] == [0.5]
