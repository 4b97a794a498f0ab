"""The work on one item, wherever that is done: a score, a fit, a test."""
