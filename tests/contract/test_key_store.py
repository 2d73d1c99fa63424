"""The key store keeps its word on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from pydantic import SecretStr
from sqlalchemy import Connection, text

from gateway.admission.key_store import KeyStore
from gateway.admission.key_tables import api_key_secrets, api_keys
from gateway.admission.keys import parse
from gateway.database import create_engine, metadata
from gateway.errors import InvalidParameter, NotFound, StoreUnavailable
from gateway.migrations import migrate
from gateway.settings import DatabaseSettings
from tests.support.keys import MAKER, new_key
from tests.support.postgres import postgres_url
from tests.support.threads import database_threads_end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

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


def engine_of(url: str) -> AsyncEngine:
    return create_engine(DatabaseSettings(url=SecretStr(url)))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/made/by/migrate/keys.db"
    return str(request.getfixturevalue("postgres"))


@pytest.fixture
async def engine(url: str) -> AsyncIterator[AsyncEngine]:
    engine = engine_of(url)
    await migrate(engine)
    yield engine
    async with engine.begin() as connection:
        await connection.execute(api_keys.delete())
    await engine.dispose()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(engine: AsyncEngine, clock: Clock) -> KeyStore:
    return KeyStore(engine, MAKER, now=clock)


async def test_how_many_keys_are_good_and_end_soon(store: KeyStore, clock: Clock) -> None:
    before = await store.ending(timedelta(days=1), timedelta(days=7))
    for days in (0.5, 3, 30, None):
        ends = None if days is None else clock.now + timedelta(days=days)
        _, issued = await store.issue(new_key(expires_at=ends))
    await store.revoke(issued.key_id)
    await store.issue(new_key(expires_at=clock.now + timedelta(hours=2), break_glass="outage"))
    after = await store.ending(timedelta(days=1), timedelta(days=7))
    assert [now - then for now, then in zip(after, before, strict=True)] == [3, 1, 2]
    clock.now += timedelta(days=1)
    later = await store.ending(timedelta(days=1), timedelta(days=7))
    assert later[0] - before[0] <= 2


async def test_an_issued_key_is_found_with_all_that_was_asked_for(store: KeyStore, clock: Clock) -> None:
    ends = clock.now + timedelta(days=30)
    asked = new_key(expires_at=ends, addresses=("192.0.2.0/24", "2001:db8::/32"), note="PACS link", created_by="key_a")
    record, issued = await store.issue(asked)

    found = await store.find(issued.key_id)

    assert found == record
    assert (found.owner, found.tenant, found.scopes, found.plan) == (
        asked.owner,
        asked.tenant,
        asked.scopes,
        asked.plan,
    )
    assert (found.expires_at, found.addresses, found.note) == (ends, asked.addresses, asked.note)
    assert (found.created_by, found.created_at) == ("key_a", clock.now)
    assert (found.revoked_at, found.last_used_at) == (None, None)
    presented = parse(issued.text)
    assert presented is not None
    assert MAKER.matches(presented, found.secrets[0].digest)


async def test_the_database_holds_no_key(store: KeyStore, engine: AsyncEngine) -> None:
    _, issued = await store.issue(new_key())
    secret = issued.text.rsplit("_", 1)[1]

    async with engine.connect() as connection:
        stored = [*await connection.execute(api_keys.select()), *await connection.execute(api_key_secrets.select())]

    assert stored
    assert secret[:12] not in repr(stored)
    assert secret.encode()[:12] not in b"".join(value for row in stored for value in row if isinstance(value, bytes))


async def test_an_unknown_key_is_none(store: KeyStore) -> None:
    assert await store.find("key_000000000000") is None


async def test_a_list_is_newest_first_and_of_one_tenant_when_asked(store: KeyStore, clock: Clock) -> None:
    ids = []
    for tenant in ("a", "b", "a"):
        clock.now += timedelta(seconds=1)
        record, _ = await store.issue(new_key(tenant=tenant))
        ids.append(record.key_id)

    assert [record.key_id for record in await store.list()] == ids[::-1]
    assert [record.key_id for record in await store.list(tenant="a")] == [ids[2], ids[0]]
    assert [record.key_id for record in await store.list(limit=1)] == [ids[2]]


async def test_a_rotated_key_counts_once_in_a_list(store: KeyStore) -> None:
    record, _ = await store.issue(new_key())
    await store.rotate(record.key_id, overlap=timedelta(hours=1))
    other, _ = await store.issue(new_key())

    assert {each.key_id for each in await store.list(limit=2)} == {record.key_id, other.key_id}


async def test_revoking_keeps_the_first_time(store: KeyStore, clock: Clock) -> None:
    record, _ = await store.issue(new_key())
    first = (await store.revoke(record.key_id)).revoked_at
    clock.now += timedelta(hours=1)

    assert first is not None
    assert (await store.revoke(record.key_id)).revoked_at == first
    assert (await store.list())[0].status(clock.now) == "revoked"


async def test_another_tenants_key_is_not_found(store: KeyStore) -> None:
    record, _ = await store.issue(new_key(tenant="a"))

    with pytest.raises(NotFound):
        await store.revoke(record.key_id, tenant="b")
    with pytest.raises(NotFound):
        await store.rotate(record.key_id, tenant="b")
    found = await store.find(record.key_id)
    assert found is not None
    assert found.revoked_at is None
    assert len(found.secrets) == 1


async def test_rotation_ends_the_old_secret_after_the_overlap(store: KeyStore, clock: Clock) -> None:
    record, old = await store.issue(new_key())
    rotated, new = await store.rotate(record.key_id, overlap=timedelta(hours=1))

    assert new.key_id == record.key_id
    assert new.text != old.text
    ends = {secret.digest: secret.expires_at for secret in rotated.secrets}
    assert ends == {old.digest: clock.now + timedelta(hours=1), new.digest: None}


async def test_a_later_rotation_never_prolongs_an_earlier_secret(store: KeyStore, clock: Clock) -> None:
    record, first = await store.issue(new_key())
    await store.rotate(record.key_id, overlap=timedelta(hours=1))
    rotated, _ = await store.rotate(record.key_id, overlap=timedelta(days=7))

    ends = {secret.digest: secret.expires_at for secret in rotated.secrets}
    assert ends[first.digest] == clock.now + timedelta(hours=1)


async def test_ended_secrets_are_deleted_at_the_next_rotation(store: KeyStore) -> None:
    record, first = await store.issue(new_key())
    await store.rotate(record.key_id)
    rotated, _ = await store.rotate(record.key_id)

    assert first.digest not in {secret.digest for secret in rotated.secrets}


async def test_a_key_that_has_ended_cannot_be_rotated(store: KeyStore, clock: Clock) -> None:
    revoked, _ = await store.issue(new_key())
    await store.revoke(revoked.key_id)
    expired, _ = await store.issue(new_key(expires_at=clock.now + timedelta(seconds=1)))
    clock.now += timedelta(seconds=1)

    for record in (revoked, expired):
        with pytest.raises(InvalidParameter):
            await store.rotate(record.key_id)


@pytest.mark.parametrize("overlap", [timedelta(seconds=-1), timedelta(days=7, seconds=1)])
async def test_an_overlap_is_at_most_seven_days(store: KeyStore, overlap: timedelta) -> None:
    record, _ = await store.issue(new_key())
    with pytest.raises(InvalidParameter):
        await store.rotate(record.key_id, overlap=overlap)


async def test_last_use_is_written_at_most_once_a_resolution(store: KeyStore, clock: Clock) -> None:
    record, _ = await store.issue(new_key())
    first = clock.now
    await store.touch(record.key_id, resolution=timedelta(minutes=1))
    clock.now += timedelta(seconds=59)
    await store.touch(record.key_id, resolution=timedelta(minutes=1))
    found = await store.find(record.key_id)
    assert found is not None
    assert found.last_used_at == first

    clock.now += timedelta(seconds=2)
    await store.touch(record.key_id, resolution=timedelta(minutes=1))
    found = await store.find(record.key_id)
    assert found is not None
    assert found.last_used_at == clock.now


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("owner", {"owner": "  "}),
        ("owner", {"owner": "a\nb"}),
        ("tenant", {"tenant": "St Mary"}),
        ("tenant", {"tenant": ""}),
        ("tenant", {"tenant": "a\n"}),
        ("scopes", {"scopes": frozenset()}),
        ("plan", {"plan": ""}),
        ("note", {"note": "x" * 501}),
        ("expires_at", {"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}),
        ("expires_at", {"expires_at": datetime(2030, 1, 1)}),  # noqa: DTZ001 - a time without a zone is the case
        ("addresses", {"addresses": ("192.0.2.1/24",)}),
        ("addresses", {"addresses": ("elsewhere",)}),
    ],
)
async def test_a_field_that_does_not_fit_is_named_and_not_repeated(
    store: KeyStore, field: str, change: dict[str, object]
) -> None:
    with pytest.raises(InvalidParameter) as refused:
        await store.issue(new_key(**change))
    assert refused.value.members == {"parameter": field}
    assert "elsewhere" not in refused.value.detail
    assert await store.list() == ()


async def test_processes_that_start_at_once_migrate_once(url: str) -> None:
    engines = [engine_of(url) for _ in range(4)]
    await asyncio.gather(*(migrate(engine) for engine in engines))
    async with engines[0].connect() as connection:
        revisions = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalars().all()
    for engine in engines:
        await engine.dispose()
    assert len(revisions) == 1


async def test_a_release_starts_on_the_database_of_the_next_one(engine: AsyncEngine) -> None:
    async def revision() -> str:
        async with engine.connect() as connection:
            return str((await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar_one())

    async def note(number: str) -> None:
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE alembic_version SET version_num = :number"), {"number": number})

    ours = await revision()
    await note("9999")
    try:
        await migrate(engine)
        assert await revision() == "9999"
    finally:
        await note(ours)


async def test_the_migrated_tables_are_the_declared_ones(engine: AsyncEngine) -> None:
    def differences(connection: Connection) -> list[object]:
        ours = {"api_keys", "api_key_secrets", "key_requests"}

        def only_ours(_object: object, name: str | None, kind: str, *_: object) -> bool:
            return kind != "table" or name in ours

        context = MigrationContext.configure(connection, opts={"include_object": only_ours, "compare_type": True})
        return compare_metadata(context, metadata)

    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []


@pytest.mark.parametrize(
    "dead", ["postgresql+asyncpg://u:hidden@127.0.0.1:1/x", "sqlite+aiosqlite:////nowhere/at/all.db"]
)
async def test_a_database_that_is_not_there_is_a_clear_error(dead: str) -> None:
    others = set(threading.enumerate())
    engine = engine_of(dead)
    store = KeyStore(engine, MAKER)
    began = time.monotonic()
    for call in (store.find("key_x"), store.list(), store.issue(new_key()), store.ping()):
        with pytest.raises(StoreUnavailable) as refused:
            await call
        assert "hidden" not in str(refused.value.problem("x"))
    await engine.dispose()
    assert time.monotonic() - began < 10
    await database_threads_end(others)


async def test_a_database_that_hangs_is_a_clear_error_within_the_time_limit() -> None:
    async def never_answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            writer.close()

    server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    engine = engine_of(f"postgresql+asyncpg://u@127.0.0.1:{port}/x?ssl=disable")
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await KeyStore(engine, MAKER).find("key_x")
    assert time.monotonic() - began < 4
    await engine.dispose()
    server.close()
