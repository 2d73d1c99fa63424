"""The store of clients keeps its word on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from pydantic import SecretStr
from sqlalchemy import Connection, func, select

from gateway.admission.client_store import KEPT_LONGER, ClientStore
from gateway.admission.client_tables import clients, used_assertions
from gateway.database import create_engine, metadata
from gateway.errors import InvalidParameter, NotFound, StoreUnavailable
from gateway.migrations import migrate
from gateway.settings import DatabaseSettings
from tests.support.clients import KEY, new_client
from tests.support.postgres import postgres_url
from tests.support.threads import database_threads_end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sqlalchemy.ext.asyncio import AsyncEngine


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with postgres_url() as url:
        yield url


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('sqlite')}/clients.db"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """Of a database of this module's; each test empties it."""
    return str(request.getfixturevalue(request.param))


@pytest.fixture
async def engine(url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(DatabaseSettings(url=SecretStr(url)))
    await migrate(engine)
    yield engine
    async with engine.begin() as connection:
        for table in (clients, used_assertions):
            await connection.execute(table.delete())
    await engine.dispose()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(engine: AsyncEngine, clock: Clock) -> ClientStore:
    return ClientStore(engine, now=clock)


async def test_a_registered_client_is_found_with_all_that_was_asked_for(store: ClientStore, clock: Clock) -> None:
    asked = new_client(expires_at=clock.now + timedelta(days=30), note="PACS link", created_by="key_a")
    record = await store.register(asked)
    assert await store.find(record.client_id) == record
    assert (record.owner, record.tenant, record.scopes, record.plan, record.note, record.created_by) == (
        asked.owner, asked.tenant, asked.scopes, asked.plan, asked.note, asked.created_by,
    )  # fmt: skip
    assert record.jwks == {"keys": [KEY.jwk]}
    assert (record.jwks_url, record.expires_at, record.created_at) == ("", asked.expires_at, clock.now)
    assert record.status(clock.now) == "active"
    assert record.status(clock.now + timedelta(days=30)) == "expired"


async def test_a_url_in_place_of_the_keys(store: ClientStore) -> None:
    record = await store.register(new_client(jwks=None, jwks_url="https://pacs.example/keys"))
    assert (record.jwks, record.jwks_url) == (None, "https://pacs.example/keys")


async def test_members_that_are_no_part_of_a_key_are_not_stored(store: ClientStore) -> None:
    record = await store.register(new_client(jwks={"keys": [KEY.jwk | {"x5c": ["MII"], "note": "x"}], "more": 1}))
    assert record.jwks == {"keys": [KEY.jwk]}


async def test_what_cannot_be_registered_is_not_stored(store: ClientStore) -> None:
    with pytest.raises(InvalidParameter):
        await store.register(new_client(jwks={"keys": [KEY.jwk | {"d": "AQAB"}]}))
    assert await store.list() == ()


async def test_the_newest_is_listed_first_and_one_tenants_alone_if_asked(store: ClientStore, clock: Clock) -> None:
    ids = []
    for tenant in ("st-mary", "st-anne", "st-mary"):
        clock.now += timedelta(seconds=1)
        ids.append((await store.register(new_client(tenant=tenant))).client_id)
    assert [record.client_id for record in await store.list()] == ids[::-1]
    assert [record.client_id for record in await store.list(tenant="st-mary")] == [ids[2], ids[0]]
    assert [record.client_id for record in await store.list(limit=1)] == [ids[2]]


async def test_disabled_enabled_removed(store: ClientStore, clock: Clock) -> None:
    client_id = (await store.register(new_client())).client_id
    first = await store.disable(client_id)
    clock.now += timedelta(hours=1)
    again = await store.disable(client_id)
    assert first.disabled_at == again.disabled_at
    assert again.status(clock.now) == "disabled"
    assert (await store.enable(client_id)).status(clock.now) == "active"
    assert (await store.remove(client_id)).status(clock.now) == "removed"
    assert await store.list() == ()
    assert (await store.find(client_id)) is not None
    for change in (store.disable, store.enable, store.remove):
        with pytest.raises(NotFound):
            await change(client_id)


async def test_another_tenants_client_does_not_exist(store: ClientStore) -> None:
    client_id = (await store.register(new_client())).client_id
    for change in (store.disable, store.enable, store.remove):
        with pytest.raises(NotFound):
            await change(client_id, tenant="elsewhere")
    with pytest.raises(NotFound):
        await store.replace_keys(client_id, jwks=None, jwks_url="https://x.example/k", tenant="elsewhere")


async def test_an_assertion_is_used_once_by_any_number_of_processes(url: str, store: ClientStore, clock: Clock) -> None:
    """Each with connections of its own, as on other nodes."""
    client_id = (await store.register(new_client())).client_id
    others = [create_engine(DatabaseSettings(url=SecretStr(url))) for _ in range(4)]
    ends = clock.now + timedelta(minutes=5)
    tries = (ClientStore(other, now=clock).use(client_id, "a", expires_at=ends) for other in others for _ in range(4))
    assert sum(await asyncio.gather(*tries)) == 1
    for other in others:
        await other.dispose()
    assert (await store.find(client_id)).last_used_at == clock.now  # type: ignore[union-attr]
    assert not await store.use(client_id, "a", expires_at=ends)
    assert await store.use(client_id, "b", expires_at=ends)
    assert await store.use("client_000000000000", "a", expires_at=ends)


async def test_what_was_used_is_forgotten_only_when_it_is_long_over(
    store: ClientStore, engine: AsyncEngine, clock: Clock
) -> None:
    async def kept() -> int:
        async with engine.connect() as connection:
            return int((await connection.execute(select(func.count()).select_from(used_assertions))).scalar_one())

    ends = clock.now + timedelta(minutes=5)
    await store.use("client_000000000000", "a", expires_at=ends)
    clock.now = ends + KEPT_LONGER - timedelta(seconds=1)
    await store.forget_used()
    assert await kept() == 1
    clock.now += timedelta(seconds=1)
    await store.forget_used()
    assert await kept() == 0


async def test_the_migrated_tables_are_the_declared_ones(engine: AsyncEngine) -> None:
    def differences(connection: Connection) -> list[object]:
        def ours(_object: object, name: str | None, kind: str, *_: object) -> bool:
            return kind != "table" or name in {"clients", "used_assertions"}

        context = MigrationContext.configure(connection, opts={"include_object": ours, "compare_type": True})
        return list(compare_metadata(context, metadata))

    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_a_database_that_is_away_is_an_error_of_the_dependency() -> None:
    others = set(threading.enumerate())
    store = ClientStore(create_engine(DatabaseSettings(url=SecretStr("sqlite+aiosqlite:////nowhere/at/all.db"))))
    for work in (store.find("x"), store.list(), store.use("x", "y", expires_at=datetime.now(UTC)), store.forget_used()):
        with pytest.raises(StoreUnavailable):
            await work
    await database_threads_end(others)
