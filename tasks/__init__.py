"""The stages of the pipeline: each loads artefacts, calls the library, writes artefacts and logs.

Nothing here sends usage data: the switches are off before any of the libraries is imported.
"""

import os

os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # MLflow tells how it creates its tables
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DVC_NO_ANALYTICS", "true")
