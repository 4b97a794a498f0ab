"""The result as a terminal shows it that watches a flow run: 52 columns are left beside time and task."""

import pandas as pd

from tasks.artifacts import RANKING, RESULTS
from tasks.run.summary import ranking_text, result_text
from tests.tasks.conftest import Search


def test_the_ranking_begins_with_the_winner_and_ends_with_the_even_network(search: Search) -> None:
    ranking = pd.read_parquet(RANKING)
    title, columns, first, *rest = ranking_text(search.params).splitlines()
    assert title == f"the ranking of {len(ranking)}, best first:"
    assert columns.split() == ["id", "accuracy", "images", "MACs"]
    winner = ranking[ranking["rank"] == 1].iloc[0]
    assert first.split()[:3] == ["1", winner["id"], f"{winner['accuracy']:.2%}"]
    assert any(line.split()[1] == "even" for line in [first, *rest])
    assert max(map(len, [columns, first, *rest])) <= 52


def test_the_result_names_the_networks_their_accuracies_and_the_files(search: Search) -> None:
    text = result_text(search.params)
    for row in pd.read_parquet(RESULTS).to_dict("records"):
        assert f"{row['test_accuracy']:.2%}" in text
    assert "network: artifacts/finetune/pruned.safetensors" in text
    assert "report:  artifacts/report/report.html" in text
    table = text.splitlines()[1:4]
    assert max(map(len, table)) <= 52
