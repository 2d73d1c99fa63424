"""What may be recorded, and what may not."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audit import events
from gateway.audit.chain import CHAIN_FIELDS, canonical
from gateway.audit.events import (
    EVENT_TYPES,
    AccessDenied,
    AuditEvent,
    AuditRead,
    GatewayStarted,
    KeyIssued,
    UnfitEvent,
    fields_of,
)
from gateway.audit.tables import audit
from tests.support.audit import finished


def test_each_type_has_a_name_of_its_own_that_fits_its_column() -> None:
    declared = {
        kind.__name__
        for kind in vars(events).values()
        if isinstance(kind, type) and issubclass(kind, AuditEvent) and kind is not AuditEvent
    }

    assert {kind.__name__ for kind in EVENT_TYPES.values()} == declared
    assert all(len(name) <= audit.c.type.type.length for name in EVENT_TYPES)


def test_no_event_has_a_field_that_the_chain_sets() -> None:
    for kind in EVENT_TYPES.values():
        assert not {field.name for field in fields(kind)} & CHAIN_FIELDS


def test_every_event_says_its_type_and_schema() -> None:
    said = fields_of(KeyIssued("r", "key_a", "t", "key_b", "t2", ("predict", "audit:read"), "standard"))

    assert said["type"] == "key.issued"
    assert said["schema"] == 3
    assert said["scopes"] == ["predict", "audit:read"]


def test_an_address_is_recorded_and_never_shown() -> None:
    for event in (finished(), AccessDenied("r", "anonymous", "", "quota", "minute", "GET /", "192.0.2.7", 3, 10)):
        assert fields_of(event)["address"] == "192.0.2.7"
        assert "192.0.2.7" not in repr(event)


def test_a_number_that_is_not_whole_becomes_decimal_text() -> None:
    assert fields_of(finished())["deidentification"]["masked_share"] == "0.25"


@dataclass(frozen=True, slots=True)
class FreeText(AuditEvent):
    type_name = "free.text"
    note: str


@dataclass(frozen=True, slots=True)
class Impostor(AuditEvent):
    type_name = "audit.read"
    note: str


@pytest.mark.parametrize(
    "event", [FreeText("r", "a", "t", "x"), Impostor("r", "a", "t", "x"), AuditEvent("r", "a", "t")]
)
def test_an_event_that_is_not_on_the_list_is_refused(event: AuditEvent) -> None:
    with pytest.raises(UnfitEvent):
        fields_of(event)


@pytest.mark.parametrize(
    "changes",
    [
        {"prediction": "x" * 201},
        {"prediction": "two\nlines"},
        {"prediction": "nul\0"},
        {"prediction": "half a pair \ud800"},
        {"input_digest": b"bytes"},
        {"status": 2**53},
        {"milliseconds": {"größe": 1}},
        {"milliseconds": {1: 1}},
        {"deidentification": {"object": object()}},
    ],
)
def test_an_unfit_value_is_refused_by_its_fields_name_and_not_shown(changes: dict[str, Any]) -> None:
    with pytest.raises(UnfitEvent) as raised:
        fields_of(finished(**changes))

    assert str(raised.value).startswith(next(iter(changes)))
    assert "two" not in str(raised.value)


_texts = st.text(max_size=250)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(request_id=_texts, details=st.dictionaries(_texts, _values, max_size=3), status=st.integers())
def test_what_passes_can_be_written(request_id: str, details: dict[str, Any], status: int) -> None:
    """Else one event could stop the writer for all."""
    try:
        said = fields_of(finished(request_id, deidentification=details, status=status))
    except UnfitEvent:
        return
    canonical(said)


def test_lists_of_names_and_maps_of_digests_are_taken() -> None:
    assert fields_of(AuditRead("r", "a", "t", "list", ("since", "actor")))["filters"] == ["since", "actor"]
    assert fields_of(GatewayStarted("r", "system", "", "0.1.0", 7, {"policies/access.yaml": "ab"}))["digests"]
