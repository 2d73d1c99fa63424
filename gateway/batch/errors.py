"""The batch tool's errors: why one input is not taken, and why a run cannot start."""

from __future__ import annotations

from typing import Self


class CannotStart(Exception):
    """The run cannot start as it was asked for; one sentence says why and what to do. Names folders, never contents."""


class NotTaken(Exception):
    """One file, folder or zip member is not read. The run goes on.

    Attributes:
        slug: The reason in one word, the same for the same reason: it stands in the report.
        reason: One sentence without a path or a value.
        skipped: True: nothing is missing, as it is no image. False: it failed.
    """

    def __init__(self, slug: str, reason: str, *, skipped: bool = False) -> None:
        super().__init__(reason)
        self.slug = slug
        self.reason = reason
        self.skipped = skipped

    @classmethod
    def from_os(cls, error: OSError) -> Self:
        """It cannot be read. The system's text for the number is taken, not its message: that quotes the path."""
        return cls("unreadable-file", f"It cannot be read: {error.strerror or type(error).__name__}")

    @classmethod
    def not_written(cls, error: OSError) -> Self:
        """Its output cannot be written."""
        return cls("not-written", f"The output cannot be written: {error.strerror or type(error).__name__}")
