"""What a pipeline says of candidates that are no better than guessing."""

NEAR_CHANCE = (
    "the ranking says little; likely causes: a budget too small for this network, strategies.max_rate too high, too "
    "few calibration images"
)
