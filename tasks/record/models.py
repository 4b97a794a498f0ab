"""The pruned network as a model of MLflow's, and as a version of a registered one."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from tasks.record.api import Client, LoggedModel, LoggedModelOutput, LoggedModelStatus, save_onnx

ONNX = "onnx_sha256"  # tag of a model: the content of its file


class Models:
    """The models of an experiment; every write may be repeated."""

    def __init__(self, client: Client, experiment_id: str, beat: Callable[[int], None]) -> None:
        """Look at an experiment.

        Args:
            client: Of the store.
            experiment_id: Its id.
            beat: Called before each request, with the bytes that it sends at most.
        """
        self._client = client
        self._experiment_id = experiment_id
        self._beat = beat

    def add_onnx(self, run_id: str, path: Path, digest: str) -> LoggedModel:
        """The MLflow model that an ONNX file is: found by its content or made, with signature and input example."""
        self._beat(0)
        models = self._client.search_logged_models([self._experiment_id], f"source_run_id = '{run_id}'")
        for model in models:
            if model.status == LoggedModelStatus.PENDING:  # left by a process that was killed
                self._client.delete_logged_model(model.model_id)
        found = [one for one in models if one.status == LoggedModelStatus.READY and one.tags.get(ONNX) == digest]
        model = found[0] if found else self._make_model(run_id, path, digest)
        # Last, so that the run never points to a model that was left half-written.
        self._beat(0)
        outputs = self._client.get_run(run_id).outputs
        if model.model_id not in [output.model_id for output in (outputs.model_outputs if outputs else [])]:
            self._client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
        return model

    def _make_model(self, run_id: str, path: Path, digest: str) -> LoggedModel:
        self._beat(0)
        params = self._client.get_run(run_id).data.params
        model = self._client.create_logged_model(
            self._experiment_id, "pruned", run_id, {ONNX: digest}, params, "classifier"
        )
        with tempfile.TemporaryDirectory() as folder:
            save_onnx(path, f"{folder}/model", model.model_id, run_id)
            self._beat(path.stat().st_size)
            self._client.log_model_artifacts(model.model_id, f"{folder}/model")
        return self._client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)

    def register(self, name: str, model: LoggedModel, tags: Mapping[str, str], alias: str) -> None:
        """Make a model a version of a registered one and give it the alias; the same content is one version."""
        self._beat(0)
        if not self._client.search_registered_models(f"name = '{name}'"):
            self._client.create_registered_model(name)
        versions = self._client.search_model_versions(f"name = '{name}'")
        found = sorted((one for one in versions if one.tags.get(ONNX) == tags[ONNX]), key=lambda one: int(one.version))
        for twin in found[1:]:  # made by a request that was answered too late
            self._client.delete_model_version(name, twin.version)
        if found:
            number = found[0].version
            for tag in (tag for tag in tags.items() if found[0].tags.get(tag[0]) != tag[1]):
                self._client.set_model_version_tag(name, number, *tag)
        else:
            # By place, as MLflow looks up a source like models:/<id> in the process's default store, not in this one.
            source = model.artifact_location
            run_id = model.source_run_id
            made = self._client.create_model_version(name, source, run_id, dict(tags), model_id=model.model_id)
            number = made.version
        if self._client.get_registered_model(name).aliases.get(alias) != number:
            self._client.set_registered_model_alias(name, alias, number)
