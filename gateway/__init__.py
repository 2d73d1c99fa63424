"""Cordon: a hardened gateway between hospitals and their image models."""

__version__ = "0.1.0"
