"""`python -m flows`: serves the deployment `eagleeye/search` from this folder until it is stopped."""

from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import EntrypointType

from flows.search import search

if __name__ == "__main__":
    search.serve(
        "search",
        description="Prune the network of params.yaml to its budget.",
        # Two runs in one folder would work on the same files: the second waits for the first.
        global_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE),
        limit=1,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
