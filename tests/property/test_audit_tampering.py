"""Whatever is changed in a stored log, verification finds it, and names the place."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audit.chain import Head
from gateway.audit.checkpoints import Signer, checkpoint
from gateway.audit.verify import COLUMNS
from gateway.errors import AuditUnavailable
from tests.support.audit import CHAIN_KEY, finished, recording, sqlite_url, tamper, verified

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.audit.verify import Report

RECORDS = 8
ATTACKS = settings(max_examples=30, deadline=None)
TEXTS = [name for name in COLUMNS if name != "seq"]


@dataclass(frozen=True)
class Log:
    """A whole log with one checkpoint, on disk; each attack has a copy of its own."""

    database: Path

    def attacked(self, *statements: str, second_place: bytes | None = None) -> Report:
        with tempfile.TemporaryDirectory(dir=self.database.parent) as folder:
            copy = Path(folder) / "audit.db"
            shutil.copy(self.database, copy)
            place = Path(f"{copy}.checkpoints")
            if second_place is None:
                shutil.copy(f"{self.database}.checkpoints", place)
            elif second_place:
                place.write_bytes(second_place)
            tamper(copy, *statements)
            return asyncio.run(verified(sqlite_url(copy), checkpoint_every=RECORDS - 1))

    def value(self, seq: int, column: str) -> Any:
        with closing(sqlite3.connect(self.database)) as connection:
            return connection.execute(f"SELECT {column} FROM audit WHERE seq = {seq}").fetchone()[0]


@pytest.fixture(scope="module")
def log() -> Iterator[Log]:
    async def write(database: Path) -> None:
        async with recording(sqlite_url(database)) as recorder:
            for number in range(RECORDS):
                await recorder.record(finished(f"r{number}", outcome="refused" if number % 2 else "success"))

    with tempfile.TemporaryDirectory(prefix="cordon-audit-", dir="/tmp") as folder:
        database = Path(folder) / "whole.db"
        asyncio.run(write(database))
        tamper(database, "PRAGMA wal_checkpoint(TRUNCATE)")
        yield Log(database)


def test_a_whole_log_is_good(log: Log) -> None:
    report = log.attacked()

    assert report.good
    assert (report.records, report.sealed) == (RECORDS, RECORDS)


@ATTACKS
@given(data=st.data(), seq=st.integers(1, RECORDS), column=st.sampled_from(TEXTS))
def test_any_changed_byte_is_found(log: Log, data: st.DataObject, seq: int, column: str) -> None:
    """Also one that leaves text that is not UTF-8, which the database itself then refuses to read."""
    value = log.value(seq, column).encode()
    at = data.draw(st.integers(0, len(value) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != value[at]))
    changed = value[:at] + bytes([other]) + value[at + 1 :]

    report = log.attacked(f"UPDATE audit SET {column} = CAST(x'{changed.hex()}' AS TEXT) WHERE seq = {seq}")

    assert report.verdicts["integrity"].first_bad == seq
    assert report.records == RECORDS


@ATTACKS
@given(
    seq=st.integers(1, RECORDS),
    column=st.sampled_from(TEXTS),
    value=st.sampled_from(["7", "x'00'", "''", "body || ' '", "hash", "prev", "-1.5", "zeroblob(3)"]),
)
def test_a_value_of_any_other_type_is_found(log: Log, seq: int, column: str, value: str) -> None:
    if column == value:
        return
    report = log.attacked(f"UPDATE audit SET {column} = {value} WHERE seq = {seq}")

    assert report.verdicts["integrity"].first_bad == seq


@ATTACKS
@given(seqs=st.sets(st.integers(1, RECORDS), min_size=1))
def test_any_removed_records_are_found(log: Log, seqs: set[int]) -> None:
    report = log.attacked(f"DELETE FROM audit WHERE seq IN ({', '.join(map(str, seqs))})")

    left = set(range(1, RECORDS + 1)) - seqs
    cut = max(left, default=0) < RECORDS
    gap = any(seq < max(left, default=0) for seq in seqs)
    assert report.verdicts["completeness"].good is not cut
    assert report.verdicts["order"].good is not gap
    if gap:
        assert report.verdicts["order"].first_bad == min(seqs)
    else:
        assert report.verdicts["completeness"].first_bad == min(seqs)


@ATTACKS
@given(first=st.integers(1, RECORDS), second=st.integers(1, RECORDS))
def test_swapped_records_are_found(log: Log, first: int, second: int) -> None:
    if first == second:
        return
    report = log.attacked(
        f"UPDATE audit SET seq = -1 WHERE seq = {first}",
        f"UPDATE audit SET seq = {first} WHERE seq = {second}",
        f"UPDATE audit SET seq = {second} WHERE seq = -1",
    )

    assert report.verdicts["order"].first_bad == min(first, second)


@pytest.mark.parametrize("seq", [-3, 0, RECORDS + 1, 10**12])
def test_an_inserted_copy_is_found(log: Log, seq: int) -> None:
    columns = ", ".join(TEXTS)
    report = log.attacked(f"INSERT INTO audit (seq, {columns}) SELECT {seq}, {columns} FROM audit WHERE seq = 3")

    assert not report.verdicts["order"].good


def test_removing_and_renumbering_is_found(log: Log) -> None:
    report = log.attacked("DELETE FROM audit WHERE seq = 3", "UPDATE audit SET seq = seq - 1 WHERE seq > 3")

    assert report.verdicts["order"].first_bad == 3
    assert not report.verdicts["completeness"].good


def test_a_record_of_another_key_is_found(log: Log) -> None:
    report = log.attacked(f"UPDATE audit SET hash = '{'0' * 64}' WHERE seq = {RECORDS}")

    assert report.verdicts["integrity"].first_bad == RECORDS


def test_an_emptied_log_is_found_by_its_checkpoint(log: Log) -> None:
    assert log.attacked("DELETE FROM audit").verdicts["completeness"].first_bad == 1


def test_a_cut_with_the_tables_checkpoint_removed_is_found_by_the_second_place(log: Log) -> None:
    report = log.attacked("DELETE FROM audit WHERE seq > 5", "DELETE FROM audit_checkpoints")

    assert report.verdicts["completeness"].first_bad == 6
    assert not report.verdicts["checkpoints"].good


def test_a_cut_with_the_second_place_removed_is_found_by_the_table(log: Log) -> None:
    report = log.attacked("DELETE FROM audit WHERE seq > 5", second_place=b"")

    assert report.verdicts["completeness"].first_bad == 6


def test_a_long_log_without_any_checkpoint_is_suspect(log: Log) -> None:
    report = log.attacked("DELETE FROM audit_checkpoints", second_place=b"")

    assert not report.verdicts["checkpoints"].good


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("size", "7"),  # SQLite itself keeps a row's number whole
        *product(["head", "time", "key_id", "signature"], ["7", "'x'", "x'ff'", "CAST(x'ff' AS TEXT)"]),
    ],
)
def test_any_changed_checkpoint_is_found(log: Log, column: str, value: str) -> None:
    report = log.attacked(f"UPDATE audit_checkpoints SET {column} = {value}")

    assert not report.verdicts["checkpoints"].good


def test_a_changed_line_of_the_second_place_is_found(log: Log) -> None:
    whole = Path(f"{log.database}.checkpoints").read_bytes()
    for at in range(0, len(whole) - 1, 7):
        changed = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        assert not log.attacked(second_place=changed).verdicts["checkpoints"].good, at


def test_a_line_that_a_crash_cut_short_is_no_fault(log: Log) -> None:
    whole = Path(f"{log.database}.checkpoints").read_bytes()

    assert log.attacked(second_place=whole + whole[:50]).good


def test_a_line_that_a_full_disk_cut_short_and_that_was_written_again_is_no_fault(log: Log) -> None:
    whole = Path(f"{log.database}.checkpoints").read_bytes()

    assert log.attacked(second_place=whole[:50] + b"\n" + whole).good
    assert not log.attacked(second_place=whole[:50] + b"!\n" + whole).good


def test_a_checkpoint_by_another_key_counts_for_nothing(log: Log) -> None:
    forged = checkpoint(Signer(b"another secret, 32 bytes or more"), Head(RECORDS, "00" * 32), datetime.now(UTC))
    report = log.attacked(second_place=forged.line())

    assert report.verdicts["checkpoints"].first_bad == RECORDS
    assert report.verdicts["completeness"].good


def test_a_rewritten_tail_is_found_even_by_whoever_has_the_chains_key(log: Log) -> None:
    """The chain itself is flawless then; the checkpoint of before is what stands against it."""

    async def rewrite(copy: Path) -> Report:
        async with recording(sqlite_url(copy)) as recorder:
            for number in range(RECORDS):
                await recorder.record(finished(f"forged{number}"))
        return await verified(sqlite_url(copy))

    with tempfile.TemporaryDirectory(dir=log.database.parent) as folder:
        copy = Path(folder) / "audit.db"
        shutil.copy(log.database, copy)
        shutil.copy(f"{log.database}.checkpoints", f"{copy}.checkpoints")
        tamper(copy, "DELETE FROM audit")
        report = asyncio.run(rewrite(copy))

    assert report.verdicts["integrity"].good
    assert report.verdicts["order"].good
    assert report.verdicts["completeness"].first_bad == RECORDS
    assert CHAIN_KEY not in repr(report)


def test_a_damaged_file_is_a_bad_verdict_or_a_clear_error(log: Log) -> None:
    whole = log.database.read_bytes()
    with tempfile.TemporaryDirectory(dir=log.database.parent) as folder:
        copy = Path(folder) / "audit.db"
        shutil.copy(f"{log.database}.checkpoints", f"{copy}.checkpoints")
        body = whole.index(b'"request_id":"r5"')
        copy.write_bytes(whole[: body - 2000] + b"\xff" * 4000 + whole[body + 2000 :])
        try:
            report = asyncio.run(verified(sqlite_url(copy)))
        except AuditUnavailable:
            return
        assert not report.good
