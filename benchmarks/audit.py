"""What the audit log costs: a record, beside what the disk alone costs (a bare write and fdatasync in the same folder).

    python benchmarks/audit.py [--folder /tmp] [--url postgresql+asyncpg://...] [--records 100000]

Then a log of so many records is written in bulk, and it is searched, verified and exported. Every figure is of this run
on this machine; the ratios say more than the milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import structlog
import uvloop
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from gateway.audit.events import RequestFinished
from gateway.audit.recorder import Recorder
from gateway.database import create_engine
from gateway.migrations import migrate
from gateway.settings import AuditSettings, DatabaseSettings

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.audit_parts import long_log

SETTINGS = AuditSettings(chain_key=SecretStr("a key of this benchmark, 32 bytes or more"))
FLOOR = "write 4 KiB + fdatasync"
EVENT = RequestFinished(
    request_id="0190b3a1-7c1e-7e1a-9c55-1d2f3a4b5c6d",
    actor="key_7Hq2mXc9RtLa",
    tenant="st-mary",
    route="POST /v1/predict",
    address="192.0.2.7",
    outcome="success",
    status=200,
    media_type="application/dicom",
    input_digest="1f" * 32,
    tensor_digest="2e" * 32,
    patient="3d" * 16,
    model="brain-mri",
    model_version="1",
    model_digest="4c" * 32,
    prediction="glioma",
    deidentification={"policy_digest": "5b" * 32, "actions": {"removed": 12, "uid": 4}, "groups": {"0010": 7}},
    milliseconds={"ingest": 3, "deid": 9, "preprocess": 1, "infer": 21},
)


@dataclass
class Timing:
    name: str
    seconds: list[float]
    wall: float

    def percentile(self, share: float) -> float:
        return sorted(self.seconds)[min(len(self.seconds) - 1, int(share * len(self.seconds)))]


def floor(folder: Path, times: int) -> Timing:
    """Appends, as a write-ahead log does."""
    seconds: list[float] = []
    descriptor = os.open(folder / "floor", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    began = time.perf_counter()
    for _ in range(times):
        start = time.perf_counter()
        os.write(descriptor, b"x" * 4096)
        os.fdatasync(descriptor)
        seconds.append(time.perf_counter() - start)
    wall = time.perf_counter() - began
    os.close(descriptor)
    return Timing(FLOOR, seconds, wall)


async def record(recorder: Recorder, callers: int, times: int) -> Timing:
    seconds: list[float] = []

    async def caller() -> None:
        for _ in range(times // callers):
            start = time.perf_counter()
            await recorder.record(EVENT)
            seconds.append(time.perf_counter() - start)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return Timing(f"record(), {callers} at a time", seconds, time.perf_counter() - began)


async def append(folder: Path, url: str, console: Console) -> None:
    engine = create_engine(DatabaseSettings(url=SecretStr(url)))
    await migrate(engine)
    recorder = Recorder(engine, SETTINGS)
    await recorder.start()
    await record(recorder, 1, 100)  # warm
    bare = floor(folder, 500)
    timings = [bare, await record(recorder, 1, 500), await record(recorder, 64, 12_800)]
    timings.append(await record(recorder, 256, 25_600))
    timings.append(floor(folder, 500))
    await recorder.close()

    table = Table(title=f"{engine.dialect.name}, {len(os.sched_getaffinity(0))} cores, in {folder}")
    for title in ("what", "p50 ms", "p99 ms", "p50 / floor", "a second", "a second / floor"):
        table.add_column(title, justify="left" if title == "what" else "right")
    for each in timings:
        median, rate = each.percentile(0.5), len(each.seconds) / each.wall
        table.add_row(
            each.name,
            f"{median * 1000:.2f}",
            f"{each.percentile(0.99) * 1000:.2f}",
            f"{median / bare.percentile(0.5):.1f}",
            f"{rate:,.0f}",
            f"{rate * bare.wall / len(bare.seconds):.2f}",
        )
    console.print(table)

    await engine.dispose()


async def emptied(url: str) -> str:
    """The bulk begins with an empty log: a file of its own, or the table without what was appended, triggers first."""
    if url.startswith("sqlite"):
        url += "-long"
    engine = create_engine(DatabaseSettings(url=SecretStr(url)))
    await migrate(engine)
    if engine.dialect.name != "sqlite":
        async with engine.begin() as connection:
            for table in ("audit", "audit_checkpoints"):
                await connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
                await connection.exec_driver_sql(f"TRUNCATE {table}")
    await engine.dispose()
    return url


async def main(folder: Path, url: str, records: int, console: Console) -> None:
    await append(folder, url, console)
    await long_log.measure(await emptied(url), records, SETTINGS, console)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where the disk is measured")
    parser.add_argument("--records", type=int, default=100_000, help="of the log that is searched and verified")
    parser.add_argument("--url", help="an empty database; default: SQLite in the folder")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with tempfile.TemporaryDirectory(prefix="cordon-bench-", dir=arguments.folder) as name:
        where = Path(name)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            url = arguments.url or f"sqlite+aiosqlite:///{where}/audit.db"
            runner.run(main(where, url, arguments.records, Console(width=110)))
