"""Fine-tuning by a loop of the user's own: handed the network, told about, gone on with, validated afterwards."""

import json
import math
import sqlite3
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

import eagleeye
from eagleeye.errors import ConfigError, ModelError
from eagleeye.scoring.evaluate import evaluate
from tasks import artifacts
from tasks.inputs.evaluator import open_evaluator, scoring_key
from tasks.inputs.network import load_network
from tasks.inputs.watched import code_files
from tasks.params import Params
from tasks.run.request import check_request
from tasks.settings import override, read_params
from tasks.stages.finetune import start_of
from tasks.work import extra
from tasks.work.training import open_trainer, training_key
from tests.tasks import loops
from tests.tasks.conftest import Recorder, Search, run_stage


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The export takes seconds, and is not what these tests are about."""
    for export in ("export_onnx", "export_program"):
        monkeypatch.setattr(f"tasks.stages.finetune.{export}", lambda _network, _example, path, *_: path.touch())


def by(search: Search, loop: str) -> Params:
    """The settings with a loop, and with a store of their own: MLflow keeps stores open by their address."""
    tracking = search.params.tracking.model_copy(update={"uri": f"sqlite:///{search.folder}/own.db"})
    tuning = search.params.finetune.model_copy(update={"trainer": f"tests.tasks.loops:{loop}"})
    return search.params.model_copy(update={"finetune": tuning, "tracking": tracking})


def last_bias(network: nn.Module) -> torch.Tensor:
    return [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1].bias.detach()


@pytest.mark.slow
def test_the_loop_trains_every_chosen_network_and_what_it_told_is_on_record(search: Search) -> None:
    params = by(search, "halve_the_bias")
    context = run_stage("finetune", params)
    results = pd.read_parquet(artifacts.RESULTS).set_index("id")
    history = artifacts.read_table(artifacts.FINETUNE_HISTORY)
    evaluator = open_evaluator(params, scoring_key(params))
    trainer = open_trainer(params, params.finetune, "finetune")
    for name, row in pd.read_parquet(artifacts.RANKING).set_index("id").iterrows():
        if name not in results.index:
            continue
        wanted = evaluator.prune(row["rates"]).eval()
        evaluator.adapt(wanted)
        with torch.no_grad():
            last_bias(wanted).mul_(0.5**loops.EPOCHS)
        found = eagleeye.load(results["file"][name])
        for key, tensor in wanted.state_dict().items():
            assert torch.equal(tensor, found.state_dict()[key]), key
        rows = history[history["id"] == name]
        assert rows["epoch"].tolist() == [1, 2, 3]
        assert rows["train_loss"].tolist() == [1, 1 / 2, 1 / 3]
        assert rows["mAP@50 (B)"].tolist() == pytest.approx([0, 0.1, 0.2])
        score = evaluate(found, trainer.validation)
        assert rows["validation_accuracy"].tolist()[-1] == results["validation_accuracy"][name] == score.accuracy
        assert rows["validation_accuracy"].isna().tolist() == [True, True, False]
        assert results["best_epoch"][name] == loops.EPOCHS
        assert f"fine-tuning {name}: epoch 2: train_loss 0.5, mAP@50 (B) 0.1" in context.said
    store = sqlite3.connect(search.folder / "own.db")
    query = (
        "SELECT key, count(*) FROM metrics JOIN runs USING (run_uuid) WHERE name LIKE 'fine-tune even%' GROUP BY key"
    )
    told = dict(store.execute(query).fetchall())
    assert told["train_loss"] == 3
    assert told["validation_accuracy"] == told["final_accuracy"] == 1
    assert [count for key, count in told.items() if key.startswith("mAP")] == [3]
    run_stage("report", params)
    assert "by tests.tasks.loops:halve_the_bias" in (artifacts.REPORT / "report.html").read_text(encoding="utf-8")


def test_a_killed_loop_goes_on_in_its_folder_and_its_rows_count_on(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = by(search, "halve_the_bias")
    (row,) = pd.read_parquet(artifacts.RANKING).query("rank == 1").to_dict("records")
    key = training_key(params, params.finetune, start_of(params, row))
    evaluator = open_evaluator(params, scoring_key(params))
    trainer = open_trainer(params, params.finetune, "finetune")
    seen: list[list[float]] = []

    def killed(history: pd.DataFrame) -> None:
        seen.append(history["epoch"].tolist())
        if len(history) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.train("it", evaluator.prune(row["rates"]), key, Recorder(), killed)
    context = Recorder()
    network = evaluator.prune(row["rates"])
    bias = last_bias(network).clone()
    found = trainer.train("it", network, key, context, lambda history: seen.append(history["epoch"].tolist()))
    assert seen == [[1], [1, 2], [1, 2, 3], [1, 2, 3]]
    assert context.said == ["it: epoch 3: train_loss 0.3333, mAP@50 (B) 0.2"]
    assert torch.equal(last_bias(network), bias * 0.5**loops.EPOCHS)
    # What is done is on disk: the loop is not called again.
    monkeypatch.setattr(loops, "halve_the_bias", loops.fails)
    again = evaluator.prune(row["rates"])
    same = open_trainer(params, params.finetune, "finetune").train("it", again, key, Recorder())
    pd.testing.assert_frame_equal(same.history, found.history)
    assert torch.equal(last_bias(again), last_bias(network))


@pytest.mark.slow
def test_a_loop_that_tells_nothing_and_one_more_candidate(search: Search) -> None:
    told = extra.run(by(search, "silent"), Recorder(), "even", {})
    (row,) = json.loads((artifacts.EXTRA / "even" / "result.json").read_text())["history"]
    assert (row["epoch"], row["lr"], row["train_loss"]) == (1, None, None)
    assert row["validation_accuracy"] == told["validation_accuracy"]
    assert not math.isnan(told["test_accuracy"])
    assert not list((artifacts.CACHE / "training" / "extra").iterdir())


@pytest.mark.parametrize(
    ("loop", "error", "said"),
    [
        ("returns_nothing", ModelError, r"trainer returns_nothing: it returned None; it must return the network"),
        ("fails", ModelError, r"trainer fails: it stopped: RuntimeError: no images"),
        ("tells_a_taken_name", ConfigError, r"it told validation_accuracy, a name that is taken"),
    ],
)
def test_a_bad_loop_is_one_line(search: Search, loop: str, error: type[Exception], said: str) -> None:
    params = by(search, loop)
    trainer = open_trainer(params, params.finetune, "finetune")
    with pytest.raises(error, match=said) as caught:
        trainer.train("it", load_network(params), "key", Recorder())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("loop", "said"),
    [
        ("of_two", r"loops:of_two, which takes other arguments; needed is trainer\(network, folder, told\)"),
        ("missing", r"'missing' is missing in .*loops\.py"),
    ],
)
def test_a_loop_that_cannot_be_called_is_refused_before_the_search(search: Search, loop: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        run_stage("watch", by(search, loop))


def test_the_loops_code_is_watched_and_settings_of_the_other_loop_do_not_contradict_it(search: Search) -> None:
    params = by(search, "silent")
    assert Path(loops.__file__) in code_files(params).values()
    keys = {training_key(each, each.finetune, {}) for each in (params, by(search, "fails"), search.params)}
    assert len(keys) == 3
    settings = search.folder / "params.yaml"
    override(settings, {"finetune.trainer": "tests.tasks.loops:silent"})
    assert read_params(settings).finetune.trainer == "tests.tasks.loops:silent"
    with pytest.raises(ConfigError, match=r"finetune: trainer is 'mine': null or package\.module:function is allowed"):
        override(settings, {"finetune.trainer": "mine"})
    with pytest.raises(ConfigError, match=r"overrides: finetune\.trainer is 'own\.loop:train': a function is taken"):
        check_request(settings, {"finetune.trainer": "own.loop:train"})
