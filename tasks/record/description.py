"""A search in a few lines, as MLflow's pages show it: in its title, its description, and the experiment's.

The description of a run is folded below 100 pixels, which a table of four rows fits into; that of an
experiment below its first line.
"""

import json
import math
from collections.abc import Mapping

from tasks.record.texts import CHANGED, WINNER, Terms, final

NETWORKS = ("full", "even", "pruned")
"""Whose figures a search's run has, as steps 0, 1 and 2 of its metrics: the curves lead from the full to the pruned."""
Networks = Mapping[str, Mapping[str, float]]
SPACE = "\N{EM SPACE}"
LAST = "Last search: "  # what the experiment's description begins with; any other is somebody's own


def title(name: str, networks: Networks, terms: Terms) -> str:
    """The search's name, with what came of it once that is known: ``… · 99.72% → 98.89%``.

    Args:
        name: What was searched for.
        networks: Figures by one of `NETWORKS`.
        terms: What is told of the test images.
    """
    full, pruned = (networks.get(which, {}).get(terms.final) for which in ("full", "pruned"))
    return name if full is None or pruned is None else f"{name} · {terms.text(full)} → {terms.text(pruned)}"


def describe(
    params: Mapping[str, str],
    networks: Networks,
    tags: Mapping[str, str],
    links: Mapping[str, str],
    terms: Terms,
) -> str:
    """The description of a search, in Markdown.

    Args:
        params: The parent's params.
        networks: Figures by one of `NETWORKS`; the table is of those with a final score.
        tags: The parent's tags.
        links: Address by text.
        terms: What is told of the test images.
    """
    linked = " · ".join(f"[{words}]({address})" for words, address in links.items())
    if tested := {which: networks[which] for which in NETWORKS if terms.final in networks.get(which, {})}:
        names = {"full": "full network", "even": "evenly pruned", "pruned": f"**winner {tags.get(WINNER, '')}**"}
        told = [f"test {name}" for name in (terms.first, *terms.metrics)]
        columns = [*told, "MACs", "parameters", "forward pass"]
        head = [f"| {linked} | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
        rows = [_row(names[which], one, networks.get("full", {}), terms) for which, one in tested.items()]
        lines = ["\n".join([*head, *rows])]
    else:
        # One paragraph, because the fold's shade catches clicks on a second one.
        lines = [f"{_so_far(params, networks.get('pruned', {}), tags)}.  \n{linked}"]
    if changed := json.loads(tags.get(CHANGED, "{}")):
        listed = ", ".join(f"`{name}` = {value}" for name, value in changed.items())
        lines.append(f"Settings changed since the search was first recorded: {listed}.")
    return "\n\n".join(lines)


def describe_experiment(name: str, address: str, searches: str, pruned: Mapping[str, float], winner: str | None) -> str:
    """The one line that the page of runs shows of an experiment's description.

    Args:
        name: The last search's title.
        address: Its page.
        searches: The page of all searches.
        pruned: The winner's figures, as far as they are known.
        winner: Its id; None: there is none yet.
    """
    line = f"{LAST}[{name}]({address})"
    if winner:
        line += f", winner **{winner}**" + (f", {pruned['macs_fraction']:.1%} of the MACs" if pruned else "")
    return f"{line} · [All searches]({searches})"


def _so_far(params: Mapping[str, str], pruned: Mapping[str, float], tags: Mapping[str, str]) -> str:
    head = f"**{params.get('model.name', 'network')}** on {params.get('data.source', 'its data')}"
    if WINNER in tags:
        head += f": winner **{tags[WINNER]}**"
    if pruned:
        head += f", {pruned['macs_fraction']:.1%} of the MACs, {pruned['params_fraction']:.1%} of the parameters"
    return head


def _row(name: str, one: Mapping[str, float], full: Mapping[str, float], terms: Terms) -> str:
    metrics = [f"{one[final(metric)]:.4f}" for metric in terms.metrics]
    cells = [name, terms.text(one[terms.final]), *metrics, *(_cost(one, full, cost) for cost in ("macs", "params"))]
    latency = one.get("latency_ms")
    cells.append("" if latency is None else f"{latency:.3g} ms")
    # The page puts the cells one right beside the other.
    return "| " + f" | {SPACE}".join(cells) + " |"


def _cost(one: Mapping[str, float], full: Mapping[str, float], name: str) -> str:
    if name not in one or name not in full:
        return ""
    share = "" if one is full else f" ({one[name] / full[name]:.1%})"
    return _quantity(one[name]) + share


def _quantity(value: float) -> str:
    if not math.isfinite(value) or abs(value) < 1000:
        return f"{value:.4g}"
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.2f} {unit}"
    raise AssertionError(value)
