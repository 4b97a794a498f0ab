"""`python -m flows`: serves the deployments search, finetune and correlation from this folder until it is stopped."""

import sys
from typing import Any

from prefect import Flow, serve
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy, State
from prefect.deployments.runner import RunnerDeployment
from prefect.types.entrypoint import EntrypointType
from prefect.utilities.callables import ParameterSchema

from flows.correlation import correlation
from flows.finetune import finetune
from flows.form import with_values
from flows.leftovers import GONE, end_lost
from flows.ready import server_answers
from flows.search import search
from flows.walk import SETTINGS
from tasks.settings import read_params

# What they do, as in prefect.yaml.
FLOWS: dict[Flow[..., State[Any]], str] = {
    search: "Prune the network of params.yaml to its budget.",
    finetune: "Fine-tune any candidate of the ranking, apart from the pipeline.",
    correlation: "Study whether the score tells the accuracy after fine-tuning.",
}


def main() -> int:
    """Wait for the server, then serve.

    Returns:
        Exit status: 1 if there is no server.
    """
    if not server_answers():
        return 1
    for name in end_lost():
        print(f"{name}: {GONE}")
    served = deployments()
    params = read_params(SETTINGS)
    for deployment in served:
        schema = with_values(deployment.name, deployment._parameter_openapi_schema.model_dump(), params)
        deployment._parameter_openapi_schema = ParameterSchema(**schema)
    # One at a time, as they work on the same files.
    serve(*served, limit=1)
    return 0


def deployments() -> list[RunnerDeployment]:
    """The deployments that are served."""
    return [
        RunnerDeployment.from_flow(
            flow,
            flow.fn.__name__,
            description=description,
            # Two runs in one folder would work on the same files: the second waits for the first.
            concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE),
            entrypoint_type=EntrypointType.MODULE_PATH,
        )
        for flow, description in FLOWS.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
