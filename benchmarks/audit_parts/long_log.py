"""A long log searched, verified and exported, with the plans that the database makes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr
from rich.table import Table
from sqlalchemy import event

from benchmarks.audit_parts.bulk import START, fill_postgres, fill_sqlite
from gateway.audit.export import FORMATS, Export, form_of
from gateway.audit.keys import KeyRing
from gateway.audit.reader import AuditReader
from gateway.audit.search import Filters
from gateway.database import create_engine
from gateway.settings import AuditSettings, DatabaseSettings

if TYPE_CHECKING:
    from rich.console import Console
    from sqlalchemy.ext.asyncio import AsyncEngine

GOAL_MS = 200
VERIFY_PAGE = 5000
EXPORTED = 50_000


@dataclass
class Found:
    name: str
    milliseconds: list[float]
    records: int
    plan: str


async def measure(url: str, records: int, settings: AuditSettings, console: Console) -> None:
    engine = create_engine(DatabaseSettings(url=SecretStr(url)))
    began = time.perf_counter()
    if engine.dialect.name == "sqlite":
        fill_sqlite(engine.url, records, settings)
    else:
        await fill_postgres(engine.url, records, settings)
    console.print(f"{records:,} records written in bulk, {records / (time.perf_counter() - began):,.0f} a second")
    await search(engine, settings, records, console)
    await verify(engine, settings, console)
    await export(engine, settings, console)
    await engine.dispose()


async def cases(reader: AuditReader) -> dict[str, Filters]:
    day = START + timedelta(days=100), START + timedelta(days=101)
    some = (await reader.newest(Filters(since=day[0], until=day[1], type="request.finished"), None, 1))[0].fields
    request_id, patient, tenant = some["request_id"], some["patient"], some["tenant"]
    return {
        "no filter": Filters(),
        "one day": Filters(since=day[0], until=day[1]),
        "action, half of all": Filters(type="request.finished"),
        "action, one in 20,000": Filters(type="key.revoked"),
        "actor": Filters(actor="key_south3"),
        "tenant, 60 in 100": Filters(tenant="st-mary"),
        "tenant, 1 in 10,000": Filters(tenant="tiny"),
        "outcome success": Filters(outcome="success"),
        "outcome failed": Filters(outcome="failed"),
        "correlation ID": Filters(request_id=request_id),
        "patient": Filters(patient=patient),
        "model": Filters(model="chest"),
        "tenant + correlation ID": Filters(tenant=tenant, request_id=request_id),
        "tenant + patient": Filters(tenant=tenant, patient=patient),
        "tenant + one day": Filters(tenant="st-mary", since=day[0], until=day[1]),
        "tenant + rare action": Filters(tenant="st-mary", type="key.revoked"),
        "tenant + failed": Filters(tenant="south", outcome="failed"),
        "tenant + model, never": Filters(tenant="st-mary", model="chest"),
        "five at once": Filters(
            tenant="north", type="request.finished", outcome="failed", model="chest", actor="key_north3"
        ),
    }


async def search(engine: AsyncEngine, settings: AuditSettings, records: int, console: Console) -> None:
    reader = AuditReader(engine, settings)
    table = Table(
        title=f"search of {records:,} records on {engine.dialect.name}, a page of 100; the goal is {GOAL_MS} ms"
    )
    for column in ("filters", "first ms", "p50 ms", "found", "plan of the query that found them"):
        table.add_column(column, justify="right" if column.endswith("ms") or column == "found" else "left")
    for name, filters in (await cases(reader)).items():
        found = await timed(engine, reader, name, filters)
        first, *rest = found.milliseconds
        table.add_row(name, f"{first:.1f}", f"{sorted(rest)[len(rest) // 2]:.1f}", str(found.records), found.plan)
    console.print(table)


async def timed(engine: AsyncEngine, reader: AuditReader, name: str, filters: Filters) -> Found:
    last: list[tuple[str, Any]] = []

    def note(_c: Any, _cur: Any, statement: str, parameters: Any, _ctx: Any, _many: bool) -> None:
        last.append((statement, parameters))

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    times, records = [], 0
    for _ in range(6):
        began = time.perf_counter()
        records = len((await reader.find(filters, None, 100)).records)
        times.append((time.perf_counter() - began) * 1000)
    event.remove(engine.sync_engine, "before_cursor_execute", note)
    selects = [each for each in last if "audit.body" in each[0]]
    return Found(name, times, records, await plan(engine, *selects[-1]))


async def plan(engine: AsyncEngine, statement: str, parameters: Any) -> str:
    explain = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
    async with engine.connect() as connection:
        rows = (await connection.exec_driver_sql(explain + statement, tuple(parameters))).all()
    lines = [str(row[-1]).strip() for row in rows]
    scans = [line.partition("  (cost")[0] for line in lines if "audit" in line]
    return "; ".join(scans)[:70]


async def verify(engine: AsyncEngine, settings: AuditSettings, console: Console) -> None:
    began, cpu = time.perf_counter(), time.process_time()
    report = await AuditReader(engine, settings).verify(page=VERIFY_PAGE)
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    assert report.good
    console.print(
        f"verify: {report.records:,} records, {report.records / wall:,.0f} a second"
        f" ({report.records / cpu:,.0f} a second of CPU), all verdicts good"
    )


async def export(engine: AsyncEngine, settings: AuditSettings, console: Console) -> None:
    reader, keys = AuditReader(engine, settings), KeyRing.of(settings)
    for name in FORMATS:
        out = Export(form_of(name, settings.source), keys)
        began = time.perf_counter()
        async for _ in out.pieces(reader.walk(Filters(), 0, EXPORTED)):
            pass
        wall = time.perf_counter() - began
        console.print(
            f"export as {name}: {out.records / wall:,.0f} records a second, {out.bytes / out.records:,.0f} bytes each"
        )
