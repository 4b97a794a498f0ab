"""Opens MLflow's store: makes the file where it is missing, finds out whether it answers, finds the experiment."""

import re
from contextlib import suppress

from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from tasks.record.api import Client, make_database
from tasks.record.faults import TrackingError
from tasks.record.own_store import FILES, file_of, follow, is_own, make_whole
from tasks.run.aside import project_folder

DATABASES = ("sqlite", "postgresql", "mysql", "mssql")  # that MLflow can be, by the first word of the URI


def prepare(uri: str) -> None:
    """Make the store where it is a file and missing or half made, and let its paths lead into the project's folder.

    Args:
        uri: MLflow tracking URI; of anything but a file, it is found out whether it can be reached.

    Raises:
        ArtifactError: The file cannot be written.
        Exception: Whatever drivers raise; see `tasks.record.faults.told_apart`.
    """
    if path := file_of(uri):
        make_whole(path, lambda place: make_database(place, project_folder() / FILES))
    if re.split(r"[+:]", uri)[0] not in DATABASES:
        return
    # Once: MLflow would try for minutes, whatever the reason.
    with create_engine(uri, poolclass=NullPool).connect() as connection:
        if path:
            # An SQLite store can then be read while it is written to, and a candidate takes half the time. Refused
            # while the store is in use; the file keeps the setting once it has it.
            with suppress(OperationalError):
                connection.execute(text("PRAGMA journal_mode=WAL"))
    if path and is_own(path):
        follow(path)


def experiment_id(client: Client, name: str, tags: dict[str, str]) -> str:
    """The id of an experiment, which is made where it is missing.

    Args:
        client: Of the store.
        name: Its name.
        tags: What it is tagged with.

    Raises:
        TrackingError: It was deleted.
    """
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        # The kind opens the UI on the table of runs instead of asking what the experiment is for.
        return client.create_experiment(name, tags={"mlflow.experimentKind": "custom_model_development", **tags})
    if experiment.lifecycle_stage != "active":
        raise TrackingError(
            f"MLflow experiment {name!r} was deleted: restore it with `mlflow experiments restore -x"
            f" {experiment.experiment_id}`, or set tracking.experiment to another name"
        )
    for tag in tags.items() - experiment.tags.items():
        client.set_experiment_tag(experiment.experiment_id, *tag)
    return experiment.experiment_id
