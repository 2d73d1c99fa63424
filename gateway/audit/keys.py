"""Step 7 of 7: the chain's keys, the one in use and those before it.

A record names its key by an ID, which is no secret: HMAC of a fixed text under the key. Keys have an order: once a
record was made with a key, those before it count for no later record, so that a key that got out can be ended.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.audit.chain import digest

if TYPE_CHECKING:
    from gateway.audit.chain import Record
    from gateway.settings import AuditSettings

_ID_PURPOSE = b"cordon audit chain key id"
_ADDRESS_PURPOSE = b"cordon audit address"
ID_DIGITS = 8


@dataclass(frozen=True, slots=True)
class ChainKey:
    """A secret of the chain, and its public name."""

    secret: bytes = field(repr=False)
    id: str

    @classmethod
    def of(cls, secret: bytes) -> ChainKey:
        """With the ID that follows from the secret."""
        return cls(secret, hmac.digest(secret, _ID_PURPOSE, "sha256").hex()[:ID_DIGITS])


class KeyRing:
    """The chain's keys.

    Args:
        keys: The oldest first; the last is the one in use.
    """

    def __init__(self, keys: list[ChainKey]) -> None:
        self.keys = tuple(keys)
        self.current = keys[-1]
        self.order = {key.id: at for at, key in enumerate(keys)}

    @classmethod
    def of(cls, settings: AuditSettings) -> KeyRing:
        """From ``AUDIT_CHAIN_KEYS_PREVIOUS`` and ``AUDIT_CHAIN_KEY``."""
        secrets = [*earlier_keys(settings), settings.chain_key.get_secret_value().encode()]
        return cls([ChainKey.of(secret) for secret in secrets])

    def made(self, record: Record) -> bool:
        """Whether the record is what was hashed, by the key that it names; by the oldest if it names none."""
        at = self.order.get(str(record.fields.get("chain_key", "")), 0)
        return digest(self.keys[at].secret, record.body.encode()) == record.hash

    def pseudonym_of_address(self, address: str) -> str:
        """A keyed hash that stands for an address: the same for the same address, until the chain's key is changed."""
        key = hmac.digest(self.current.secret, _ADDRESS_PURPOSE, "sha256")
        return "hmac:" + hmac.digest(key, address.encode(), "sha256").hex()[:32]


def earlier_keys(settings: AuditSettings) -> list[bytes]:
    """The chain's secrets before the one in use, the oldest first."""
    lines = settings.chain_keys_previous.get_secret_value().splitlines()
    return [line.strip().encode() for line in lines if line.strip()]
