"""The canonical form and the links."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audit.chain import EMPTY, GENESIS, NotCanonical, canonical, digest, link, time_text
from gateway.audit.keys import ChainKey

KEY = ChainKey.of(b"k" * 32)
NOON = datetime(2026, 1, 2, 12, 0, 0, 7, tzinfo=UTC)

_text = st.text(alphabet=st.characters(exclude_categories=("Cs",)))
_names = st.text(alphabet=st.characters(max_codepoint=127), max_size=6)
_whole = st.integers(-(2**53) + 1, 2**53 - 1)
_values = st.recursive(
    st.none() | st.booleans() | _whole | _text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_names, inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(_names, _values, max_size=6))
def test_the_canonical_form_is_sorted_compact_utf8(value: dict[str, Any]) -> None:
    """Held against another writer: any difference would make records that others cannot check."""
    plain = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    assert canonical(value) == plain.encode()


@settings(deadline=None)
@given(st.dictionaries(_names, _values, max_size=6))
def test_reading_and_writing_again_changes_nothing(value: dict[str, Any]) -> None:
    assert canonical(json.loads(canonical(value))) == canonical(value)


@pytest.mark.parametrize(
    "value",
    [1.0, float("nan"), 2**53, -(2**53), b"x", {1, 2}, type, datetime(2026, 1, 1, tzinfo=UTC), "\ud800"],
    ids=repr,
)
def test_what_json_writers_disagree_on_is_refused(value: object) -> None:
    for nested in ({"a": value}, {"a": [value]}, {"a": {"b": (1, value)}}):
        with pytest.raises(NotCanonical):
            canonical(nested)


@pytest.mark.parametrize("name", [1, None, "größe"])
def test_names_are_ascii_text(name: Any) -> None:
    with pytest.raises(NotCanonical):
        canonical({name: 1})


def test_a_record_is_an_hmac_over_its_canonical_body() -> None:
    record = link(KEY, {"type": "key.revoked", "schema": 1, "key": "key_ü"}, EMPTY, NOON)

    body = (
        '{"chain_key":"'
        + KEY.id
        + '","key":"key_ü","prev":"'
        + "0" * 64
        + '","schema":1,"seq":1,"time":"2026-01-02T12:00:00.000007Z",'
        '"type":"key.revoked"}'
    )
    assert record.body == body
    assert record.hash == hmac.new(KEY.secret, body.encode(), hashlib.sha256).hexdigest()
    assert record.prev == GENESIS


def test_hmac_is_that_of_rfc_4231_case_2() -> None:
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"

    assert digest(b"Jefe", b"what do ya want for nothing?") == expected


def test_each_record_names_the_one_before() -> None:
    first = link(KEY, {"a": 1}, EMPTY, NOON)
    second = link(KEY, {"a": 1}, first.head, NOON)

    assert (second.seq, second.prev) == (2, hashlib.sha256(first.body.encode()).hexdigest())
    assert second.hash != first.hash


def test_time_is_utc_to_the_microsecond_and_of_one_width() -> None:
    on_the_second = datetime(2026, 1, 2, 13, 0, 0, tzinfo=timezone(timedelta(hours=1)))

    assert time_text(on_the_second) == "2026-01-02T12:00:00.000000Z"
    assert time_text(on_the_second) < time_text(NOON)
