"""Waits for the Prefect server, which takes its time to start."""

import sys
import time

from prefect.client.orchestration import get_client
from prefect.settings import get_current_settings

PATIENCE = 90.0  # seconds that a server may take to start on a busy machine
SILENCE = 3.0  # seconds after which it is said what is waited for


def server_answers() -> bool:
    """Wait until the Prefect server answers; say how to start one if it does not."""
    address = get_current_settings().api.url
    if address and _answers(address):
        return True
    print(
        f"no Prefect server at {address}: start one with `python -m flows.server`, or everything with `make up`",
        file=sys.stderr,
    )
    return False


def _answers(address: str) -> bool:
    begun = told = time.monotonic()
    with get_client(sync_client=True) as client:
        while client.api_healthcheck() is not None:
            now = time.monotonic()
            if now > begun + PATIENCE:
                return False
            if now > told + SILENCE:
                told = now
                print(f"waiting for the Prefect server at {address}: {now - begun:.0f} s", flush=True)
            time.sleep(1)
    return True
