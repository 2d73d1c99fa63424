"""Step 1 of 7: the keys in SQL, which is the truth about them: issue, find, list, rotate, revoke.

Every call is bounded by two seconds: a sick database costs a clear error, never a hang.
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, and_, delete, insert, or_, select, update

from gateway.admission.key_record import KeyRecord, KeySecret, NewKey, check_new_key
from gateway.admission.key_tables import api_key_secrets, api_keys
from gateway.admission.sql import reading, writing
from gateway.errors import InvalidParameter, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from gateway.admission.keys import IssuedKey, KeyMaker

MAX_OVERLAP = timedelta(days=7)


class KeyStore:
    """The tables of keys.

    Every method raises StoreUnavailable when the database cannot be reached, fails, or takes longer than two seconds.

    Args:
        engine: Of ``gateway.database``; whoever made it closes it.
        maker: Makes the secrets and their digests.
        now: The clock, in UTC.
    """

    def __init__(
        self, engine: AsyncEngine, maker: KeyMaker, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._engine = engine
        self._maker = maker
        self._now = now

    async def issue(self, new: NewKey) -> tuple[KeyRecord, IssuedKey]:
        """Make and store a key. The secret is in the second part of the answer, and nowhere else ever again.

        Raises:
            InvalidParameter: A field does not fit; the detail names it.
        """
        now = self._now()
        check_new_key(new, now)
        issued = self._maker.issue()
        row = {
            "key_id": issued.key_id,
            "owner": new.owner.strip(),
            "tenant": new.tenant,
            "scopes": sorted(new.scopes),
            "plan": new.plan,
            "addresses": [str(ipaddress.ip_network(address)) for address in new.addresses],
            "note": new.note,
            "created_by": new.created_by,
            "created_at": now,
            "expires_at": new.expires_at,
        }
        async with writing(self._engine) as connection:
            await connection.execute(insert(api_keys).values(row))
            await _add_secret(connection, issued, now)
            record = await _read(connection, issued.key_id)
        assert record is not None
        return record, issued

    async def find(self, key_id: str) -> KeyRecord | None:
        """The key with this ID, whatever its state; None if there is none."""
        async with reading(self._engine) as connection:
            return await _read(connection, key_id)

    async def list(self, *, tenant: str | None = None, limit: int = 1000) -> tuple[KeyRecord, ...]:
        """The newest keys first; those of one tenant if it is named."""
        some = select(api_keys.c.key_id).order_by(api_keys.c.created_at.desc(), api_keys.c.key_id).limit(limit)
        if tenant is not None:
            some = some.where(api_keys.c.tenant == tenant)
        async with reading(self._engine) as connection:
            rows = await connection.execute(_joined().where(api_keys.c.key_id.in_(some.scalar_subquery())))
            return _records(rows)

    async def revoke(self, key_id: str, *, tenant: str | None = None) -> KeyRecord:
        """End a key now and for good. Revoking it again changes nothing.

        Raises:
            NotFound: No such key, or one of another tenant than the named one.
        """
        async with writing(self._engine) as connection:
            record = await _existing(connection, key_id, tenant)
            if record.revoked_at is None:
                await connection.execute(
                    update(api_keys).where(api_keys.c.key_id == key_id).values(revoked_at=self._now())
                )
            return await _existing(connection, key_id, tenant)

    async def rotate(
        self, key_id: str, *, overlap: timedelta = timedelta(0), tenant: str | None = None
    ) -> tuple[KeyRecord, IssuedKey]:
        """Give a key a new secret. Those before it stay good for ``overlap``, and never longer than they were.

        Raises:
            InvalidParameter: The overlap is negative or longer than seven days, or the key has expired or is revoked.
            NotFound: No such key, or one of another tenant than the named one.
        """
        if not timedelta(0) <= overlap <= MAX_OVERLAP:
            raise InvalidParameter(f"The overlap must be between 0 and {MAX_OVERLAP.days} days", parameter="overlap")
        now = self._now()
        ends = now + overlap
        issued = self._maker.issue(key_id)
        async with writing(self._engine) as connection:
            record = await _existing(connection, key_id, tenant)
            status = record.status(now)
            if status != "active":
                raise InvalidParameter(f"The key is {status}: it cannot be rotated", parameter="key_id")
            secrets = api_key_secrets.c
            later = or_(secrets.expires_at.is_(None), secrets.expires_at > ends)
            await connection.execute(
                delete(api_key_secrets).where(and_(secrets.key_id == key_id, secrets.expires_at <= now))
            )
            await connection.execute(
                update(api_key_secrets).where(and_(secrets.key_id == key_id, later)).values(expires_at=ends)
            )
            await _add_secret(connection, issued, now)
            return await _existing(connection, key_id, tenant), issued

    async def touch(self, key_id: str, *, resolution: timedelta) -> None:
        """Note that a key was used; at most one write a ``resolution``, however many workers see it."""
        now = self._now()
        used = api_keys.c.last_used_at
        stale = or_(used.is_(None), used < now - resolution)
        async with writing(self._engine) as connection:
            await connection.execute(
                update(api_keys).where(and_(api_keys.c.key_id == key_id, stale)).values(last_used_at=now)
            )

    async def rehash(self, old: bytes, new: bytes) -> None:
        """Store a secret's digest anew, under the present pepper. Does nothing if that was done already."""
        async with writing(self._engine) as connection:
            await connection.execute(update(api_key_secrets).where(api_key_secrets.c.digest == old).values(digest=new))

    async def ping(self) -> None:
        """Read from the table."""
        async with reading(self._engine) as connection:
            await connection.execute(select(api_keys.c.key_id).limit(1))


def _joined() -> Select[Any]:
    secrets = api_key_secrets.c
    return (
        select(api_keys, secrets.digest, secrets.expires_at.label("secret_expires_at"))
        .join_from(api_keys, api_key_secrets, isouter=True)
        .order_by(api_keys.c.created_at.desc(), api_keys.c.key_id, secrets.created_at)
    )


async def _read(connection: AsyncConnection, key_id: str) -> KeyRecord | None:
    rows = await connection.execute(_joined().where(api_keys.c.key_id == key_id))
    return next(iter(_records(rows)), None)


async def _existing(connection: AsyncConnection, key_id: str, tenant: str | None) -> KeyRecord:
    record = await _read(connection, key_id)
    if record is None or (tenant is not None and record.tenant != tenant):
        raise NotFound("No such key")
    return record


async def _add_secret(connection: AsyncConnection, issued: IssuedKey, now: datetime) -> None:
    row = {"digest": issued.digest, "key_id": issued.key_id, "created_at": now}
    await connection.execute(insert(api_key_secrets).values(row))


def _records(rows: Iterable[Row[Any]]) -> tuple[KeyRecord, ...]:
    """Fold the joined rows: one a secret becomes one a key."""
    heads: dict[str, Row[Any]] = {}
    secrets: dict[str, list[KeySecret]] = {}
    for row in rows:
        heads.setdefault(row.key_id, row)
        found = secrets.setdefault(row.key_id, [])
        if row.digest is not None:
            found.append(KeySecret(row.digest, row.secret_expires_at))
    return tuple(
        KeyRecord(
            key_id=key_id,
            owner=row.owner,
            tenant=row.tenant,
            scopes=frozenset(row.scopes),
            plan=row.plan,
            created_at=row.created_at,
            created_by=row.created_by,
            note=row.note,
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
            last_used_at=row.last_used_at,
            addresses=tuple(row.addresses),
            secrets=tuple(secrets[key_id]),
        )
        for key_id, row in heads.items()
    )
