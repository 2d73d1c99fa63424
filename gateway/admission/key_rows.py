"""Step 1 of 7: the rows of keys and their secrets, read and written on a connection that the caller holds.

One function a change, so that what is done at once and what was approved first are the same statements.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, and_, delete, insert, or_, select, update

from gateway.admission.key_record import KeyRecord, KeySecret
from gateway.admission.key_tables import api_key_secrets, api_keys
from gateway.errors import InvalidParameter, NotFound, PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime, timedelta

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.admission.key_record import NewKey


def joined() -> Select[Any]:
    """Keys, the newest first, one row for each of their secrets."""
    secrets = api_key_secrets.c
    return (
        select(api_keys, secrets.digest, secrets.expires_at.label("secret_expires_at"))
        .join_from(api_keys, api_key_secrets, isouter=True)
        .order_by(api_keys.c.created_at.desc(), api_keys.c.key_id, secrets.created_at)
    )


async def read(connection: AsyncConnection, key_id: str) -> KeyRecord | None:
    """The key; None if there is none."""
    rows = await connection.execute(joined().where(api_keys.c.key_id == key_id))
    return next(iter(records(rows)), None)


async def existing(connection: AsyncConnection, key_id: str, tenant: str | None) -> KeyRecord:
    """The key. Raises NotFound if there is none, or it is of another tenant than the named one."""
    record = await read(connection, key_id)
    if record is None or (tenant is not None and record.tenant != tenant):
        raise NotFound("No such key")
    return record


async def add(connection: AsyncConnection, key_id: str, new: NewKey, digest: bytes, now: datetime) -> KeyRecord:
    """A key with its first secret."""
    row = _columns(new) | {
        "key_id": key_id,
        "tenant": new.tenant,
        "created_by": new.created_by,
        "created_at": now,
        "revision": 1,
        "break_glass": new.break_glass,
    }
    await connection.execute(insert(api_keys).values(row))
    await _add_secret(connection, key_id, digest, now)
    return await existing(connection, key_id, None)


async def change(connection: AsyncConnection, key_id: str, new: NewKey, revision: int) -> KeyRecord:
    """The key as ``new`` says, if it is at this revision still.

    Raises:
        InvalidParameter: It is revoked.
        NotFound: There is none.
        PreconditionFailed: It was changed meanwhile.
    """
    done = await connection.execute(
        update(api_keys)
        .where(api_keys.c.key_id == key_id, api_keys.c.revision == revision, api_keys.c.revoked_at.is_(None))
        .values(_columns(new) | {"revision": revision + 1})
    )
    record = await existing(connection, key_id, None)
    if done.rowcount == 0:
        if record.revoked_at is not None:
            raise InvalidParameter("The key is revoked: it cannot be changed", parameter="key_id")
        raise PreconditionFailed("The key was changed since: look at it again")
    return record


async def rotate(
    connection: AsyncConnection, key_id: str, digest: bytes, overlap: timedelta, now: datetime
) -> KeyRecord:
    """Another secret. Those before it stay good for ``overlap``, and never longer than they were.

    Raises:
        InvalidParameter: The key has expired or is revoked.
        NotFound: There is none.
    """
    status = (await existing(connection, key_id, None)).status(now)
    if status != "active":
        raise InvalidParameter(f"The key is {status}: it cannot be rotated", parameter="key_id")
    ends = now + overlap
    secrets = api_key_secrets.c
    later = or_(secrets.expires_at.is_(None), secrets.expires_at > ends)
    await connection.execute(delete(api_key_secrets).where(and_(secrets.key_id == key_id, secrets.expires_at <= now)))
    await connection.execute(
        update(api_key_secrets).where(and_(secrets.key_id == key_id, later)).values(expires_at=ends)
    )
    await _add_secret(connection, key_id, digest, now)
    await _count(connection, key_id)
    return await existing(connection, key_id, None)


async def revoke(connection: AsyncConnection, key_id: str, now: datetime) -> None:
    """End it; again changes nothing."""
    done = await connection.execute(
        update(api_keys).where(api_keys.c.key_id == key_id, api_keys.c.revoked_at.is_(None)).values(revoked_at=now)
    )
    if done.rowcount:
        await _count(connection, key_id)


def records(rows: Iterable[Row[Any]]) -> tuple[KeyRecord, ...]:
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
            revision=row.revision,
            limits=tuple(sorted((row.limits or {}).items())),
            break_glass=row.break_glass,
        )
        for key_id, row in heads.items()
    )


def _columns(new: NewKey) -> dict[str, Any]:
    """What both an issue and an update write."""
    return {
        "owner": new.owner.strip(),
        "scopes": sorted(new.scopes),
        "plan": new.plan,
        "addresses": [str(ipaddress.ip_network(address)) for address in new.addresses],
        "note": new.note,
        "expires_at": new.expires_at,
        "limits": dict(new.limits) or None,
    }


async def _add_secret(connection: AsyncConnection, key_id: str, digest: bytes, now: datetime) -> None:
    row = {"digest": digest, "key_id": key_id, "created_at": now}
    await connection.execute(insert(api_key_secrets).values(row))


async def _count(connection: AsyncConnection, key_id: str) -> None:
    counted = {"revision": api_keys.c.revision + 1}
    await connection.execute(update(api_keys).where(api_keys.c.key_id == key_id).values(counted))
