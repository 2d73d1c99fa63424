"""What is kept of the names that a caller gives a request."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.api.correlation import new_request_id, traceparent, well_formed

GOOD = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@given(st.text())
def test_a_kept_id_can_do_no_harm(text):
    if well_formed(text):
        assert 8 <= len(text) <= 64
        assert text.isascii()
        assert text.replace(".", "").replace("_", "").replace("-", "").isalnum() or not text.strip("._-")


def test_a_new_id_is_well_formed():
    assert well_formed(new_request_id())
    assert new_request_id() != new_request_id()


def test_one_good_traceparent():
    assert traceparent([(b"traceparent", GOOD)]) == (GOOD.decode(), "0af7651916cd43dd8448eb211c80319c")


def test_two_are_none():
    assert traceparent([(b"traceparent", GOOD), (b"traceparent", GOOD)]) is None


@given(st.binary(max_size=80))
def test_anything_else_is_none(value):
    assert traceparent([(b"traceparent", value)]) is None
