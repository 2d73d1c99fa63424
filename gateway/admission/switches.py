"""Step 1 of 7: what an operator has switched off: everything, a tenant, a key, a model. Holds within a second.

SQL is the truth, and what is off is few rows, so each process reads all of them again after half a second, and at once
when it is told of a change (``changes.py``). A switch does not end what is running.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, get_args

from sqlalchemy import Column, String, Table, delete, insert, select

from gateway.admission.key_tables import UtcDateTime
from gateway.admission.recent import Recent
from gateway.admission.sql import reading, writing
from gateway.database import metadata
from gateway.errors import InvalidParameter, Suspended, SwitchedOff

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from gateway.admission.access import RouteRule
    from gateway.admission.changes import Changes
    from gateway.admission.principal import Principal

Kind = Literal["all", "tenant", "key", "model"]
SwitchReason = Literal["incident", "maintenance", "abuse", "leak", "contract", "model-fault", "test", "other"]
"""Codes, so that the audit record of a switch holds no free text; a sentence may be noted beside it."""

KINDS: tuple[Kind, ...] = get_args(Kind)
EVERYTHING = "all"
RETRY_SECONDS = 30.0

switches = Table(
    "switches",
    metadata,
    Column("kind", String(16), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("reason", String(32), nullable=False),
    Column("note", String(500), nullable=False),
    Column("switched_by", String(64), nullable=False),
    Column("switched_at", UtcDateTime, nullable=False),
)
"""One row for each thing that is off."""


@dataclass(frozen=True, slots=True)
class Switch:
    """Something that is off.

    Attributes:
        kind: What it is.
        name: The tenant, the key's public ID, the model; ``all`` for everything.
        reason: Why, as a code.
        note: Why, in a sentence; for the operators alone.
        switched_by: Key ID of who did it; ``cli`` for an operator at the machine.
        switched_at: When.
    """

    kind: Kind
    name: str
    reason: SwitchReason
    note: str
    switched_by: str
    switched_at: datetime


class Switches:
    """The switches.

    Args:
        engine: Of ``gateway.database``; whoever made it closes it.
        cache_seconds: How long they are trusted, counted from when the look at them began.
        now: The clock, in UTC.
        changes: Told of each change, and tells of those of others.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        cache_seconds: float,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        changes: Changes | None = None,
    ) -> None:
        self._engine = engine
        self._now = now
        self._changes = changes
        self._known = Recent(self._read, cache_seconds)
        if changes is not None:
            changes.on("switches", lambda _: self._known.forget())

    async def check(self, principal: Principal, rule: RouteRule) -> None:
        """Let the caller pass, or not.

        Raises:
            Suspended: The key or its tenant is off, for every route.
            SwitchedOff: Everything is off, and the route is one of those that this means.
            StoreUnavailable: What is off cannot be found out.
        """
        off = await self._known.get()
        if off and (("key", principal.key_id) in off or ("tenant", principal.tenant) in off):
            raise Suspended("This credential is suspended by the operator")
        if off and rule.switchable and ("all", EVERYTHING) in off:
            raise SwitchedOff("The service is switched off by the operator", retry_after=RETRY_SECONDS)

    async def check_model(self, name: str) -> None:
        """Raises SwitchedOff if the model is off; StoreUnavailable if that cannot be found out."""
        if ("model", name) in await self._known.get():
            raise SwitchedOff("The model is switched off by the operator", retry_after=RETRY_SECONDS)

    async def list(self) -> tuple[Switch, ...]:
        """What is off, the newest first."""
        async with reading(self._engine) as connection:
            rows = await connection.execute(select(switches).order_by(switches.c.switched_at.desc(), switches.c.name))
            return tuple(Switch(*row) for row in rows)

    async def turn_off(self, kind: Kind, name: str, *, reason: SwitchReason, note: str = "", by: str) -> Switch:
        """Switch something off; again gives it the new reason.

        Raises:
            InvalidParameter: No such kind, or a name or note that does not fit.
        """
        check_target(kind, name)
        if len(note) > 500 or not note.isprintable():
            raise InvalidParameter("The note must have at most 500 printable characters", parameter="note")
        switch = Switch(kind, name, reason, note, by, self._now())
        async with writing(self._engine) as connection:
            await connection.execute(_row(kind, name))
            await connection.execute(
                insert(switches).values(
                    kind=kind, name=name, reason=reason, note=note, switched_by=by, switched_at=switch.switched_at
                )
            )
        self._tell()
        return switch

    async def turn_on(self, kind: Kind, name: str) -> bool:
        """Switch something on again. Whether it was off."""
        async with writing(self._engine) as connection:
            found = await connection.execute(_row(kind, name))
        self._tell()
        return found.rowcount > 0

    def _tell(self) -> None:
        self._known.forget()
        if self._changes is not None:
            self._changes.tell("switches")

    async def _read(self) -> frozenset[tuple[str, str]]:
        async with reading(self._engine) as connection:
            rows = await connection.execute(select(switches.c.kind, switches.c.name))
            return frozenset((row.kind, row.name) for row in rows)


def check_target(kind: str, name: str) -> None:
    """Refuse what can be no switch.

    Raises:
        InvalidParameter: Names what does not fit.
    """
    if kind not in KINDS:
        raise InvalidParameter(f"A switch is one of: {', '.join(KINDS)}", parameter="kind")
    if not 1 <= len(name) <= 128 or not name.isprintable():
        raise InvalidParameter("The name must have 1 to 128 printable characters", parameter="name")
    if (kind == EVERYTHING) != (name == EVERYTHING):
        raise InvalidParameter("Everything is switched as kind all, name all", parameter="name")


def _row(kind: Kind, name: str):  # type: ignore[no-untyped-def] # noqa: ANN202 - SQLAlchemy's own
    return delete(switches).where(switches.c.kind == kind, switches.c.name == name)
