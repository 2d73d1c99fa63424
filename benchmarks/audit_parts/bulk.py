"""A long log, written in bulk: a real chain over records as a year of work leaves them, with checkpoints."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import asyncpg

from gateway.audit.chain import EMPTY, Head, link
from gateway.audit.checkpoints import Signer, checkpoint
from gateway.audit.events import AccessDenied, AuditEvent, KeyRevoked, RequestFinished, RequestStarted, fields_of
from gateway.audit.keys import KeyRing
from gateway.audit.tables import audit, audit_checkpoints, row_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL

    from gateway.settings import AuditSettings

START = datetime(2026, 1, 1, tzinfo=UTC)
COLUMNS = [column.name for column in audit.c]
CHECKPOINT_COLUMNS = [column.name for column in audit_checkpoints.c]
TENANTS = [("st-mary", 0.6), ("north", 0.3), ("south", 0.0999), ("tiny", 0.0001)]
BATCH = 20_000


def events(number: int, seed: int = 1) -> Iterator[AuditEvent]:
    """Pairs of a start and an end mostly; a refusal here and there; a key that is revoked once in 20,000."""
    draw = random.Random(seed)
    names, weights = zip(*TENANTS, strict=True)
    made = 0
    while made < number:
        tenant = draw.choices(names, weights)[0]
        actor = f"key_{tenant}{draw.randrange(20)}"
        request_id = f"{draw.getrandbits(128):032x}"
        address = f"192.0.2.{draw.randrange(256)}"
        chance = draw.random()
        if chance < 0.0001:
            yield KeyRevoked(request_id, actor, tenant, f"key_{draw.randrange(99)}", tenant)
        elif chance < 0.01:
            yield AccessDenied(request_id, actor, tenant, "quota", "minute", "POST /v1/predict", address, 3, 10)
        else:
            yield RequestStarted(request_id, actor, tenant, "POST /v1/predict", address)
            yield _finished(draw, request_id, actor, tenant, address)
            made += 1
        made += 1


def _finished(draw: random.Random, request_id: str, actor: str, tenant: str, address: str) -> RequestFinished:
    failed = draw.random() < 0.005
    return RequestFinished(
        request_id=request_id,
        actor=actor,
        tenant=tenant,
        route="POST /v1/predict",
        address=address,
        outcome="failed" if failed else "success",
        status=503 if failed else 200,
        media_type="application/dicom",
        input_digest=f"{draw.getrandbits(256):064x}",
        tensor_digest=f"{draw.getrandbits(256):064x}",
        patient=f"{draw.randrange(50_000):024d}",
        model="chest" if tenant == "north" else "brain-mri",
        model_version="1",
        model_digest="4c" * 32,
        prediction="glioma",
        deidentification={"policy_digest": "5b" * 32, "actions": {"removed": 12, "uid": 4}, "groups": {"0010": 7}},
        milliseconds={"ingest": 3, "deid": 9, "preprocess": 1, "infer": 21},
    )


def batches(number: int, settings: AuditSettings) -> Iterator[tuple[list[dict[str, Any]], dict[str, Any]]]:
    """Rows of the log, and the checkpoint over each batch; evenly over a year."""
    key, signer = KeyRing.of(settings).current, Signer.of(settings)
    head: Head = EMPTY
    rows: list[dict[str, Any]] = []
    step = timedelta(days=365) / number
    for event in events(number):
        record = link(key, fields_of(event), head, START + head.seq * step)
        head = record.head
        rows.append(row_of(record))
        if len(rows) == BATCH:
            yield rows, asdict(checkpoint(signer, head, START + head.seq * step))
            rows = []
    if rows:
        yield rows, asdict(checkpoint(signer, head, START + head.seq * step))


def fill_sqlite(url: URL, number: int, settings: AuditSettings) -> None:
    """Straight into the file: the recorder's flushes are not what is measured here."""
    with closing(sqlite3.connect(str(url.database))) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        marks = ", ".join(f":{name}" for name in COLUMNS)
        seals = ", ".join(f":{name}" for name in CHECKPOINT_COLUMNS)
        for rows, seal in batches(number, settings):
            connection.executemany(f"INSERT INTO audit ({', '.join(COLUMNS)}) VALUES ({marks})", rows)
            connection.execute(
                f"INSERT INTO audit_checkpoints ({', '.join(CHECKPOINT_COLUMNS)}) VALUES ({seals})", seal
            )
            connection.commit()


async def fill_postgres(url: URL, number: int, settings: AuditSettings) -> None:
    """By COPY, and ANALYZE as autovacuum would."""
    connection = await asyncpg.connect(user=url.username, database=url.database, host=url.query.get("host") or url.host)
    for rows, seal in batches(number, settings):
        await connection.copy_records_to_table(
            "audit", records=[tuple(row[name] for name in COLUMNS) for row in rows], columns=COLUMNS
        )
        await connection.copy_records_to_table(
            "audit_checkpoints", records=[tuple(seal[name] for name in CHECKPOINT_COLUMNS)], columns=CHECKPOINT_COLUMNS
        )
    await connection.execute("VACUUM ANALYZE audit")
    await connection.close()
