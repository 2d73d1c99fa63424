"""The batch tool: what became of one input."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self, TypeAlias

from gateway.batch.errors import NotTaken
from gateway.errors import GatewayError
from gateway.isolation import WorkerDefect

if TYPE_CHECKING:
    from gateway.batch.journal import Entry

Status: TypeAlias = Literal["done", "before", "again", "skipped", "failed"]
"""De-identified now; in an earlier run; the same bytes as another input; no image; not de-identified."""

DEFECT = "internal"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one input.

    Attributes:
        shown: How the operator is told of the input. Identifying.
        mark: Stands for the input in reports.
        status: See ``Status``.
        size: The input's bytes.
        problem: The reason in one word, if it failed or was skipped.
        reason: The same as a sentence; holds no value and no path.
        entry: The output, if there is one.
    """

    shown: str = field(repr=False)
    mark: str
    status: Status
    size: int = 0
    problem: str = ""
    reason: str = ""
    entry: Entry | None = None

    @classmethod
    def of_error(cls, shown: str, mark: str, size: int, error: Exception) -> Self:
        """From what was raised for this input.

        Raises:
            Exception: ``error`` itself, if it is none that one input can cause.
        """
        match error:
            case NotTaken():
                status: Status = "skipped" if error.skipped else "failed"
                return cls(shown, mark, status, size, error.slug, error.reason)
            case GatewayError():
                return cls(shown, mark, "failed", size, error.slug, error.detail or error.title)
            case WorkerDefect():
                return cls(shown, mark, "failed", size, DEFECT, f"A defect of this program: {error}")
            case OSError():
                return cls(shown, mark, "failed", size, "system", f"The system refused: {error.strerror}")
        raise error
