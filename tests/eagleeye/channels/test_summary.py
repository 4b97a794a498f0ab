"""A space as people see it."""

import torch
from hypothesis import given
from hypothesis import strategies as st

import eagleeye
from eagleeye.channels.groups import Group
from eagleeye.channels.summary import ROWS, WIDTH, table
from eagleeye.models import build

names = st.text("abcdefgh.0123", min_size=1, max_size=40)
groups = st.lists(
    st.builds(lambda names, n: Group(names[0], n, tuple(names)), st.lists(names, min_size=1), st.integers(1, 10**6))
)


def test_a_line_for_every_group() -> None:
    space = eagleeye.trace(build("cifar_resnet20", num_classes=10), torch.zeros(1, 3, 32, 32))
    head, columns, *rows = str(space).splitlines()
    assert head == "12 groups, 400 filters, 40,551,040 MACs, 269,722 parameters"
    assert columns.split() == ["group", "filters", "layers"]
    assert [row.split()[:3] for row in rows][1] == ["1", "16", "layer1.0.conv1"]
    assert [int(row.split()[1]) for row in rows] == list(space.channels)
    assert rows[0].endswith("layer2.0.conv2, … and 5 more")


@given(groups, st.integers(0, 3))
def test_whatever_the_network_it_stays_short(found: list[Group], left: int) -> None:
    lines = table(found, 1, 1, left).splitlines()
    assert len(lines) <= ROWS + 4
    assert all(len(line) <= WIDTH for line in lines)
    if len(found) <= ROWS:
        assert len(lines) == len(found) + 2 + bool(left)
