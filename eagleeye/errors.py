"""Every error a user can cause, by cause; each message is one line: culprit, value, what is allowed, way out."""


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
