"""The record of a search in MLflow."""
