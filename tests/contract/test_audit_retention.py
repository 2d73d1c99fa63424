"""Old records are given up and the rest stays provable; nothing else can be removed or changed. On both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from gateway.audit import retention as module
from gateway.audit.exporting import Reader
from gateway.audit.reader import AuditReader
from gateway.audit.retention import Retention, RetentionPolicy
from gateway.audit.store import AuditStore
from gateway.audit.tables import audit
from gateway.errors import AuditUnavailable, RetentionRefused
from gateway.migrations import migrate
from tests.support.audit import (
    RING,
    audit_settings,
    emptied,
    engine_of,
    finished,
    recorded,
    recording,
    sqlite_url,
    unguarded,
    verified,
)
from tests.support.postgres import postgres_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sqlalchemy.ext.asyncio import AsyncEngine

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=100)
OLD, NEW = 20, 14
WHO = Reader("c1", "system", "", all_tenants=True)


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with postgres_url() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "audit.db")
    return str(request.getfixturevalue("postgres"))


@pytest.fixture
async def engine(url: str, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    """A log of old records and new ones."""
    engine = engine_of(url)
    await migrate(engine)
    clock = iter([START, START + timedelta(hours=9), NOW - timedelta(hours=14), NOW - timedelta(hours=2)])
    store = AuditStore(engine, RING, now=lambda: next(clock))
    for size in (OLD // 2, OLD // 2, NEW // 2, NEW // 2):
        await store.append([finished("r") for _ in range(size)])
    await store.close()
    yield engine
    await emptied(engine)
    await engine.dispose()


@pytest.fixture
def retention(engine: AsyncEngine, tmp_path: Path) -> Retention:
    settings = audit_settings(checkpoint_file=str(tmp_path / "second-place"))
    return Retention(engine, AuditReader(engine, settings), settings, timedelta(days=50))


async def give_up(retention: Retention, url: str) -> None:
    async with recording(url, timeout_seconds=20) as recorder:
        plan = await retention.plan(NOW)
        await retention.check(plan)
        await retention.give_up(plan, WHO, recorder)


async def test_old_records_go_and_the_rest_is_whole(retention: Retention, url: str, tmp_path: Path) -> None:
    plan = await retention.plan(NOW)
    assert (plan.first, plan.through.seq, plan.records, plan.left) == (1, OLD, OLD, 0)

    await give_up(retention, url)

    report = await verified(url, checkpoint_file=str(tmp_path / "second-place"))
    assert report.good, report
    assert (report.given_up, report.records, report.last) == (OLD, NEW + 1, OLD + NEW + 1)
    said = (await recorded(url))[-1]
    assert (said["type"], said["through"], said["records"]) == ("audit.truncated", OLD, OLD)
    assert b"cordon.audit.truncation" in (tmp_path / "second-place").read_bytes()
    assert (await retention.plan(NOW)).records == 0


async def test_a_second_truncation_builds_on_the_first(retention: Retention, url: str, engine: AsyncEngine) -> None:
    await give_up(retention, url)
    later = NOW + timedelta(days=50) - timedelta(hours=10)
    plan = await retention.plan(later)
    assert plan.first == OLD + 1
    await retention.check(plan)
    async with recording(url, timeout_seconds=20) as recorder:
        await retention.give_up(plan, WHO, recorder)

    report = await verified(url)
    assert report.good, report
    assert report.given_up == plan.through.seq > OLD


async def test_a_removal_that_broke_off_goes_on(
    retention: Retention, url: str, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BATCH", 5)

    def stop(done: int, _total: int) -> None:
        if done >= 10:
            raise OSError

    plan = await retention.plan(NOW)
    async with recording(url, timeout_seconds=20) as recorder:
        with pytest.raises(AuditUnavailable):
            await retention.give_up(plan, WHO, recorder, stop)
    between = await verified(url)
    assert between.good, between
    assert between.records == OLD - 10 + NEW + 1

    rest = await retention.plan(NOW)
    assert (rest.first, rest.left, rest.records) == (11, 10, 0)
    await give_up(retention, url)
    assert (await verified(url)).records == NEW + 1
    assert [said["type"] for said in await recorded(url)].count("audit.truncated") == 1


async def test_what_is_not_whole_is_not_given_up(retention: Retention, engine: AsyncEngine) -> None:
    async with unguarded(engine) as connection:
        await connection.execute(text("UPDATE audit SET actor = 'x' WHERE seq = 7"))

    with pytest.raises(RetentionRefused):
        await retention.check(await retention.plan(NOW))


@pytest.mark.parametrize("through", [OLD - 5, OLD + 5])
async def test_a_beginning_that_was_removed_otherwise_is_found(
    retention: Retention, url: str, engine: AsyncEngine, through: int
) -> None:
    if through > OLD:
        await give_up(retention, url)
    async with unguarded(engine) as connection:
        await connection.execute(text(f"DELETE FROM audit WHERE seq <= {through}"))

    report = await verified(url)
    assert not report.verdicts["order"].good
    assert report.verdicts["order"].first_bad == (OLD + 1 if through > OLD else 1)


async def test_a_forged_truncation_is_none(retention: Retention, url: str, engine: AsyncEngine) -> None:
    await give_up(retention, url)
    async with unguarded(engine) as connection:
        await connection.execute(text("UPDATE audit_truncations SET size = size + 3"))
        await connection.execute(text(f"DELETE FROM audit WHERE seq <= {OLD + 3}"))

    report = await verified(url)
    assert not report.verdicts["checkpoints"].good
    assert not report.verdicts["order"].good


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'x' WHERE seq = 3",
        "DELETE FROM audit WHERE seq = 3",
        "DELETE FROM audit",
        "UPDATE audit_checkpoints SET head = 'x'",
        "DELETE FROM audit_checkpoints",
        "UPDATE audit_truncations SET size = 1",
        "TRUNCATE audit",
    ],
)
async def test_the_database_refuses_all_but_additions(engine: AsyncEngine, url: str, statement: str) -> None:
    if statement.startswith("TRUNCATE") and engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no TRUNCATE")
    async with recording(url, timeout_seconds=20) as recorder:
        await recorder.record(finished("sealed"))
    async with engine.begin() as connection:
        await connection.exec_driver_sql("INSERT INTO audit_truncations VALUES (0, 'a', 'a', 'a', 'a', 'a', 'a')")

    async def attempt() -> None:
        async with engine.begin() as connection:
            await connection.exec_driver_sql(statement)

    with pytest.raises(DBAPIError, match="additions alone"):
        await attempt()
    async with engine.connect() as connection:
        assert len((await connection.execute(select(audit.c.seq))).all()) >= OLD + NEW


async def test_a_role_that_may_only_add_is_enough_for_the_gateway(engine: AsyncEngine, url: str) -> None:
    """The recipe of docs/audit.md."""
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no roles")
    async with engine.begin() as connection:
        for statement in (
            "DROP ROLE IF EXISTS cordon_gateway",
            "CREATE ROLE cordon_gateway LOGIN",
            "GRANT SELECT, INSERT ON audit, audit_checkpoints TO cordon_gateway",
            "GRANT SELECT ON audit_truncations, alembic_version TO cordon_gateway",
        ):
            await connection.exec_driver_sql(statement)
    theirs = url.replace("//cordon@", "//cordon_gateway@")
    assert theirs != url
    try:
        async with recording(theirs, timeout_seconds=20) as recorder:  # which migrates, and has nothing to migrate
            await recorder.record(finished("added"))
        assert (await verified(theirs)).good

        other = engine_of(theirs)
        for statement in (
            "DELETE FROM audit",
            "UPDATE audit SET actor = 'x'",
            "ALTER TABLE audit DISABLE TRIGGER USER",
        ):
            with pytest.raises(DBAPIError, match=r"permission denied|must be owner"):
                async with other.begin() as connection:
                    await connection.exec_driver_sql(statement)
        await other.dispose()
    finally:
        async with engine.begin() as connection:
            await connection.exec_driver_sql("DROP OWNED BY cordon_gateway")
            await connection.exec_driver_sql("DROP ROLE cordon_gateway")


def test_the_policy_keeps_six_years_and_asks_a_person() -> None:
    policy = RetentionPolicy.load(Path("policies/retention.yaml")).audit

    assert policy.keep_days >= 6 * 365 + 2
    assert policy.unattended is False
