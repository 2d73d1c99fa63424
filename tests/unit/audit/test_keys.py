"""Keys of the chain and of its checkpoints are changed, and what was made with the ones before still verifies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr, ValidationError

from gateway.audit.keys import KeyRing
from gateway.audit.reader import AuditReader
from gateway.audit.recorder import Recorder
from gateway.audit.statements import Signer
from gateway.errors import AuditUnavailable
from gateway.migrations import migrate
from gateway.settings import AuditSettings
from tests.support.audit import engine_of, finished, sqlite_url

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.audit.verify import Report

OLD, NEW = "the chain key of last year, 32 bytes", "the chain key of this year, 32 bytes"


def settings(key: str, *previous: str, **changes: Any) -> AuditSettings:
    return AuditSettings(chain_key=SecretStr(key), chain_keys_previous=SecretStr("\n".join(previous)), **changes)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return sqlite_url(tmp_path / "audit.db")


async def write(url: str, using: AuditSettings, *names: str) -> None:
    engine = engine_of(url)
    try:
        await migrate(engine)
        recorder = Recorder(engine, using)
        await recorder.start()
        for name in names:
            await recorder.record(finished(name))
        await recorder.close()
    finally:
        await engine.dispose()


async def report_of(url: str, using: AuditSettings) -> Report:
    engine = engine_of(url)
    try:
        return await AuditReader(engine, using).verify()
    finally:
        await engine.dispose()


async def said(url: str, using: AuditSettings) -> list[dict[str, Any]]:
    from gateway.audit.search import Filters

    engine = engine_of(url)
    try:
        return [dict(record.fields) async for record in AuditReader(engine, using).walk(Filters())]
    finally:
        await engine.dispose()


async def test_a_new_key_goes_on_where_the_old_one_ended(url: str) -> None:
    await write(url, settings(OLD), "a", "b")
    await write(url, settings(NEW, OLD), "c")

    assert (await report_of(url, settings(NEW, OLD))).good
    changed = (await said(url, settings(NEW, OLD)))[2]
    ring = KeyRing.of(settings(NEW, OLD))
    assert changed["type"] == "audit.key-changed"
    assert (changed["previous"], changed["current"]) == (ring.keys[0].id, ring.current.id)


async def test_without_the_old_key_its_records_do_not_hold(url: str) -> None:
    await write(url, settings(OLD), "a", "b")
    await write(url, settings(NEW, OLD), "c")

    report = await report_of(url, settings(NEW))
    assert report.verdicts["integrity"].first_bad == 1
    assert not report.verdicts["checkpoints"].good


async def test_a_process_without_the_logs_key_appends_nothing(url: str) -> None:
    await write(url, settings(NEW), "a")

    with pytest.raises(AuditUnavailable):
        await write(url, settings(OLD, timeout_seconds=0.3), "b")
    assert len(await said(url, settings(NEW))) == 1


async def test_an_ended_key_makes_no_record_more(url: str) -> None:
    """As whoever got hold of it might try."""
    await write(url, settings(OLD), "a")
    await write(url, settings(NEW, OLD), "b")
    await write(url, settings(OLD, NEW), "forged")  # its ring has them the other way round

    report = await report_of(url, settings(NEW, OLD))
    assert report.verdicts["order"].first_bad == 4
    assert not report.verdicts["checkpoints"].good  # and signed by the key that follows from it


async def test_the_signing_key_is_changed_too(url: str) -> None:
    first = settings(NEW, signing_key=SecretStr("s" * 32))
    await write(url, first, "a")
    second = settings(NEW, signing_key=SecretStr("t" * 32), public_keys_previous=Signer.of(first).public.hex())
    await write(url, second, "b")

    assert (await report_of(url, second)).good
    unknown = settings(NEW, signing_key=SecretStr("t" * 32))
    assert not (await report_of(url, unknown)).verdicts["checkpoints"].good


@pytest.mark.parametrize(
    "changes",
    [{"chain_keys_previous": SecretStr("short")}, {"public_keys_previous": "xyz"}, {"public_keys_previous": "ab" * 31}],
)
def test_keys_that_are_none_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="AUDIT_"):
        AuditSettings(chain_key=SecretStr(NEW), **changes)


async def test_an_address_may_be_recorded_as_a_keyed_hash(url: str) -> None:
    await write(url, settings(NEW, address="hash"), "a", "b")
    first, second = await said(url, settings(NEW))

    assert first["address"] == second["address"] == KeyRing.of(settings(NEW)).pseudonym_of_address("192.0.2.7")
    assert first["address"].startswith("hmac:")
    assert "192.0.2.7" not in str(first)
    assert KeyRing.of(settings(OLD)).pseudonym_of_address("192.0.2.7") != first["address"]
