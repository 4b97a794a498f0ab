"""Racing: few images for every candidate, more for those that may still win, all of them for the last few.

Successive halving (Jamieson and Talwalkar, 2016) with the elimination of racing algorithms (Maron and Moore, 1994):
comparisons are made on the same images, pair by pair.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eagleeye.errors import ConfigError
from eagleeye.task.confidence import Evidence
from eagleeye.task.scores import Order

KEEP = 8
"""Of so many candidates of a rung at most one goes on to the next."""
FEWEST = 4
"""Candidates that go on at least, unless their chance is gone."""
HOPE = 0.01
"""Candidates with a smaller chance to beat the leader do not go on."""
MANY = 128
"""Candidates from which on a rung between the first and the last pays."""


@dataclass(frozen=True)
class Rung:
    """How many images the candidates of one round of the race are scored with."""

    calibration: int
    sub_validation: int


@dataclass(frozen=True)
class Standing:
    """What a candidate showed in a rung."""

    merits: tuple[float, float]
    """What it is ordered by, larger is better; from `eagleeye.task.scores.Order.merits`."""
    evidence: Evidence
    """The ranking score on each sub-validation image of the rung."""


@dataclass(frozen=True)
class Scores:
    """What the evaluation of one candidate in one rung of the race found.

    Attributes:
        values: Scores on the sub-validation images, named as in `eagleeye.task.Task.columns`: after adaptive BN, and
            where asked for without recalibration.
        images: The scores after adaptive BN image by image, by name, as
            `eagleeye.task.confidence.Evidence.pack` packs them. Kept of all, about four bytes an
            image together, so that another score can rank without scoring anew.
        seconds: Wall-clock time of the evaluation; no part of the result.
    """

    values: Mapping[str, float]
    images: Mapping[str, bytes]
    seconds: float | None = None

    def standing(self, by: Order) -> Standing:
        """What the race looks at, if it is decided by this."""
        return Standing(by.merits(self.values), by.first.evidence.unpack(self.images[by.name]))


def plan(candidates: int, first: Rung, last: Rung, *, batch_size: int) -> tuple[Rung, ...]:
    """The rungs of a race.

    Args:
        candidates: How many start.
        first: Images of the first rung.
        last: All images there are.
        batch_size: Calibration images per batch: a rung ends with a whole batch, so that the next one goes on from it.

    Returns:
        First and last rung, with one of twice the first's images between them where there are many candidates. Only
        the last one where there are not more images than in the first, or a single candidate.

    Raises:
        ConfigError: The first rung has no image.
    """
    if min(first.calibration, first.sub_validation) < 1:
        raise ConfigError(f"first rung: {first.calibration} and {first.sub_validation} images; both must be at least 1")
    growing = [first, Rung(2 * first.calibration, 2 * first.sub_validation)][: 2 if candidates >= MANY else 1]
    shorter = [rung for rung in growing if candidates > 1 and rung.sub_validation < last.sub_validation]
    whole = [-(-rung.calibration // batch_size) * batch_size for rung in shorter]
    rungs = [Rung(min(c, last.calibration), rung.sub_validation) for c, rung in zip(whole, shorter, strict=True)]
    return (*rungs, last)


def places(candidates: int) -> int:
    """How many of a rung's candidates can go on at most."""
    return max(FEWEST, candidates // KEEP)


def in_order(standings: Mapping[str, Standing]) -> list[str]:
    """Ids of candidates, the best first: by the score that ranks, then the one that decides between equals, then id."""
    return sorted(standings, key=lambda name: (*(-merit for merit in standings[name].merits), name))


def survivors(standings: Mapping[str, Standing]) -> list[str]:
    """Who goes on to the next rung: the leader, and the best of those that may still beat it.

    Args:
        standings: Of all candidates of a rung, by id.

    Returns:
        Ids in order of their scores, at least two if there are two.
    """
    leader, *others = in_order(standings)[: places(len(standings))]
    best = standings[leader].evidence
    hopeful = [name for name in others if standings[name].evidence.chance_to_beat(best) >= HOPE]
    # The runner-up goes on in any case: how sure the winner is shows in comparison with it.
    return [leader, *(hopeful or others[:1])]
