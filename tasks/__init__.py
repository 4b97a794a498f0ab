"""The stages of the pipeline: each loads artefacts, calls the library, writes artefacts and logs.

The environment is set here, before any of the libraries is imported: no usage data are sent, threads wait politely, no
proxy is asked for what runs on this machine.
"""

import os

from tasks.run.proxies import spare_loopback

os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # MLflow tells how it creates its tables
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DVC_NO_ANALYTICS", "true")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # the library's, too, but MLflow may load ONNX Runtime before it

# Threads that wait for each other sleep: spinning, they make each other wait on a busy machine, ten times as long.
# Read once, when PyTorch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

PROXIED = spare_loopback(os.environ)
"""Whether programs of the shell ask a proxy even for what runs on this machine."""
