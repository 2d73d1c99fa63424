"""Step 7 of 7: the keyed hash chain. Pure functions: events in, linked records out, and the same again to check them.

    body_n   = canonical JSON of {seq, time, type, schema, chain_key, the event's fields, prev: digest_(n-1)}
    hash_n   = HMAC-SHA256(key, body_n)
    digest_n = SHA-256(body_n)                                               prev of the first record: GENESIS

Keyed, because whoever can write to the store could recompute an unkeyed chain after a change. ``prev`` is the public
digest all the same: it stands in what is keyed, and a signed checkpoint over the last digest lets someone without the
key follow the chain back from it. ``chain_key`` names the key, so that keys can be changed. Records of the schemas 1
and 2 name no key, and their ``prev`` is hash_(n-1).

The canonical form is that of RFC 8785 (JCS) over what we admit: whole numbers within ±(2⁵³-1), text, lists, objects; no
fractions, whose shortest form differs between languages. What is hashed is stored byte by byte: to check it, nothing is
written anew.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import UTC
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from gateway.audit.keys import ChainKey

FIRST_PUBLIC_SCHEMA = 3
"""From this schema on ``prev`` is the digest of the record before, and the key is named."""
GENESIS = "0" * 64
"""``prev`` of the first record."""
MAX_INTEGER = 2**53 - 1  # RFC 8785 §3.2.2.3: beyond it, JavaScript's numbers lose digits
CHAIN_FIELDS = frozenset({"seq", "time", "type", "schema", "prev", "chain_key"})
"""What the chain adds to an event's fields; no event has a field of such a name."""


class NotCanonical(ValueError):
    """A value that the canonical form does not have. Says its type, not the value."""


@dataclass(frozen=True, slots=True)
class Head:
    """The chain's end: how many records it has, the hash of the last and its public digest."""

    seq: int
    hash: str
    digest: str = ""


EMPTY = Head(0, GENESIS, GENESIS)
"""The head of a chain without records."""


@dataclass(frozen=True, slots=True)
class Record:
    """One link.

    Attributes:
        seq: 1, 2, 3, ... without gaps.
        body: Canonical JSON of everything the record says; what is hashed.
        prev: Digest of the record before it, hex.
        hash: HMAC-SHA256 of ``body``, hex.
        fields: ``body``, read.
    """

    seq: int
    body: str
    prev: str
    hash: str
    fields: Mapping[str, Any]

    @property
    def head(self) -> Head:
        """The chain's end, when this record is the last."""
        return Head(self.seq, self.hash, public_digest(self.body.encode()))


def canonical(value: Mapping[str, Any]) -> bytes:
    """The one way to write an object: members sorted, no blanks, UTF-8.

    Raises:
        NotCanonical: It holds a float, a whole number beyond ±(2⁵³-1), a name that is not ASCII, half a surrogate pair,
            or a type that JSON has not.
    """
    _check(value)
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise NotCanonical(f"cannot be written: {type(error).__name__}") from None


def _check(value: object) -> None:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return
    if kind is int:
        if not -MAX_INTEGER <= value <= MAX_INTEGER:  # type: ignore[operator]  # mypy does not narrow by type() is
            raise NotCanonical("a whole number beyond 53 bits")
    elif isinstance(value, dict):
        for name, each in value.items():
            # Of ASCII names, the order by UTF-16 units that RFC 8785 asks for is the order by bytes.
            if type(name) is not str or not name.isascii():
                raise NotCanonical("a name that is not ASCII text")
            _check(each)
    elif isinstance(value, list | tuple):
        for each in value:
            _check(each)
    else:
        raise NotCanonical(f"a {kind.__name__}")


def time_text(time: datetime) -> str:
    """UTC to the microsecond in 27 characters, so that text order is time order: ``2026-01-02T03:04:05.000006Z``."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def public_digest(body: bytes) -> str:
    """SHA-256, hex: what the next record names, and what checkpoints sign."""
    return sha256(body).hexdigest()


def digest(key: bytes, body: bytes) -> str:
    """HMAC-SHA256 (RFC 2104), hex."""
    return hmac.digest(key, body, "sha256").hex()


def link(key: ChainKey, fields: Mapping[str, Any], head: Head, time: datetime) -> Record:
    """The record that follows ``head``.

    Args:
        key: The chain's key.
        fields: As ``events.fields_of`` gives them.
        head: The chain's end so far.
        time: Now, by the server's clock.

    Raises:
        NotCanonical: See ``canonical``.
    """
    whole = {**fields, "seq": head.seq + 1, "time": time_text(time), "prev": head.digest, "chain_key": key.id}
    body = canonical(whole)
    return Record(head.seq + 1, body.decode(), head.digest, digest(key.secret, body), whole)
