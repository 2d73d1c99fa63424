"""What only the links between records can tell."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gateway.audit.chain import EMPTY, Record, link
from gateway.audit.checkpoints import Signer, TrustedKeys, checkpoint
from gateway.audit.events import fields_of
from gateway.audit.keys import ChainKey, KeyRing
from gateway.audit.tables import row_of
from gateway.audit.verify import COLUMNS, Report, Verification
from tests.support.audit import finished, of_schema_1

if TYPE_CHECKING:
    from collections.abc import Iterable

KEY = ChainKey.of(b"k" * 32)
RING = KeyRing([KEY])
SIGNER = Signer(KEY.secret)
TRUSTED = TrustedKeys([SIGNER.public])
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def chain(*names: str) -> list[Record]:
    records: list[Record] = []
    for name in names:
        head = records[-1].head if records else EMPTY
        records.append(link(KEY, fields_of(finished(name)), head, NOON))
    return records


def report_on(records: Iterable[Record], **changes: Any) -> Report:
    settings: dict[str, Any] = {"stored": [], "elsewhere": None, "checkpoint_every": 100}
    verification = Verification(RING, TRUSTED, **(settings | changes))
    for record in records:
        row = row_of(record)
        verification.add([row[name] for name in COLUMNS])
    return verification.finish()


def test_a_chain_is_good() -> None:
    assert report_on(chain("a", "b", "c")).good


def test_a_genuine_record_of_another_history_is_found() -> None:
    """It has the right number and a good hash, as a restored backup might: only the links around it tell."""
    ours, other = chain("a", "b", "c", "d"), chain("a", "x", "y", "z")
    report = report_on([*ours[:2], other[2], ours[3]])

    assert report.verdicts["integrity"].good
    assert report.verdicts["order"].first_bad == 3
    assert report.verdicts["order"].faults == 2


def test_another_history_grown_to_the_same_length_is_found_by_a_checkpoint() -> None:
    ours, other = chain("a", "b", "c"), chain("a", "x", "y")
    report = report_on(other, stored=[checkpoint(SIGNER, ours[1].head, NOON)])

    assert report.verdicts["order"].good
    assert report.verdicts["completeness"].first_bad == 2


def test_of_two_good_checkpoints_of_one_size_one_is_wrong() -> None:
    ours, other = chain("a", "b"), chain("a", "x")
    both = [checkpoint(SIGNER, ours[1].head, NOON), checkpoint(SIGNER, other[1].head, NOON)]

    assert not report_on(ours, stored=both).verdicts["completeness"].good


def test_the_first_fault_is_named_and_all_are_counted() -> None:
    records = chain(*"abcdefgh")
    report = report_on([records[0], *records[2:5], *records[6:]])

    order = report.verdicts["order"]
    assert (order.first_bad, order.says) == (2, "1 missing")
    assert order.faults == 4  # two gaps, and after each a record that does not follow the one before it


def test_records_of_an_older_schema_stay_good_beside_newer_ones() -> None:
    """What was hashed is stored byte by byte: a field that came later is not missed in what was written before."""
    told = fields_of(finished("a"))
    older = {name: value for name, value in told.items() if name != "output_digest"} | {"schema": 1}
    first = of_schema_1(KEY.secret, older, EMPTY, NOON)
    second = of_schema_1(KEY.secret, older, first.head, NOON)
    third = link(KEY, told, second.head, NOON)

    assert second.prev == first.hash
    assert third.prev == second.head.digest
    assert report_on([first, second, third]).good
    assert not report_on([first, third]).good
