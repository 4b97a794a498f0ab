# The environment of the pipeline; docs/container.md shows how it is built and run.
FROM python:3.11-slim

# Where torch's wheels for CPUs alone are, for a smaller image; empty: the package index's own, which run on NVIDIA's
# GPUs (with the driver of the host) and on CPUs.
ARG TORCH_INDEX=""
# What is installed, of the extras in pyproject.toml.
ARG EXTRAS="pipeline,onnx,timm"

ENV HOME=/tmp \
    PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DO_NOT_TRACK=true \
    DVC_NO_ANALYTICS=true \
    MLFLOW_DISABLE_TELEMETRY=true \
    ORT_DISABLE_TELEMETRY=1 \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    RAY_USAGE_STATS_ENABLED=0

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/* \
    && python -m venv /opt/venv

WORKDIR /project
COPY . .
# Editable: a clone that is mounted here is what runs.
RUN ${TORCH_INDEX:+env PIP_EXTRA_INDEX_URL="${TORCH_INDEX}"} python install.py "${EXTRAS}" \
    && rm -rf /tmp/.cache

USER 1000
CMD ["dvc", "repro"]
