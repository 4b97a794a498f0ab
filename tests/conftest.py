"""Fixtures that every test may use."""

from pathlib import Path

import pytest
import torch
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

import tasks  # noqa: F401 - no proxy of the environment is asked for the tests' own servers
from tests.postgres import postgres, postgres_url  # noqa: F401 - fixtures

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
# Files of minutes, the longest first: begun last, one would keep a single process busy when the others have finished.
LONG = (
    "flows/test_kills.py",
    "test_recipes.py",
    "test_aside.py",
    "flows/test_remote.py",
    "flows/test_servers.py",
    "flows/test_interruptions.py",
    "test_privacy.py",
    "flows/test_runners.py",
    "flows/test_doors.py",
    "flows/test_workers.py",
    "flows/test_windows.py",
    "flows/test_cancel.py",
    "eagleeye/test_model_zoo.py",
    "eagleeye/test_prune.py",
    "eagleeye/test_random_networks.py",
    "tasks/test_power.py",
)

# The same examples on every machine; `--hypothesis-profile=searching` tries others, and tells how to repeat a find.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("searching", derandomize=False, print_blob=True, deadline=None, max_examples=300)
settings.load_profile("repeatable")

# The networks in the tests are tiny: more threads cost more than they give, by far on a busy machine.
torch.set_num_threads(1)


class Files(LoadFileScheduling):
    """A file's tests run in one process, those that start servers and clusters all in the same, one after another."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "tests/flows" if file.startswith("tests/flows/") else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Files:
    """Spread the tests so over several processes."""
    return Files(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the long files run first."""
    places = {Path(__file__).parent / name: number for number, name in enumerate(LONG)}
    assert all(path.is_file() for path in places)
    items.sort(key=lambda item: places.get(item.path, len(LONG)))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real data beside the project, which only some machines have."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs the real data in ../shared/data, which this machine does not have")
    return SHARED_DATA
