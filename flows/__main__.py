"""`python -m flows`: serves the deployment `eagleeye/search` from this folder until it is stopped."""

import sys
import time

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import EntrypointType
from prefect.settings import get_current_settings

from flows.search import search

PATIENCE = 90.0  # seconds that a server may take to start on a busy machine


def main() -> int:
    """Wait for the server, then serve.

    Returns:
        Exit status: 1 if there is no server.
    """
    address = get_current_settings().api.url
    if not address or not _answers():
        print(
            f"no Prefect server at {address}: start one with `prefect server start`, or use `make serve`",
            file=sys.stderr,
        )
        return 1
    search.serve(
        "search",
        description="Prune the network of params.yaml to its budget.",
        # Two runs in one folder would work on the same files: the second waits for the first.
        global_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE),
        limit=1,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    return 0


def _answers() -> bool:
    deadline = time.monotonic() + PATIENCE
    with get_client(sync_client=True) as client:
        while client.api_healthcheck() is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(1)
    return True


if __name__ == "__main__":
    sys.exit(main())
