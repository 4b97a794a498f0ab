"""strategies: the candidates, one pruning rate per group of channels, all within the budget."""

import pandas as pd

from eagleeye.channels import Space
from eagleeye.data import decode
from eagleeye.errors import ModelError
from eagleeye.forward.cores import one_thread
from eagleeye.strategies import Shell, Strategy, even, sampler, starters
from tasks.artifacts import ALLOCATED, CALIBRATION, GROUPS, REFERENCE, STRATEGIES, write_table
from tasks.inputs.candidates import table_of
from tasks.inputs.images import choose_device, open_subset, preprocess
from tasks.inputs.importance import measure_activations
from tasks.inputs.network import build_network, load_network
from tasks.inputs.space import generation_sizes, open_shell, trace_network
from tasks.params import Params
from tasks.run.context import Context
from tasks.run.pulse import doing


def run(params: Params, context: Context) -> None:
    """Draw the candidates; the network's weights matter only where widths are allocated by error.

    Raises:
        TraceError: The network's graph cannot be followed.
        ModelError: The network could not be saved once it is pruned.
        BudgetError: The budget is out of reach or too rare.
    """
    wanted = params.strategies
    network = build_network(params)
    doing("tracing the network")
    space = trace_network(params, network)
    _require_storable(space)
    for reason in space.left_out:
        context.warn(f"left out: {reason}")
    shell = open_shell(params, network, space)
    first, *later = generation_sizes(params)
    doing("drawing candidates")
    drawn = sampler(wanted.sampler)(shell, count=first, seed=wanted.seed, max_draws=wanted.max_draws)
    tables = [table_of(drawn, wanted.sampler, space)]
    references = [even(space, shell.budget, multiple=wanted.multiple, latency=shell.latency)] if wanted.even else []
    if wanted.allocated:
        known = {entry.widths for entry in references}
        allocated = [entry for entry in _allocated(params, space, shell) if entry.widths not in known]
        tables.append(table_of(allocated, ALLOCATED, space))
    if references:
        tables.append(table_of(references, REFERENCE, space))
    write_table(GROUPS, _groups(space))
    write_table(STRATEGIES, pd.concat(tables))
    more = f" of the first of {1 + len(later)} generations" if later else ""
    context.say(
        f"strategies: {len(drawn)} candidates{more} over {len(space.groups)} groups of channels; the full network has "
        f"{space.full_cost.macs:,} MACs and {space.full_cost.params:,} parameters"
    )


def _allocated(params: Params, space: Space, shell: Shell) -> list[Strategy]:
    """What is worth trying before anything is drawn, by the trained network's activations."""
    network = load_network(params).to(choose_device(params.evaluate.device))
    subset = open_subset(CALIBRATION)
    images = decode(subset, range(min(params.importance.images, len(subset))), preprocess(params))
    doing("measuring what layers read")
    with one_thread():
        return starters(shell, measure_activations(params, network, space, images).errors)


def _require_storable(space: Space) -> None:
    """Say before the search, not after it, that its result cannot be saved."""
    if space.unstorable:
        more = f" (and {len(space.unstorable) - 1} more)" if len(space.unstorable) > 1 else ""
        raise ModelError(f"the pruned network could not be saved: {space.unstorable[0]}{more}")


def _groups(space: Space) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"group": index, "name": group.name, "channels": group.channels, "members": list(group.members)}
            for index, group in enumerate(space.groups)
        ]
    )
