"""Fixtures that every test may use."""

from pathlib import Path

import pytest
import torch
from hypothesis import settings

import tasks  # noqa: F401 - no proxy of the environment is asked for the tests' own servers
from tests.postgres import postgres, postgres_url  # noqa: F401 - fixtures

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

# The same examples on every machine; `--hypothesis-profile=searching` tries others, and tells how to repeat a find.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("searching", derandomize=False, print_blob=True, deadline=None, max_examples=300)
settings.load_profile("repeatable")

# The networks in the tests are tiny: more threads cost more than they give, by far on a busy machine.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real data beside the project, which only some machines have."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs the real data in ../shared/data, which this machine does not have")
    return SHARED_DATA
