"""The one-machine stack: what can go wrong, said so that the reader knows what to do."""

from __future__ import annotations


class StackError(Exception):
    """A part could not be started or stopped. The message is complete: what failed, and what mends it."""


class StartFailed(StackError):
    """A child ended before it was ready, or was not ready in time."""
