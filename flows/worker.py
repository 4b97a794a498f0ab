"""`python -m flows.worker`: registers the deployments of prefect.yaml and works for their pool."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists

from flows.form import show_values
from flows.leftovers import GONE, end_lost, worker_name
from flows.ready import server_answers
from tasks.settings import read_params

POOL = "local"  # as in prefect.yaml
PREFECT = [sys.executable, "-m", "prefect"]


def main() -> int:
    """Wait for the server, register, then become a worker; several may serve one pool.

    Returns:
        Exit status: 1 if there is no server, or a deployment is refused.
    """
    if not server_answers():
        return 1
    for name in end_lost():
        print(f"{name}: {GONE}", flush=True)
    with get_client(sync_client=True) as client, suppress(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
    # prefect.yaml asks for the shell's variable, which supervisord leaves as it was.
    settings = {**os.environ, "PWD": str(Path.cwd())}
    command = [*PREFECT, "--no-prompt", "deploy", "--all"]
    deployed = subprocess.run(command, env=settings, check=False).returncode  # noqa: S603
    if deployed == 0:
        show_values(read_params(Path("params.yaml")))
        os.execv(sys.executable, [*PREFECT, "worker", "start", "--pool", POOL, "--name", worker_name(os.getpid())])  # noqa: S606
    return deployed


if __name__ == "__main__":
    sys.exit(main())
