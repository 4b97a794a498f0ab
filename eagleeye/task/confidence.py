"""How sure a ranking is: intervals of scores, and the chance that one candidate really beats another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy import special

LEVEL = 0.95
_COUNT = 4  # bytes in front of packed values: how many there are


@dataclass(frozen=True, eq=False)
class Evidence(ABC):
    """A score of one candidate, image by image; the score is the mean.

    Args:
        values: One per sub-validation image, in the images' order.
    """

    values: npt.NDArray[Any]
    sign: ClassVar[int]
    """1, or -1 where less is better."""
    factor: ClassVar[int]
    """What the score is multiplied by where it is drawn."""
    unit: ClassVar[str]
    """The unit that it has then."""

    @staticmethod
    @abstractmethod
    def text(value: float, *, exact: bool = True) -> str:
        """The score, or the end of an interval, for people; not exact: to as many digits as an interval deserves."""

    @abstractmethod
    def interval(self) -> tuple[float, float]:
        """Where the score is to be expected on ever more such images, level 95 %.

        It is one candidate's own; differences between candidates scored on the same images are surer
        (`chance_to_beat`).
        """

    @abstractmethod
    def chance_to_beat(self, other: Self) -> float:
        """The probability that this candidate is better than another on ever more images like these.

        Both are compared image by image.

        Args:
            other: The other's, of the same score; the images that both were scored on are compared.

        Returns:
            In [0, 1]; 0.5 where they do not differ.
        """

    def pack(self) -> bytes:
        """Bytes for tables and databases: the number of images, then what `_encoded` makes of the values."""
        return len(self.values).to_bytes(_COUNT, "little") + self._encoded()

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """What `pack` packed."""
        return cls(cls._decoded(packed[_COUNT:], int.from_bytes(packed[:_COUNT], "little")))

    @abstractmethod
    def _encoded(self) -> bytes: ...

    @staticmethod
    @abstractmethod
    def _decoded(encoded: bytes, count: int) -> npt.NDArray[Any]: ...

    def _shared(self, other: Self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        shared = min(len(self.values), len(other.values))
        return self.values[:shared], other.values[:shared]


class Hits(Evidence):
    """Right or wrong (bool); more is better. A bit per image."""

    sign = 1
    factor = 100
    unit = "%"

    @staticmethod
    def text(value: float, *, exact: bool = True) -> str:
        """Per cent; see `Evidence.text`."""
        return f"{value:{'.2%' if exact else '.1%'}}"

    def interval(self) -> tuple[float, float]:
        """Wilson's interval of the share; see `Evidence.interval`."""
        from scipy import stats

        found = stats.binomtest(int(self.values.sum()), len(self.values)).proportion_ci(LEVEL, method="wilson")
        return float(found.low), float(found.high)

    def chance_to_beat(self, other: Self) -> float:
        """See `Evidence.chance_to_beat`.

        Only images count on which one is right and the other is wrong: of those, the share that the better one wins has
        a Beta distribution (uniform prior), as in McNemar's test.
        """
        mine, theirs = self._shared(other)
        won = int((mine & ~theirs).sum())
        lost = int((theirs & ~mine).sum())
        return float(special.betaincc(won + 1, lost + 1, 0.5))

    def _encoded(self) -> bytes:
        return np.packbits(self.values).tobytes()

    @staticmethod
    def _decoded(encoded: bytes, count: int) -> npt.NDArray[Any]:
        return np.unpackbits(np.frombuffer(encoded, dtype=np.uint8), count=count).astype(bool)


class Means(Evidence):
    """A number per image (float). Two bytes for each: their rounding is far below what images differ by."""

    lowest: ClassVar[float] = 0.0
    """No score is below it."""

    def interval(self) -> tuple[float, float]:
        """Student's interval of the mean, of one image infinite; see `Evidence.interval`."""
        values = self.values.astype(np.float64)
        count = len(self.values)
        if count < 2:
            return self.lowest, float("inf")
        half = -float(special.stdtrit(count - 1, (1 - LEVEL) / 2)) * values.std(ddof=1) / np.sqrt(count)
        return max(self.lowest, float(values.mean() - half)), float(values.mean() + half)

    def chance_to_beat(self, other: Self) -> float:
        """See `Evidence.chance_to_beat`.

        The mean difference has Student's distribution (flat prior; of many images, the normal one). As with `Hits`, one
        more image is won and one lost, by as much as images typically differ: a few images make nobody sure, not even
        where all of them differ alike.
        """
        mine, theirs = (each.astype(np.float64) for each in self._shared(other))
        won = self.sign * (mine - theirs)
        typical = np.sqrt((won**2).mean()) if len(won) else 0.0
        if typical == 0:
            return 0.5
        won = np.append(won, [typical, -typical])
        return float(special.stdtr(len(won) - 1, won.mean() / (won.std(ddof=1) / np.sqrt(len(won)))))

    def _encoded(self) -> bytes:
        packed: bytes = np.minimum(self.values, np.finfo(np.float16).max).astype("<f2").tobytes()
        return packed

    @staticmethod
    def _decoded(encoded: bytes, count: int) -> npt.NDArray[Any]:
        return np.frombuffer(encoded, dtype="<f2", count=count)


class Losses(Means):
    """Nats; less is better."""

    sign = -1
    factor = 1
    unit = "nats"

    @staticmethod
    def text(value: float, *, exact: bool = True) -> str:
        """Nats; see `Evidence.text`."""
        return f"{value:{'.4f' if exact else '.3f'}}"


class Errors(Losses):
    """Distances from targets, in their unit; less is better."""

    unit = "in the targets' unit"


class Distances(Means):
    """Relative distances; less is better."""

    sign = -1
    factor = 100
    unit = "%"
    text = staticmethod(Hits.text)


class Shares(Means):
    """Fractions, an overlap or a similarity, of every image; more is better."""

    sign = 1
    factor = 100
    unit = "%"
    lowest = -1.0
    text = staticmethod(Hits.text)
