"""Step 1 of 7: the clients in SQL, which is the truth about them, and which of their assertions were used.

Every call is bounded by two seconds: a sick database costs a clear error, never a hang.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from gateway.admission.client_record import ClientRecord, NewClient, check_new_client, checked_keys, new_client_id
from gateway.admission.client_tables import clients, used_assertions
from gateway.admission.sql import reading, writing
from gateway.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

KEPT_LONGER = timedelta(hours=1)
"""How long a used assertion is remembered beyond its end: the clocks of two nodes may differ."""


class ClientStore:
    """The tables of clients.

    Every method raises StoreUnavailable when the database cannot be reached, fails, or takes longer than two seconds.

    Args:
        engine: Of ``gateway.database``; whoever made it closes it.
        now: The clock, in UTC.
    """

    def __init__(self, engine: AsyncEngine, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._engine = engine
        self._now = now

    async def register(self, new: NewClient) -> ClientRecord:
        """Store a client under a new ID.

        Raises:
            InvalidParameter: A field does not fit; the detail names it.
        """
        now = self._now()
        check_new_client(new, now)
        jwks, jwks_url = checked_keys(new.jwks, new.jwks_url)
        client_id = new_client_id()
        row = {
            "client_id": client_id,
            "owner": new.owner.strip(),
            "tenant": new.tenant,
            "scopes": sorted(new.scopes),
            "plan": new.plan,
            "jwks": jwks,
            "jwks_url": jwks_url,
            "note": new.note,
            "created_by": new.created_by,
            "created_at": now,
            "expires_at": new.expires_at,
        }
        async with writing(self._engine) as connection:
            await connection.execute(insert(clients).values(row))
            return await _existing(connection, client_id, None)

    async def find(self, client_id: str) -> ClientRecord | None:
        """The client with this ID, whatever its state; None if there is none."""
        async with reading(self._engine) as connection:
            return await _read(connection, client_id)

    async def list(self, *, tenant: str | None = None, limit: int = 1000) -> tuple[ClientRecord, ...]:
        """The newest first, without those that were removed; those of one tenant if it is named."""
        some = select(clients).where(clients.c.removed_at.is_(None))
        if tenant is not None:
            some = some.where(clients.c.tenant == tenant)
        some = some.order_by(clients.c.created_at.desc(), clients.c.client_id).limit(limit)
        async with reading(self._engine) as connection:
            return tuple(_record(row) for row in await connection.execute(some))

    async def disable(self, client_id: str, *, tenant: str | None = None) -> ClientRecord:
        """Refuse the client and its tokens until it is enabled. Again changes nothing.

        Raises:
            NotFound: No such client, a removed one, or one of another tenant than the named one.
        """
        return await self._change(client_id, tenant, lambda record: {"disabled_at": record.disabled_at or self._now()})

    async def enable(self, client_id: str, *, tenant: str | None = None) -> ClientRecord:
        """Take it again. Raises as ``disable``."""
        return await self._change(client_id, tenant, lambda _: {"disabled_at": None})

    async def remove(self, client_id: str, *, tenant: str | None = None) -> ClientRecord:
        """End a client now and for good. Its row stays, for the audit log's sake. Raises as ``disable``."""
        return await self._change(client_id, tenant, lambda _: {"removed_at": self._now()})

    async def replace_keys(
        self, client_id: str, *, jwks: Mapping[str, Any] | None, jwks_url: str, tenant: str | None = None
    ) -> ClientRecord:
        """Give it other keys; those before count no more.

        Raises:
            InvalidParameter: They cannot be used.
            NotFound: As ``disable``.
        """
        stored, url = checked_keys(jwks, jwks_url)
        return await self._change(client_id, tenant, lambda _: {"jwks": stored, "jwks_url": url})

    async def use(self, client_id: str, token_id: str, *, expires_at: datetime) -> bool:
        """Note that an assertion was used; of any number of processes that try, one is told True.

        Durable when it returns: no restart, of the gateway or of Redis, lets an assertion be used again.

        Args:
            client_id: Whose.
            token_id: Its ``jti``.
            expires_at: After this it would be refused anyway.
        """
        now = self._now()
        row = {"digest": _digest(client_id, token_id), "expires_at": expires_at + KEPT_LONGER}
        try:
            async with writing(self._engine) as connection:
                await _insert(connection, row)
                await connection.execute(
                    update(clients).where(clients.c.client_id == client_id).values(last_used_at=now)
                )
        except _UsedBeforeError:
            return False
        return True

    async def forget_used(self) -> None:
        """Let go of the assertions that are too old to be used."""
        async with writing(self._engine) as connection:
            await connection.execute(delete(used_assertions).where(used_assertions.c.expires_at <= self._now()))

    async def _change(
        self, client_id: str, tenant: str | None, values: Callable[[ClientRecord], dict[str, Any]]
    ) -> ClientRecord:
        async with writing(self._engine) as connection:
            record = await _existing(connection, client_id, tenant)
            await connection.execute(update(clients).where(clients.c.client_id == client_id).values(values(record)))
            changed = await _read(connection, client_id)
        assert changed is not None
        return changed


class _UsedBeforeError(Exception):
    """The assertion stands in the table; ends the transaction."""


async def _insert(connection: AsyncConnection, row: dict[str, Any]) -> None:
    try:
        await connection.execute(insert(used_assertions).values(row))
    except IntegrityError:
        raise _UsedBeforeError from None


async def _read(connection: AsyncConnection, client_id: str) -> ClientRecord | None:
    row = (await connection.execute(select(clients).where(clients.c.client_id == client_id))).first()
    return _record(row) if row is not None else None


async def _existing(connection: AsyncConnection, client_id: str, tenant: str | None) -> ClientRecord:
    record = await _read(connection, client_id)
    if record is None or record.removed_at is not None or (tenant is not None and record.tenant != tenant):
        raise NotFound("No such client")
    return record


def _record(row: Row[Any]) -> ClientRecord:
    columns = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public way to a row's names
    return ClientRecord(**columns | {"scopes": frozenset(columns["scopes"])})


def _digest(client_id: str, token_id: str) -> bytes:
    return hashlib.sha256(f"{client_id}\n{token_id}".encode()).digest()
