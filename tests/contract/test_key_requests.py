"""Updates of keys, and requests that wait, keep their word on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from gateway.admission.key_request import KeyRequest
from gateway.admission.key_requests import KeyRequests
from gateway.admission.key_store import KeyStore
from gateway.admission.key_tables import api_keys, key_requests
from gateway.database import create_engine
from gateway.errors import Conflict, InvalidParameter, NotFound, PreconditionFailed
from gateway.migrations import migrate
from gateway.settings import DatabaseSettings
from tests.support.keys import MAKER, new_key
from tests.support.postgres import postgres_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with postgres_url() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    sqlite = request.param == "sqlite"
    url = f"sqlite+aiosqlite:///{tmp_path}/keys.db" if sqlite else str(request.getfixturevalue("postgres"))
    engine = create_engine(DatabaseSettings(url=SecretStr(url)))
    await migrate(engine)
    yield engine
    async with engine.begin() as connection:
        await connection.execute(api_keys.delete())
        await connection.execute(key_requests.delete())
    await engine.dispose()


@pytest.fixture
def store(engine: AsyncEngine) -> KeyStore:
    return KeyStore(engine, MAKER, now=lambda: NOW)


@pytest.fixture
def requests(engine: AsyncEngine) -> KeyRequests:
    return KeyRequests(engine, now=lambda: NOW)


def a_request(number: int = 0, **changes: object) -> KeyRequest:
    issued = MAKER.issue()
    fields: dict[str, object] = {
        "request_id": f"req_{number:012d}",
        "kind": "issue",
        "key_id": issued.key_id,
        "new": new_key(limits=(("minute", 600),), addresses=("192.0.2.0/24",), expires_at=NOW + timedelta(days=9)),
        "changed": (),
        "overlap": timedelta(minutes=5),
        "revision": 0,
        "requested_by": "key_a",
        "person": "Ann Müller",
        "requested_at": NOW,
        "expires_at": NOW + timedelta(hours=1),
        "digest": issued.digest,
    }
    return KeyRequest(**(fields | changes))  # type: ignore[arg-type]


async def test_limits_of_a_keys_own_are_kept_and_taken_back(store: KeyStore) -> None:
    record, _ = await store.issue(new_key(limits=(("day", 7), ("minute", 600))))
    assert (await store.existing(record.key_id)).limits == (("day", 7), ("minute", 600))
    after = await store.update(record.key_id, new_key(), revision=1)
    assert (after.limits, after.revision) == ((), 2)


async def test_of_many_updates_at_once_one_wins(store: KeyStore) -> None:
    record, _ = await store.issue(new_key())
    outcomes = await asyncio.gather(
        *(store.update(record.key_id, new_key(note=str(number)), revision=1) for number in range(4)),
        return_exceptions=True,
    )
    lost = [outcome for outcome in outcomes if isinstance(outcome, PreconditionFailed)]
    assert len(lost) == 3, outcomes
    assert (await store.existing(record.key_id)).revision == 2


async def test_what_cannot_be_updated(store: KeyStore) -> None:
    record, _ = await store.issue(new_key(tenant="a"))
    with pytest.raises(NotFound):
        await store.update("key_000000000000", new_key(), revision=1)
    with pytest.raises(NotFound):
        await store.update(record.key_id, new_key(), revision=1, tenant="b")
    with pytest.raises(InvalidParameter):
        await store.update(record.key_id, new_key(expires_at=NOW), revision=1)
    await store.revoke(record.key_id)
    with pytest.raises(InvalidParameter):
        await store.update(record.key_id, new_key(), revision=2)


async def test_a_request_is_kept_with_all_that_was_asked_for(requests: KeyRequests) -> None:
    asked = a_request()
    await requests.add(asked)
    assert await requests.existing(asked.request_id) == asked
    assert await requests.list(tenant="st-mary") == (asked,)
    assert await requests.list(tenant="other") == ()
    with pytest.raises(NotFound):
        await requests.existing(asked.request_id, tenant="other")


async def test_what_cannot_be_put_into_force_is_not_decided_either(
    store: KeyStore, requests: KeyRequests, engine: AsyncEngine
) -> None:
    asked = a_request(new=new_key(expires_at=NOW))  # it would have ended before it begins
    await requests.add(asked)
    with pytest.raises(InvalidParameter):
        await requests.approve(asked, by="key_b")
    assert (await requests.existing(asked.request_id)).decision is None
    assert await store.find(asked.key_id) is None


async def test_of_many_who_decide_at_once_one_does(store: KeyStore, requests: KeyRequests) -> None:
    asked = a_request()
    await requests.add(asked)
    outcomes = await asyncio.gather(
        *(requests.approve(asked, by=f"key_{number}") for number in range(3)),
        requests.close(asked, "rejected", by="key_r"),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 3, outcomes
    decided = await requests.existing(asked.request_id)
    assert decided.digest is None
    assert (await store.find(asked.key_id) is not None) == (decided.decision == "approved")


async def test_what_is_void_is_closed_once(requests: KeyRequests) -> None:
    await requests.add(a_request(1))
    await requests.add(a_request(2, expires_at=NOW))
    closed = await asyncio.gather(*(requests.expire(by="system") for _ in range(3)))
    assert [request.request_id for found in closed for request in found] == ["req_000000000002"]
    assert {request.decision for request in await requests.list()} == {None, "expired"}


async def test_keys_of_before_the_columns_keep_their_data(tmp_path: Path) -> None:
    """A database of revision 0005 with a key in it is brought up to date."""
    from alembic import command
    from alembic.config import Config

    from gateway import migrations

    engine = create_engine(DatabaseSettings(url=SecretStr(f"sqlite+aiosqlite:///{tmp_path}/old.db")))
    config = Config()
    config.set_main_option("script_location", str(migrations.__path__[0]))

    def upgrade(connection: object) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, "0005")

    async with engine.begin() as connection:
        await connection.run_sync(upgrade)
        await connection.execute(
            text(
                "INSERT INTO api_keys (key_id, owner, tenant, scopes, plan, addresses, note, created_by, created_at) "
                "VALUES ('key_000000000001', 'PACS', 'st-mary', '[\"predict\"]', 'standard', '[]', '', 'cli', "
                "'2026-01-01 00:00:00')"
            )
        )
    await migrate(engine)
    record = await KeyStore(engine, MAKER).existing("key_000000000001")
    await engine.dispose()
    assert (record.owner, record.scopes, record.created_at) == ("PACS", {"predict"}, NOW)
    assert (record.revision, record.limits, record.break_glass) == (1, (), "")
