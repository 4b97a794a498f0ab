import numpy as np
import pytest

from eagleeye.report.verdicts import verdict, verdicts
from eagleeye.scoring.paired import Paired
from eagleeye.task import Errors, Hits

SPACE, MINUS = "\N{NO-BREAK SPACE}", "\N{MINUS SIGN}"


def test_a_tie_is_called_one_and_says_what_would_decide_it() -> None:
    told = verdict(Paired(0.004, -0.012, 0.02, 360, 9, 9 / 360 - 0.004**2), "the evenly pruned network")
    wanted = f"0.4{SPACE}points better than the evenly pruned network"
    wanted += f" (95% interval {MINUS}1.2 to +2.0, 360 test images): a tie"
    assert told.startswith(wanted)
    # 1.96² (9/360 - 0.004²) / 0.004² = 5,998
    assert "some 6,000 test images, or fine-tuning with several seeds, would decide" in told


def test_what_is_decided_is_said_without_more() -> None:
    told = verdict(Paired(-0.012, -0.02, -0.004, 10_000, 800, 0.08), "the full network")
    assert (
        told
        == f"1.2{SPACE}points worse than the full network (95% interval {MINUS}2.0 to {MINUS}0.4, 10,000 test images)"
    )


def test_equal_networks_are_not_promised_a_decision() -> None:
    told = verdict(Paired(0.0, -0.01, 0.01, 300, 4, 4 / 300), "the full network")
    assert told.startswith("exactly as good as the full network (")
    assert "hardly decide" in told


@pytest.mark.parametrize("even", [None, Hits(np.array([True, False]))])
def test_there_is_a_sentence_for_every_rival(even: Hits | None) -> None:
    winner, full = (Hits(np.array([True, last])) for last in (True, False))
    told = verdicts("s0017", winner, full, even)
    assert len(told) == (1 if even is None else 2)
    assert all(line.startswith("s0017: ") and line.endswith(".") for line in told)


def test_what_is_no_share_is_told_in_its_own_unit() -> None:
    winner, full = Errors(np.array([0.5, 0.25, 0.75])), Errors(np.array([1.0, 0.75, 1.25]))
    (told,) = verdicts("s0017", winner, full, None)
    assert told.startswith(f"s0017: 0.5000{SPACE}in the targets' unit better than the full network")
