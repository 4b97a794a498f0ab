from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name, _validate_param_name

from tasks.passwords import without_password, without_passwords
from tasks.record.texts import (
    Candidate,
    budget_text,
    flatten,
    key,
    registered_name,
    run_name,
    title_text,
)
from tasks.settings import check, read_params

ROOT = Path(__file__).parents[3]


@given(st.text(min_size=1))
@example("..0")
def test_any_name_becomes_a_key_that_mlflow_accepts(name):
    _validate_param_name(key(f"rate/{name}"))
    _validate_metric_name(key(name))


@pytest.mark.parametrize("name", ["rate/layer1.0.conv1", "report/baseline_accuracy", "strategies.budget.macs"])
def test_readable_names_stay_as_they_are(name):
    assert key(name) == name


def test_settings_are_flattened_to_text():
    settings = {
        "data": {"source": "digits", "options": {}, "preprocess": {"size": None, "mean": [0.5, 0.25]}},
        "evaluate": {"vanilla": True, "batch_size": 128},
        "model": {"options": {"p/q?": 0.1}},
    }
    assert flatten(settings) == {
        "data.source": "digits",
        "data.options": "{}",
        "data.preprocess.size": "null",
        "data.preprocess.mean": "[0.5, 0.25]",
        "evaluate.vanilla": "true",
        "evaluate.batch_size": "128",
        "model.options.p/q_": "0.1",
    }
    assert flatten({"lr": 0.1}, "finetune.") == {"finetune.lr": "0.1"}
    assert len(flatten({"long": "x" * 10_000})["long"]) == 6000


def test_a_candidate_names_its_score():
    assert run_name("s0017", 0.61234) == "s0017 · 0.6123"
    assert run_name("s0017", 0.61234, winner=True) == "s0017 · 0.6123 · winner"


def test_figures_leave_out_what_was_not_measured():
    scores = {"accuracy": 0.61234567, "loss": 1.5, "agreement": 0.75, "divergence": 0.5}
    candidate = Candidate("s0000", "uniform", {}, 10, 5, 0.500012, 0.25, scores)
    assert candidate.figures() == {
        "accuracy": 0.61234567,
        "loss": 1.5,
        "agreement": 0.75,
        "divergence": 0.5,
        "macs": 10.0,
        "params": 5.0,
        "macs_fraction": 0.5,
        "params_fraction": 0.25,
    }


def test_passwords_are_taken_out_of_addresses():
    assert (
        without_password("at http://me:sec@ret@host:1/x, postgresql://you@db/y")
        == "at http://host:1/x, postgresql://db/y"
    )
    assert without_password("sqlite:////home/me@work/mlflow.db") == "sqlite:////home/me@work/mlflow.db"
    assert without_password("file:///a:b/c@d") == "file:///a:b/c@d"
    assert without_password("open http://127.0.0.1:5000/#/runs/a@b") == "open http://127.0.0.1:5000/#/runs/a@b"


@pytest.mark.parametrize(
    ("uri", "password"),
    [
        ("postgresql://me:sec/ret-7@host/db", "sec/ret-7"),
        ("postgresql+psycopg://me:sec@ret-7@host/db", "sec@ret-7"),
        ("postgresql://me:sec%2Fret-7@host/db", "sec/ret-7"),
        ("postgresql:///db?host=h&user=me&password=ret-7", "ret-7"),
        ("mysql://me:sec/ret-7@host:3306/db?ssl=true", "sec/ret-7"),
        ("https://me:sec:ret-7@host:8080/mlflow", "sec:ret-7"),
    ],
)
def test_passwords_show_in_no_form(uri, password):
    assert "ret-7" not in without_password(uri)
    assert "ret-7" not in without_password(f"Could not parse SQLAlchemy URL from string '{uri}'")
    # What drivers say of it.
    assert "ret-7" not in without_password(f"FATAL: me may not connect with {password}", uri)
    if "@" in password:
        assert "ret-7" not in without_password('could not translate host name "ret-7@host"', uri)


def test_passwords_are_taken_out_of_nested_settings():
    settings = {"options": {"uri": "s3://me:secret@host/x", "sizes": [1, "http://me:secret@host"]}, "seed": 0}
    assert without_passwords(settings) == {"options": {"uri": "s3://host/x", "sizes": [1, "http://host"]}, "seed": 0}


def _with_budget(name: str = "cifar_resnet20", **budget: float | None):
    values = read_params(ROOT / "params.yaml").model_dump(mode="json")
    values["model"]["name"] = name
    values["strategies"]["budget"] = {"macs": None, "params": None, "latency": None, "tolerance": 0.005, **budget}
    return check(values, "params.yaml")


@pytest.mark.parametrize(
    ("budget", "words", "name"),
    [
        ({"macs": 0.5}, "50% MACs", "cifar_resnet20-50-percent-MACs"),
        ({"macs": 0.125, "params": 0.3}, "12.5% MACs, 30% parameters", None),
        ({"macs": 20_400_000}, "20,400,000 MACs", "cifar_resnet20-20-400-000-MACs"),
        ({"latency": 30}, "30 ms", "cifar_resnet20-30-ms"),
        ({"latency": 2.5}, "2.5 ms", None),
        ({"latency": 0.7}, "70% of the latency", "cifar_resnet20-70-percent-of-the-latency"),
    ],
)
def test_a_budget_says_its_unit(budget, words, name):
    assert budget_text(_with_budget(**budget)) == words
    assert name is None or registered_name(_with_budget(**budget)) == name


def test_a_factory_of_a_users_own_is_a_name_that_the_registry_takes():
    name = registered_name(_with_budget("my.networks:wide/net", macs=0.5))
    assert name == "my.networks-wide-net-50-percent-MACs"


@pytest.mark.parametrize(
    ("source", "options", "told"),
    [
        ("digits", {}, "scikit-learn's handwritten digits"),
        ("scenes", {}, "scenes of scikit-learn's handwritten digits"),
        ("torchvision:CIFAR10", {"root": "/home/somebody/data"}, "CIFAR10"),
        ("imagefolder", {"train": "/home/somebody/imagenet/train", "test": "x"}, "imagenet/train"),
        ("parquet", {"train": ["data/train-*.parquet", "data/more.parquet"], "test": "x"}, "data/train-*.parquet"),
        ("own.data:cars", {"folder": "/home/somebody/cars"}, "own.data:cars"),
    ],
)
def test_the_title_names_network_budget_and_data_and_nothing_of_this_machine(source, options, told):
    params = read_params(ROOT / "params.yaml")
    data = params.data.model_copy(update={"source": source, "options": options})
    assert title_text(params.model_copy(update={"data": data})) == f"cifar_resnet20 at 50% MACs, on {told}"
