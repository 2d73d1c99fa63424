"""Logs: structured, correlated, and free of identifiers."""
