"""Measurements of the project against the published protocol."""
