"""Around step 5 of 7: which version of each model answers now: what an operator set last, or else what the file says.

SQL is the truth, and one row a model holds, so each process reads them again after half a second, and at once when it
is told of a change (``admission/changes.py``). No row is ever changed: a change adds one, and the rows before tell what
was. What was set holds while ``policies/models.yaml`` says the same about the model's versions as when it was set: who
writes another share or version into the file has decided anew.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Column, Integer, String, Table, Text, func, insert, select
from sqlalchemy.exc import IntegrityError

from gateway.admission.key_tables import UtcDateTime
from gateway.admission.recent import Recent
from gateway.admission.sql import reading, writing
from gateway.database import metadata
from gateway.errors import Conflict
from inference_client.routing import Route

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncEngine

    from gateway.admission.changes import Changes
    from gateway.models.offer import Offer

Action = Literal["canary", "rollback", "shadow", "load", "unload"]
ChangeReason = Literal["release", "canary", "incident", "maintenance", "model-fault", "test", "other"]
"""Codes, so that the audit record of a change holds no free text; a sentence may be noted beside it."""

model_routes = Table(
    "model_routes",
    metadata,
    Column("model", String(128), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("shares", Text, nullable=False),
    Column("shadow", String(16), nullable=False),
    Column("shadow_share", Integer, nullable=False),
    Column("unloaded", Text, nullable=False),
    Column("fallback", String(16), nullable=False),
    Column("offer", String(64), nullable=False),
    Column("action", String(16), nullable=False),
    Column("reason", String(32), nullable=False),
    Column("note", String(500), nullable=False),
    Column("changed_by", String(64), nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
)
"""One row for each change; of a model the one with the largest number holds."""


@dataclass(frozen=True, slots=True)
class Served:
    """How a model is served.

    Attributes:
        route: Who answers.
        unloaded: Versions that were taken from the model server: nobody can ask for them.
        fallback: The version that had all before the present shares were set; empty if there is none.
    """

    route: Route
    unloaded: frozenset[str] = frozenset()
    fallback: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """What an operator set.

    Attributes:
        number: Of the model's changes, from 1.
        served: What holds from then on.
        offer: Digest of what the file said (``Offer.digest``).
        action: What was asked for.
        reason: Why, as a code.
        note: Why, in a sentence; for the operators alone.
        changed_by: Key ID of who did it; ``cli`` for an operator at the machine.
        changed_at: When.
    """

    number: int
    served: Served
    offer: str
    action: Action
    reason: ChangeReason
    note: str
    changed_by: str
    changed_at: datetime


class Routes:
    """What holds, by model.

    Args:
        engine: Of ``gateway.database``; whoever made it closes it.
        cache_seconds: How long what was read is trusted.
        changes: Told of each change, and tells of those of others.
    """

    def __init__(self, engine: AsyncEngine, *, cache_seconds: float, changes: Changes | None = None) -> None:
        self._engine = engine
        self._changes = changes
        self._known = Recent(self._read, cache_seconds)
        self._last_read: dict[str, Change] = {}
        if changes is not None:
            changes.on("models", lambda _: self._known.forget())

    async def of(self, offer: Offer) -> Served:
        """How a model is served now. Raises StoreUnavailable if that cannot be found out."""
        return served_of(offer, (await self._known.get()).get(offer.name))

    def of_late(self, offer: Offer) -> Served:
        """How it was served when this process last looked: at once, for what may not keep a caller waiting."""
        return served_of(offer, self._last_read.get(offer.name))

    async def last(self, offer: Offer) -> Change | None:
        """The change that holds; None while the file does."""
        change = (await self._known.get()).get(offer.name)
        return change if change is not None and change.offer == offer.digest else None

    async def add(self, offer: Offer, change: Change) -> None:
        """Make it hold.

        Raises:
            Conflict: Another change has this number: what it was made from holds no longer.
            StoreUnavailable: It is not set.
        """
        served = change.served
        row = {
            "model": offer.name,
            "number": change.number,
            "shares": json.dumps(served.route.shares, sort_keys=True),
            "shadow": served.route.shadow,
            "shadow_share": served.route.shadow_share,
            "unloaded": json.dumps(sorted(served.unloaded)),
            "fallback": served.fallback,
            "offer": change.offer,
            "action": change.action,
            "reason": change.reason,
            "note": change.note,
            "changed_by": change.changed_by,
            "changed_at": change.changed_at,
        }
        async with writing(self._engine) as connection:
            try:
                await connection.execute(insert(model_routes).values(**row))
            except IntegrityError:
                raise Conflict("Someone else has changed this model meanwhile: look again") from None
        self._known.forget()
        if self._changes is not None:
            self._changes.tell("models", offer.name)

    async def newest(self, name: str) -> int:
        """The number of the model's last change, whether it holds or not; 0 if there was none."""
        self._known.forget()
        change = (await self._known.get()).get(name)
        return change.number if change is not None else 0

    async def _read(self) -> dict[str, Change]:
        last = select(model_routes.c.model, func.max(model_routes.c.number).label("number"))
        last_of = last.group_by(model_routes.c.model).subquery()
        same = (model_routes.c.model == last_of.c.model) & (model_routes.c.number == last_of.c.number)
        async with reading(self._engine) as connection:
            rows = await connection.execute(select(model_routes).join(last_of, same))
            self._last_read = {row.model: _change(row) for row in rows}
            return self._last_read


def served_of(offer: Offer, change: Change | None) -> Served:
    """What holds: the change, if it was made from what the file says now; else the file."""
    if change is None or change.offer != offer.digest:
        return Served(offer.route)
    return change.served


def moved(served: Served, shares: dict[str, int]) -> Served:
    """The same with other shares, and with the version to fall back to."""
    serving = served.route.serving
    fallback = served.route.main if len(serving) == 1 else served.fallback
    route = replace(served.route, shares=shares)
    if list(route.serving) == [fallback]:
        fallback = ""
    return replace(served, route=route, fallback=fallback)


def _change(row: Any) -> Change:
    route = Route(json.loads(row.shares), row.shadow, row.shadow_share)
    served = Served(route, frozenset(json.loads(row.unloaded)), row.fallback)
    return Change(row.number, served, row.offer, row.action, row.reason, row.note, row.changed_by, row.changed_at)
