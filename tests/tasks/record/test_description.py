"""A search in a few lines."""

import json
import math

import pytest

from tasks.record.description import LAST, describe, describe_experiment, title
from tasks.record.texts import CLASSES

PARAMS = {"model.name": "cifar_resnet20", "data.source": "digits"}
LINKS = {"Candidates": "#/runs", "Charts": "#/charts"}
LINKED = "[Candidates](#/runs) · [Charts](#/charts)"
NETWORKS = {
    "full": {"final_accuracy": 0.8971, "macs": 40.8e6, "params": 270_000, "latency_ms": 3.0},
    "even": {"final_accuracy": 0.87, "macs": 19.8e6, "params": 128_000},
    "pruned": {
        "final_accuracy": 0.8812,
        "macs": 20.4e6,
        "params": 135_000,
        "latency_ms": 1.5,
        "macs_fraction": 0.5004,
        "params_fraction": 0.53,
    },
}


def _described(networks, tags):
    return describe(PARAMS, networks, tags, LINKS, CLASSES).replace("\N{EM SPACE}", "")


def test_the_description_of_a_new_search():
    assert describe(PARAMS, {}, {}, LINKS, CLASSES) == f"**cifar_resnet20** on digits.  \n{LINKED}"


def test_the_description_of_a_ranked_search():
    ranked = {"full": {"macs": 40.8e6}, "pruned": {"macs_fraction": 0.5004, "params_fraction": 0.53}}
    assert describe(PARAMS, ranked, {"eagleeye.winner": "s0017"}, LINKS, CLASSES) == (
        f"**cifar_resnet20** on digits: winner **s0017**, 50.0% of the MACs, 53.0% of the parameters.  \n{LINKED}"
    )


def test_the_description_of_a_finished_search_is_a_table_of_four_rows():
    """MLflow's page folds what is higher than 100 pixels: five rows of a table."""
    tags = {"eagleeye.winner": "s0017", "eagleeye.changed": json.dumps({"finetune.epochs": "3"})}
    *table, empty, changed = _described(NETWORKS, tags).splitlines()
    assert table == [
        f"| {LINKED} | test accuracy | MACs | parameters | forward pass |",
        "|---|---:|---:|---:|---:|",
        "| full network | 89.71% | 40.80 M | 270.00 k | 3 ms |",
        "| evenly pruned | 87.00% | 19.80 M (48.5%) | 128.00 k (47.4%) |  |",
        "| **winner s0017** | 88.12% | 20.40 M (50.0%) | 135.00 k (50.0%) | 1.5 ms |",
    ]
    assert (empty, changed) == ("", "Settings changed since the search was first recorded: `finetune.epochs` = 3.")
    without = {name: NETWORKS[name] for name in ("full", "pruned")}  # the even network is the winner, or not asked for
    assert len(describe(PARAMS, without, {}, LINKS, CLASSES).splitlines()) == 4


@pytest.mark.parametrize(("value", "shown"), [(853018, "853.02 k"), (4.1e9, "4.10 G"), (math.inf, "inf"), (12, "12")])
def test_quantities_are_short(value, shown):
    networks = {"full": {"final_accuracy": 0.5, "macs": value, "params": 1}}
    assert f"| {shown} | 1 |" in _described(networks, {})


def test_a_title_says_what_came_of_the_search():
    assert title("resnet at 50% MACs", {}, CLASSES) == "resnet at 50% MACs"
    assert title("resnet at 50% MACs", NETWORKS, CLASSES) == "resnet at 50% MACs · 89.71% → 88.12%"


def test_the_experiment_is_described_in_one_line():
    line = describe_experiment("resnet", "#/run", "#/all", NETWORKS["pruned"], "s0017")
    assert line == f"{LAST}[resnet](#/run), winner **s0017**, 50.0% of the MACs · [All searches](#/all)"
    assert describe_experiment("resnet", "#/run", "#/all", {}, None) == f"{LAST}[resnet](#/run) · [All searches](#/all)"
