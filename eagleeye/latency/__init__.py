"""Latency: measured, and predicted from tables of single layers."""
