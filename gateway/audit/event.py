"""Step 7 of 7: what every event has, and which values a record may hold."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, ClassVar, Literal

from gateway.audit.chain import MAX_INTEGER

Outcome = Literal["success", "refused", "failed"]

SYSTEM = "system"
"""The actor of what the gateway does by itself."""
ANONYMOUS = "anonymous"
"""The actor of a request without a good credential."""

MAX_TEXT = 200
"""Longest text in a record, in characters."""


class UnfitEvent(ValueError):
    """A field that must not be recorded: a defect of the code that made the event. Names the field, not the value."""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """The root of all event types.

    Attributes:
        request_id: Correlation ID.
        actor: Key ID of who did it; ``system`` for the gateway itself.
        tenant: The actor's tenant.
    """

    type_name: ClassVar[str] = ""

    request_id: str
    actor: str
    tenant: str


def plain_fields(event: AuditEvent) -> dict[str, Any]:
    """The event's fields in types that JSON has.

    A number that is not whole becomes decimal text, for the canonical form has whole numbers alone.

    Raises:
        UnfitEvent: A value is of another type, too long, too large, or holds a character that does not print.
    """
    return {name: _plain(getattr(event, name), name) for name in _names_of(type(event))}  # type: ignore[arg-type] # mypy takes it for an instance


@lru_cache
def _names_of(kind: type[AuditEvent]) -> tuple[str, ...]:
    return tuple(each.name for each in fields(kind))


def _plain(value: object, where: str) -> Any:
    match value:
        case str():
            if len(value) > MAX_TEXT or not value.isprintable():
                raise UnfitEvent(f"{where}: longer than {MAX_TEXT} characters, or with characters that do not print")
            return str(value)
        case bool() | None:
            return value
        case int():
            if abs(value) > MAX_INTEGER:
                raise UnfitEvent(f"{where}: a whole number beyond 53 bits")
            return int(value)
        case float():
            return f"{value:.12g}"
        case tuple() | list():
            return [_plain(each, where) for each in value]
        case dict():
            return {_name(name, where): _plain(each, where) for name, each in value.items()}
    raise UnfitEvent(f"{where}: a {type(value).__name__} cannot be recorded")


def _name(name: object, where: str) -> str:
    if not isinstance(name, str) or not name.isascii():
        raise UnfitEvent(f"{where}: a name that is not ASCII text")
    return str(_plain(name, where))
