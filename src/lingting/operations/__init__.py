"""Logs, metrics, health, draining."""
