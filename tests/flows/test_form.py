"""What the form of a deployment says about params.yaml."""

import shutil
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client

from flows.__main__ import FLOWS, deployments
from flows.form import KEYS, show_values, with_values
from tasks.settings import override, read_params

ROOT = Path(__file__).resolve().parents[2]


def test_every_parameter_that_stands_for_a_setting_has_one() -> None:
    params = read_params(ROOT / "params.yaml")
    for flow in FLOWS:
        name = flow.fn.__name__
        assert set(KEYS[name]) <= set(flow.fn.__annotations__)
        properties = {parameter: {"description": "What it is."} for parameter in KEYS[name]}
        found = with_values(name, {"properties": properties}, params)["properties"]
        assert all(" Last seen in params.yaml: " in one["description"] for one in found.values())


@pytest.mark.usefixtures("prefect_server")
def test_forms_follow_the_settings_and_leave_the_fields_empty(tmp_path: Path) -> None:
    settings = tmp_path / "params.yaml"
    shutil.copy(ROOT / "params.yaml", settings)
    for deployment in deployments():
        deployment.apply()
    for macs in (0.25, 0.125):
        override(settings, {"strategies.budget.macs": macs})
        show_values(read_params(settings))
        with get_client(sync_client=True) as client:
            found = client.read_deployment_by_name("eagleeye/search")
        told = found.parameter_openapi_schema["properties"]
        assert told["macs"]["description"].endswith(f" Last seen in params.yaml: {macs}")
        assert told["macs"]["description"].count("Last seen") == 1
        assert told["latency"]["description"].endswith(" Last seen in params.yaml: nothing")
        assert "Last seen" not in told["overrides"]["description"]
        assert "default" not in told["macs"] or told["macs"]["default"] is None
        assert found.parameters == {}
