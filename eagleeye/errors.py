"""Every error a user can cause, by cause; each message is one line: culprit, value, what is allowed, way out."""

import difflib
from collections.abc import Collection, Sequence


class EagleEyeError(Exception):
    """Base class: whatever the user can mend. Everything else is a defect of this project."""


class ConfigError(EagleEyeError):
    """A setting is unknown, contradictory or out of range."""


class DataError(EagleEyeError):
    """A data set is missing, damaged or does not fit the model."""


class ModelError(EagleEyeError):
    """A model cannot be built, or its weights are unusable."""


class CheckpointError(ModelError):
    """A checkpoint is missing, damaged or does not fit the model."""


class TraceError(ModelError):
    """A network's graph cannot be followed."""


class StrategyError(EagleEyeError):
    """A strategy does not fit the space it is used with."""


class BudgetError(EagleEyeError):
    """No strategy, or too few, meet the budget."""


class EvaluationError(EagleEyeError):
    """A candidate cannot be scored."""


class ArtifactError(EagleEyeError):
    """A saved network is damaged or cannot be written."""


def none_of(name: str, known: Collection[str], also: str = "") -> str:
    """Say that a name is unknown, where few are known, and which of them may be meant.

    Args:
        name: The unknown name.
        known: All known ones.
        also: What else is allowed.

    Returns:
        To follow what the name is for, e.g. ``'l3' is none of l1, l2; did you mean l1?``.
    """
    hint = did_you_mean(name, known)
    return f"{name!r} is none of {', '.join(known)}{f', nor {also}' if also else ''}{hint and f'; {hint}'}"


def did_you_mean(name: str, known: Collection[str]) -> str:
    """Ask whether the known name that is closest to an unknown one is meant; empty where none is close.

    Args:
        name: The unknown name.
        known: All known ones.
    """
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else ""


def close_names(name: str, known: Sequence[str], otherwise: Sequence[str]) -> str:
    """Which names may be meant by an unknown one, where too many are known to list them.

    Args:
        name: The unknown name.
        known: All known ones.
        otherwise: Examples for names that are close to none.

    Returns:
        E.g. ``close names: resnet50, resnet18``.
    """
    return f"close names: {', '.join(difflib.get_close_matches(name, known, n=4, cutoff=0.5) or otherwise)}"
