"""The flows that chain the stages under Prefect."""

import os

import tasks  # noqa: F401 - its environment must be set before Prefect and PyTorch are imported

# A server on another port is asked there, by the worker and the flow runs, too, without a second variable that says so.
if "PREFECT_SERVER_API_PORT" in os.environ:
    os.environ.setdefault("PREFECT_API_URL", f"http://127.0.0.1:{os.environ['PREFECT_SERVER_API_PORT']}/api")
