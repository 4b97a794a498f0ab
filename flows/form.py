"""What the form of a deployment says about its parameters: the value that params.yaml has."""

from collections.abc import Mapping
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.exceptions import ObjectNotFound

from tasks.params import Params

KEYS: Mapping[str, Mapping[str, str]] = {
    "search": {
        "macs": "strategies.budget.macs",
        "parameters": "strategies.budget.params",
        "latency": "strategies.budget.latency",
        "candidates": "strategies.count",
        "seed": "strategies.seed",
        "top_k": "rank.top_k",
        "epochs": "finetune.epochs",
    },
    "finetune": {"epochs": "finetune.epochs", "learning_rate": "finetune.lr", "seed": "finetune.seed"},
    "correlation": {
        "candidates": "correlation.candidates",
        "seeds": "correlation.seeds",
        "epochs": "correlation.training.epochs",
        "learning_rate": "correlation.training.lr",
        "level": "correlation.level",
    },
}
"""Which setting a parameter stands for, by deployment."""
SEEN = " Last seen in params.yaml: "


def show_values(params: Params) -> None:
    """Have the registered deployments' forms tell the values that params.yaml has now.

    Beside the fields, not in them: what is in a field is written into params.yaml, over what has been put there since.

    Args:
        params: The settings.
    """
    with get_client(sync_client=True) as client:
        for name in KEYS:
            try:
                deployment = client.read_deployment_by_name(f"eagleeye/{name}")
            except ObjectNotFound:  # the flow was called without being deployed
                continue
            schema = with_values(name, deployment.parameter_openapi_schema or {}, params)
            if schema != deployment.parameter_openapi_schema:
                client.update_deployment(deployment.id, DeploymentUpdate(parameter_openapi_schema=schema))


def with_values(name: str, schema: Mapping[str, Any], params: Params) -> dict[str, Any]:
    """A deployment's parameters with what params.yaml says of each.

    Args:
        name: The deployment.
        schema: Its OpenAPI schema.
        params: The settings.
    """
    settings = params.model_dump(mode="json")
    told = dict(schema.get("properties", {}))
    for parameter, key in KEYS[name].items():
        if field := told.get(parameter):
            text = str(field.get("description", "")).partition(SEEN)[0]
            told[parameter] = {**field, "description": f"{text}{SEEN}{_value(settings, key)}"}
    return {**schema, "properties": told}


def _value(settings: Mapping[str, Any], key: str) -> str:
    value: Any = settings
    for part in key.split("."):
        value = value[part]
    return "nothing" if value is None else str(value)
