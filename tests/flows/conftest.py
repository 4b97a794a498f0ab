"""What flow tests share: a Prefect server with its database in a temporary folder, and a finished search."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.testing.utilities import prefect_test_harness

from tests.flows.project import checkout, dvc
from tests.once import once


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=90):
        yield


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose search nobody disturbed; not to be changed, for it serves several tests."""

    def make(folder: Path) -> Path:
        project = checkout(folder / "project")
        assert dvc(project, "repro").wait() == 0
        return project

    return once(tmp_path_factory, "undisturbed", make)
