import math
from pathlib import Path

import pandas as pd
import pytest

from eagleeye.scoring.racing import Scores
from tasks.record.search import budget_text, candidates, registered_name
from tasks.settings import check, read_params

ROOT = Path(__file__).parents[3]


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


def test_candidates_are_rows_with_their_scores():
    row = {"origin": "uniform", "macs": 5, "params": 3, "macs_fraction": 0.5, "params_fraction": 0.3}
    table = pd.DataFrame(
        [{**row, "id": name, "latency": ms, "rates": [0.1, 0.2]} for name, ms in (("a", 1.5), ("b", None))]
    )
    values = {"accuracy": 0.5, "loss": 1.0, "agreement": 0.6, "divergence": 0.7}
    scored = {"b": (100, Scores(values | {"loss": math.nan}, {}, seconds=2.0))}
    (found,) = candidates(["conv1", "conv2"], table, scored)
    assert (found.id, found.rates, found.images, found.latency) == ("b", {"conv1": 0.1, "conv2": 0.2}, 100, None)
    assert math.isnan(found.scores["loss"])
    (found,) = candidates(["conv1", "conv2"], table, {"a": (100, Scores(values, {}))})
    assert (found.latency, found.seconds, found.macs) == (1.5, None, 5)
    assert found.scores == values
