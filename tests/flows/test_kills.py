"""A search that is killed at random moments ends like one that is not; `python -m tests.flows.kills` does it longer."""

from pathlib import Path

import pytest

from tests.flows.kills import Harness


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_search_killed_at_random_moments_ends_like_an_undisturbed_one(tmp_path: Path, undisturbed: Path) -> None:
    harness = Harness(tmp_path, undisturbed, seed=1)
    try:
        assert len(harness.run(kills=5)) == 5
    finally:
        harness.close()
