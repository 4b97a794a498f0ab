import pytest
import torch

import eagleeye
from eagleeye.channels import Space
from eagleeye.models import build


@pytest.fixture(scope="session")
def space() -> Space:
    return eagleeye.trace(build("cifar_resnet20", num_classes=10), torch.randn(1, 3, 32, 32))
