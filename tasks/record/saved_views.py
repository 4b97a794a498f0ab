"""Saved views of MLflow's table of runs: all searches, the candidates of one, its fine-tunings.

The format is that of the UI's own "Save as new view": a tag of the experiment, found under *Views* and by its key.
"""

import base64
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence

from eagleeye.task.scores import VANILLA
from tasks.record.texts import CANDIDATE, FINETUNE, SEARCH, WINNER, Candidate, Terms, final, key

AXES = 8  # rates in a parallel-coordinates chart, spread over the depth of the network: more is unreadable
BUDGETS = ("macs_fraction", "params_fraction", "latency")
# Short ones: the table shows a dozen letters of a column's name.
COSTS = ("macs_fraction", "params_fraction", "latency_ms")
TRAINED = ("train_loss", "lr")


def searches_view(now: int, terms: Terms) -> str:
    """All searches and nothing else, the newest first, however many candidates they have.

    Args:
        now: Milliseconds since 1970.
        terms: Whose result is shown: that of the task of the first search.
    """
    result = [terms.final, *map(final, terms.metrics), *COSTS]
    columns = [*_columns("metrics", result), *_columns("tags", [WINNER]), *_columns("params", ["strategies.count"])]
    state = _state(f"tags.`{SEARCH}` != ''", "attributes.start_time", columns)
    return _packed("Searches", now, state)


def candidates_view(name: str, parent: str, candidate: Candidate, now: int, terms: Terms) -> str:
    """The candidates of one search by their scores, and charts of them.

    The winner need not be on top: others are there with scores on fewer images, which have been on the good side.

    Args:
        name: Name in the list of views.
        parent: Run id of the search.
        candidate: One of them, for the names of the groups and what is measured.
        now: Milliseconds since 1970.
        terms: Which score ranks.
    """
    ranked_by = terms.ranked_by
    groups = list(candidate.rates)
    measured = candidate.figures()
    spread = {round(step * (len(groups) - 1) / (AXES - 1)) for step in range(AXES)} if groups else set()
    parallel: dict[str, object] = {
        "type": "PARALLEL",
        "metricSectionId": "rates",
        "selectedParams": [key(f"rate/{groups[place]}") for place in sorted(spread)],
        "selectedMetrics": ["params_fraction", ranked_by],
        "showAllRuns": True,
    }
    scatters: list[dict[str, object]] = [
        {
            "type": "SCATTER",
            "metricSectionId": "scores",
            "xaxis": {"key": across, "type": "METRIC"},
            "yaxis": {"key": ranked_by, "type": "METRIC"},
        }
        for across in (VANILLA + ranked_by, "macs_fraction")
    ]
    others = [score for score in terms.scores if score != ranked_by]
    columns = [ranked_by, "images", *others, VANILLA + ranked_by, *BUDGETS]
    columns = [*(column for column in columns if column in measured), terms.final]
    state = _state(
        f"tags.`mlflow.parentRunId` = '{parent}' and tags.`{CANDIDATE}` LIKE '%'",
        f"metrics.`{ranked_by}`",
        _columns("metrics", columns),
        [parallel, *scatters],
        # One axis per group of channels needs the width of the page.
        [
            {"uuid": "rates", "name": "Rates and score", "display": True, "columns": 1, "cardHeight": 420},
            {"uuid": "scores", "name": "Scores", "display": True, "columns": 2},
        ],
    )
    return _packed(name, now, {**state, "orderByAsc": terms.scores[ranked_by] < 0})


def tunings_view(name: str, parent: str, now: int, terms: Terms) -> str:
    """The fine-tunings of one search, their curves in the same charts.

    Args:
        name: Name in the list of views.
        parent: Run id of the search.
        now: Milliseconds since 1970.
        terms: Which scores choose an epoch.
    """
    curves = (*terms.validated, *TRAINED)
    charts: list[dict[str, object]] = [
        {
            "type": "LINE",
            "metricSectionId": "curves",
            "metricKey": curve,
            "selectedMetricKeys": [curve],
            "xAxisKey": "step",
            "xAxisScaleType": "linear",
            "scaleType": "linear",
            "lineSmoothness": 0,
        }
        for curve in curves
    ]
    state = _state(
        f"tags.`mlflow.parentRunId` = '{parent}' and tags.`{FINETUNE}` LIKE '%'",
        f"metrics.`{terms.final}`",
        _columns("metrics", [*terms.finals, *curves]),
        charts,
        [{"uuid": "curves", "name": "By epoch", "display": True, "columns": 2}],
    )
    return _packed(name, now, state)


def _columns(kind: str, names: Iterable[str]) -> list[str]:
    return [f"{kind}.`{name}`" for name in names]


def _state(
    query: str,
    order: str,
    columns: Sequence[str],
    charts: Sequence[Mapping[str, object]] = (),
    sections: Sequence[Mapping[str, object]] = (),
) -> dict[str, object]:
    drawn = {
        "compareRunCharts": [
            {"uuid": str(place), "runsCountToCompare": 100, **chart} for place, chart in enumerate(charts)
        ],
        "compareRunSections": list(sections),
    }
    return {
        "searchFilter": query,
        "orderByKey": order,
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": list(columns),
        "runsHiddenMode": "SHOWALL",
        **(drawn if charts else {}),
    }


def _packed(name: str, now: int, state: Mapping[str, object]) -> str:
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    return json.dumps({"name": name, "createdAt": now, "updatedAt": now, "state": f"deflate;{packed}"})
