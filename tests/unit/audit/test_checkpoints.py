"""Checkpoints: what is signed holds, and nothing else does."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson
import pytest
from pydantic import SecretStr, ValidationError

from gateway.audit.chain import Head
from gateway.audit.checkpoints import Checkpoint, Signer, checkpoint, holds
from gateway.audit.sealer import append_line
from gateway.settings import AuditSettings
from tests.support.audit import CHAIN_KEY, audit_settings

if TYPE_CHECKING:
    from pathlib import Path

SIGNER = Signer(b"s" * 32)
CHECKPOINT = checkpoint(SIGNER, Head(7, "ab" * 32, "cd" * 32), datetime(2026, 1, 2, tzinfo=UTC))


def test_a_signature_holds() -> None:
    assert holds(CHECKPOINT, SIGNER.public)


@pytest.mark.parametrize(
    "change",
    [
        {"size": 8},
        {"head": "ac" * 32},
        {"time": "2026-01-02T00:00:00.000001Z"},
        {"key_id": "0" * 16},
        {"signature": "0" * 128},
        {"signature": CHECKPOINT.signature.upper()},
        {"signature": ""},
        {"signature": "not hex"},
        {"size": "7"},
        {"head": None},
        {"digest": "ce" * 32},
        {"digest": ""},
        {"head": b"x"},
    ],
    ids=str,
)
def test_any_change_breaks_it(change: dict[str, object]) -> None:
    assert not holds(replace(CHECKPOINT, **change), SIGNER.public)  # type: ignore[arg-type]  # that is the point


def test_another_key_did_not_say_it() -> None:
    assert not holds(CHECKPOINT, Signer(b"t" * 32).public)


def test_a_line_gives_back_the_checkpoint() -> None:
    assert Checkpoint.parse(orjson.loads(CHECKPOINT.line())) == CHECKPOINT


@pytest.mark.parametrize(
    "change", [{"type": "other"}, {"schema": 1}, {"schema": 3}, {"digest": ""}, {"more": 1}, {"size": "7"}, {"head": 7}]
)
def test_a_line_of_another_form_is_not_one(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"not a cordon\.audit\.checkpoint"):
        Checkpoint.parse(orjson.loads(CHECKPOINT.line()) | change)


def test_a_checkpoint_of_the_first_schema_has_no_digest() -> None:
    first = checkpoint(SIGNER, Head(7, "ab" * 32), datetime(2026, 1, 2, tzinfo=UTC))

    assert "digest" not in orjson.loads(first.line())
    assert Checkpoint.parse(orjson.loads(first.line())) == first
    assert holds(first, SIGNER.public)


def test_the_signing_key_is_derived_unless_set() -> None:
    derived = Signer.of(audit_settings())
    own = Signer.of(audit_settings(signing_key=SecretStr("a signing key of 32 bytes or more")))

    assert derived.key_id == Signer.of(audit_settings()).key_id
    assert derived.key_id != own.key_id
    assert own.key_id == Signer(b"a signing key of 32 bytes or more").key_id


@pytest.mark.parametrize("signing", ["too short", CHAIN_KEY])
def test_a_weak_signing_key_is_refused_and_not_shown(signing: str) -> None:
    with pytest.raises(ValidationError, match="AUDIT_SIGNING_KEY") as raised:
        AuditSettings(chain_key=SecretStr(CHAIN_KEY), signing_key=SecretStr(signing))

    assert signing not in str(raised.value)


def test_a_line_after_one_that_was_cut_short_begins_anew(tmp_path: Path) -> None:
    place = tmp_path / "checkpoints"
    append_line(place, CHECKPOINT.line())
    with place.open("ab") as file:
        file.write(CHECKPOINT.line()[:40])  # the disk was full
    append_line(place, CHECKPOINT.line())
    append_line(place, CHECKPOINT.line())

    line = CHECKPOINT.line()
    assert place.read_bytes() == line + line[:40] + b"\n" + line + line
