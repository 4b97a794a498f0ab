"""`python -m flows`: serves the deployment `eagleeye/search` from this folder until it is stopped."""

import sys

from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import EntrypointType

from flows.ready import server_answers
from flows.search import search


def main() -> int:
    """Wait for the server, then serve.

    Returns:
        Exit status: 1 if there is no server.
    """
    if not server_answers():
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


if __name__ == "__main__":
    sys.exit(main())
