"""An export as it runs: on record at both ends, in pieces, with nothing of the database held between them."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING

import pytest

from gateway.audit.export import PIECE_BYTES, Format
from gateway.audit.exporting import Exporting, Reader, Running
from gateway.audit.reader import AuditReader
from gateway.audit.search import Filters
from gateway.errors import AuditUnavailable, NotFound
from tests.support.audit import audit_settings, engine_of, finished, recorded, recording, sqlite_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.audit.recorder import Recorder

NUMBER = 400
WHO = Reader("c1", "key_a", "st-mary", all_tenants=False)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "audit.db"


@asynccontextmanager
async def exporting(database: Path) -> AsyncIterator[tuple[Exporting, Recorder]]:
    """On a log of some length."""
    url = sqlite_url(database)
    async with recording(url, timeout_seconds=20) as recorder:
        await asyncio.gather(*(recorder.record(finished(f"r{number}")) for number in range(NUMBER)))
        engine = engine_of(url)
        try:
            yield Exporting(AuditReader(engine, audit_settings()), recorder, audit_settings()), recorder
        finally:
            await engine.dispose()


async def begin(exports: Exporting, form: Format = "csv") -> Running:
    return await exports.begin(WHO, form, Filters(tenant="st-mary"))


@pytest.mark.parametrize("form", ["ndjson", "csv", "fhir", "dicom"])
async def test_memory_does_not_grow_with_the_log(database: Path, form: Format) -> None:
    async with exporting(database) as (exports, _):
        sizes = [len(piece) async for piece in (await begin(exports, form)).pieces()]

    assert len(sizes) > NUMBER * 500 / PIECE_BYTES / 2
    assert max(sizes) < PIECE_BYTES + 8192


async def test_between_two_pieces_the_database_is_free(database: Path) -> None:
    """Nothing reads: the write-ahead log can be moved into the file to its end, which any snapshot would hinder."""
    async with exporting(database) as (exports, recorder):
        pieces = (await begin(exports)).pieces()
        await anext(pieces)
        await recorder.record(finished("meanwhile"))
        with closing(sqlite3.connect(database)) as connection:
            busy, pages, moved = connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
        rest = [piece async for piece in pieces]

    assert (busy, pages) == (0, moved)
    assert b"meanwhile" not in b"".join(rest)  # an export ends where the log did when it began


async def test_a_receiver_that_leaves_is_on_record_with_what_went_out(database: Path) -> None:
    async with exporting(database) as (exports, _):
        running = await begin(exports)
        pieces = running.pieces()
        await anext(pieces)
        await running.broken_off()
        await running.broken_off()
        with pytest.raises(NotFound):
            await exports.proof_of("c1", "st-mary")

    *_, read, last = await recorded(sqlite_url(database))
    assert (read["type"], last["type"], last["outcome"]) == ("audit.read", "audit.exported", "failed")
    assert 0 < last["records"] < NUMBER


async def test_without_its_record_an_export_has_no_end(database: Path) -> None:
    async with exporting(database) as (exports, recorder):
        pieces = (await begin(exports)).pieces()
        got = [await anext(pieces)]
        await recorder.close()

        async def collect() -> None:
            async for piece in pieces:
                got.append(piece)  # noqa: PERF401 - it is broken off

        with pytest.raises(AuditUnavailable):
            await collect()

    assert b"r399" not in b"".join(got)


async def test_a_proof_can_be_had_later_by_the_same_tenant(database: Path) -> None:
    async with exporting(database) as (exports, _):
        running = await begin(exports)
        async for _ in running.pieces():
            pass
        assert running.export.digest.encode() in await exports.proof_of("c1", "st-mary")
        assert running.export.digest.encode() in await exports.proof_of("c1", None)
        with pytest.raises(NotFound):
            await exports.proof_of("c1", "elsewhere")
