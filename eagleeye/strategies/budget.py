"""What the thin network may cost."""

import math
from dataclasses import dataclass

from eagleeye.errors import ConfigError


@dataclass(frozen=True)
class Budget:
    """Targets, each as a fraction of the full network's cost (up to 1) or an absolute value (above 1); all must be met.

    A latency below one millisecond can only be given as a fraction.
    """

    macs: float | None = None
    params: float | None = None
    latency: float | None = None
    """Milliseconds for one batch on the device at hand; needs a predictor (`eagleeye.latency.profile`)."""
    tolerance: float = 0.005
    """Allowed distance from each target on either side, as a fraction of the full network's cost."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: None given, or one out of range.
        """
        if not self.targets:
            raise ConfigError("budget: neither macs, params nor latency is given; give one, e.g. Budget(macs=0.5)")
        for name, value in self.targets.items():
            if not 0 < value < math.inf:
                raise ConfigError(f"budget {name}: {value} must be positive: a fraction up to 1, or a value above 1")
        if not 0 <= self.tolerance < 1:
            raise ConfigError(f"budget tolerance: {self.tolerance} must lie in [0, 1), e.g. 0.005 for half a point")

    @property
    def targets(self) -> dict[str, float]:
        """The given targets by name."""
        every = {"macs": self.macs, "params": self.params, "latency": self.latency}
        return {name: value for name, value in every.items() if value is not None}
