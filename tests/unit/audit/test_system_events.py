"""Policies that change between two starts, and parts that work without what they need, are on record."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from gateway.admission.limiter import Limiter
from gateway.admission.plans import Plans
from gateway.admission.principal import Principal
from gateway.audit.failure_modes import FailureModes
from gateway.audit.policy_loads import changes, record_policies
from gateway.audit.reader import AuditReader
from gateway.errors import QuotaExceeded
from gateway.settings import AdmissionSettings, RedisSettings
from tests.support.audit import audit_settings, engine_of, recorded, recording, sqlite_url

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.valkey import ValkeyServer


@pytest.fixture
def url(tmp_path: Path) -> str:
    return sqlite_url(tmp_path / "audit.db")


async def started_with(url: str, **digests: str) -> list[dict[str, Any]]:
    async with recording(url) as recorder:
        engine = engine_of(url)
        await record_policies(AuditReader(engine, audit_settings()), recorder, digests)
        await engine.dispose()
    return await recorded(url)


async def test_a_policy_that_changed_is_on_record_before_it_is_worked_by(url: str) -> None:
    first = await started_with(url, access="a1", plans="p1", gone="g1")
    same = await started_with(url, access="a1", plans="p1", gone="g1")
    last = await started_with(url, access="a2", plans="p1", new="n1")

    assert [said["type"] for said in first] == ["policy.loaded"]
    assert [said["type"] for said in same] == ["policy.loaded"] * 2
    assert [said["type"] for said in last[2:]] == ["policy.changed"] * 3 + ["policy.loaded"]
    found = [(said["policy"], said["previous"], said["digest"]) for said in last[2:5]]
    assert found == [("access", "a1", "a2"), ("gone", "g1", ""), ("new", "", "n1")]


def test_the_first_start_changes_nothing() -> None:
    assert changes(None, {"access": "a1"}) == []


async def test_the_limiter_says_when_it_works_alone_and_when_no_longer(
    url: str, tmp_path: Path, valkey_server: ValkeyServer
) -> None:
    plans = Plans.load(AdmissionSettings().plans_policy)
    caller = Principal("key_a", "tests", "st-mary", frozenset(), "standard")
    place = tmp_path / "redis.sock"
    async with recording(url) as recorder:
        failures = FailureModes(recorder)
        limiter = Limiter(
            RedisSettings(url=f"unix://{place}"),
            plans,
            notify=lambda away: failures.change("limiter", "local" if away else "normal"),
        )
        while not limiter.degraded:
            await limiter.acquire(caller, "r1")
            await limiter.release(caller, "r1")
        place.symlink_to(valkey_server.url.removeprefix("unix://").partition("?")[0])
        async with asyncio.timeout(30):
            while limiter.degraded:
                with suppress(QuotaExceeded):
                    await limiter.acquire(caller, "r1")
                    await limiter.release(caller, "r1")
                await asyncio.sleep(0.2)
        await limiter.close()
        await failures.close()

    said = [(each["type"], each["part"], each["previous"], each["mode"]) for each in await recorded(url)]
    assert said[:2] == [
        ("failure.changed", "limiter", "normal", "local"),
        ("failure.changed", "limiter", "local", "normal"),
    ]
