"""The flows that chain the stages under Prefect."""

import tasks  # noqa: F401 - its environment must be set before Prefect and PyTorch are imported
