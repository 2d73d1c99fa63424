"""Processes that put events on record until they are killed, and note on another disk what they were told."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import traceback
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog
from pydantic import SecretStr

from gateway.audit.events import RequestFinished
from gateway.audit.reader import AuditReader
from gateway.audit.recorder import Recorder
from gateway.audit.search import Filters
from gateway.database import create_engine
from gateway.errors import AuditUnavailable
from gateway.migrations import migrate
from gateway.settings import AuditSettings, DatabaseSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path
    from typing import Any

CALLERS = 4
PATIENCE = 1.0
EVENT = RequestFinished(
    request_id="",
    actor="key_7Hq2mXc9RtLa",
    tenant="st-mary",
    route="POST /v1/predict",
    address="192.0.2.7",
    outcome="success",
    status=200,
    input_digest="1f" * 32,
    tensor_digest="2e" * 32,
    patient="3d" * 16,
    model="brain-mri",
    model_version="1",
    milliseconds={"ingest": 3, "infer": 21},
)


def settings() -> AuditSettings:
    return AuditSettings(
        chain_key=SecretStr("a key of this benchmark, 32 bytes or more"),
        timeout_seconds=PATIENCE,
        checkpoint_every=200,
        checkpoint_seconds=0.3,
    )


@dataclass(frozen=True, slots=True)
class Found:
    """What is in the log.

    Attributes:
        ids: Of every record, in the order of the chain.
        faults: What verification says is wrong; empty if nothing is.
    """

    ids: list[str]
    faults: list[str]


def forked(work: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Run it in a process of its own; returns the process ID."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
        asyncio.run(work())
        code = 0
    except BaseException:  # noqa: BLE001 - this process ends here, whatever it is
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def writer(url: str, notes: Path, name: str) -> int:
    """Start one. It notes ``+ID`` for what was acknowledged, ``-ID`` for what was refused."""

    async def caller(recorder: Recorder, number: int, descriptor: int) -> None:
        turn = 0
        while True:
            turn += 1
            called = f"{name}.{number}.{turn}"
            try:
                await recorder.record(replace(EVENT, request_id=called))
            except AuditUnavailable:
                os.write(descriptor, f"-{called}\n".encode())
                await asyncio.sleep(0.01)
            else:
                os.write(descriptor, f"+{called}\n".encode())

    async def work() -> None:
        descriptor = os.open(notes / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        engine = create_engine(DatabaseSettings(url=SecretStr(url)))
        while True:
            recorder = Recorder(engine, settings())
            try:
                await recorder.start()
                break
            except AuditUnavailable:  # the gateway would end here and be started again
                await asyncio.sleep(0.05)
        await asyncio.gather(*(caller(recorder, number, descriptor) for number in range(CALLERS)))

    return forked(work)


def prepare(url: str) -> None:
    """Make the tables."""

    async def work() -> None:
        engine = create_engine(DatabaseSettings(url=SecretStr(url)))
        await migrate(engine)
        await engine.dispose()

    _, status = os.waitpid(forked(work), 0)
    if status:
        raise RuntimeError("the tables could not be made")


def look(url: str, folder: Path) -> Found:
    """Read and verify the log, in a process of its own."""
    result = folder / "found"

    async def work() -> None:
        engine = create_engine(DatabaseSettings(url=SecretStr(url)))
        reader = AuditReader(engine, settings())
        report = await reader.verify()
        ids = [record.fields["request_id"] async for record in reader.walk(Filters())]
        await engine.dispose()
        bad = [f"{name}: {verdict.says}" for name, verdict in report.verdicts.items() if not verdict.good]
        result.write_text("\n".join([*(f"!{fault}" for fault in bad), *ids]))

    result.unlink(missing_ok=True)
    _, status = os.waitpid(forked(work), 0)
    if status:
        raise RuntimeError("the log could not be read")
    lines = result.read_text().splitlines()
    return Found([line for line in lines if not line.startswith("!")], [line for line in lines if line.startswith("!")])
