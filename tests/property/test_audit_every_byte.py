"""Every byte of a sample of records, its lowest bit turned: found, and named by the number of its record.

Rows are held in memory here, as a database would give them: so no byte is left out. ``test_audit_tampering.py`` does a
part of the same in real databases.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from gateway.audit.chain import EMPTY, Record, link
from gateway.audit.checkpoints import Checkpoint, Signer, TrustedKeys, checkpoint
from gateway.audit.events import fields_of
from gateway.audit.keys import ChainKey, KeyRing
from gateway.audit.tables import row_of
from gateway.audit.verify import COLUMNS, Report, Verification
from tests.support.audit import finished

KEY = ChainKey.of(b"k" * 32)
SIGNER = Signer(b"s" * 32)
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
RECORDS, SAMPLE = 6, (1, 3, 6)


def _log() -> tuple[list[list[Any]], Checkpoint]:
    """Rows as ``COLUMNS`` lists them, and a statement over all of them."""
    records: list[Record] = []
    for number in range(RECORDS):
        head = records[-1].head if records else EMPTY
        event = finished(f"r{number}", outcome="refused" if number % 2 else "success")
        records.append(link(KEY, fields_of(event), head, NOON + timedelta(seconds=number)))
    rows = [[row_of(record)[name] for name in COLUMNS] for record in records]
    return rows, checkpoint(SIGNER, records[-1].head, NOON)


ROWS, SEALED = _log()


def verdicts(rows: list[list[Any]], *stored: Checkpoint) -> Report:
    verification = Verification(
        KeyRing([KEY]), TrustedKeys([SIGNER.public]), stored=stored, elsewhere=None, checkpoint_every=RECORDS - 1
    )
    verification.add_all(rows)
    return verification.finish()


def test_the_log_is_good() -> None:
    assert verdicts(ROWS, SEALED).good


@pytest.mark.parametrize("seq", SAMPLE)
def test_every_changed_byte_is_found_and_its_record_named(seq: int) -> None:
    row, tried = ROWS[seq - 1], 0
    for at, value in enumerate(row):
        if not isinstance(value, str):
            continue
        raw = value.encode()
        for place in range(len(raw)):
            changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
            other = [*row[:at], changed.decode("utf-8", "surrogateescape"), *row[at + 1 :]]
            report = verdicts([*ROWS[: seq - 1], other, *ROWS[seq:]], SEALED)
            assert report.verdicts["integrity"].first_bad == seq, (COLUMNS[at], place)
            tried += 1
    assert tried > 1000


@pytest.mark.parametrize("number", [0, 2, RECORDS + 1, 10**9])
def test_another_number_is_found(number: int) -> None:
    report = verdicts([ROWS[0], [number, *ROWS[1][1:]], *ROWS[2:]], SEALED)
    assert report.good is (number == 2)


def test_every_removed_record_is_found_and_named() -> None:
    for seq in range(1, RECORDS + 1):
        report = verdicts([row for row in ROWS if row[0] != seq], SEALED)
        question = "completeness" if seq == RECORDS else "order"
        assert report.verdicts[question].first_bad == seq


def test_every_two_records_that_change_places_are_found() -> None:
    for one, other in permutations(range(RECORDS), 2):
        rows = [list(row) for row in ROWS]
        rows[one][1:], rows[other][1:] = ROWS[other][1:], ROWS[one][1:]
        report = verdicts(rows, SEALED)
        assert report.verdicts["order"].first_bad == min(one, other) + 1


def test_every_record_put_in_again_is_found() -> None:
    for seq in range(1, RECORDS + 1):
        again = [RECORDS + 1, *ROWS[seq - 1][1:]]
        assert verdicts([*ROWS, again], SEALED).verdicts["order"].first_bad == RECORDS + 1


def test_every_cut_of_the_tail_is_found_and_says_how_much() -> None:
    for left in range(RECORDS):
        verdict = verdicts(ROWS[:left], SEALED).verdicts["completeness"]
        assert verdict.first_bad == left + 1
        assert f"{RECORDS - left} more" in verdict.says


def test_every_changed_byte_of_a_checkpoint_is_found() -> None:
    for name in ("head", "time", "key_id", "signature", "digest"):
        value = getattr(SEALED, name)
        for place in range(len(value)):
            changed = value[:place] + chr(ord(value[place]) ^ 1) + value[place + 1 :]
            forged = replace(SEALED, **{name: changed})  # type: ignore[arg-type] # all of these are text
            assert not verdicts(ROWS, forged).verdicts["checkpoints"].good, (name, place)


def test_checkpoints_that_are_all_gone_are_missed() -> None:
    assert not verdicts(ROWS).verdicts["checkpoints"].good
