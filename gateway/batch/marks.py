"""The batch tool: keyed digests that stand for inputs wherever a path or a file's own digest would tell who it is of.

A plain SHA-256 of a path or of a file can be tried out by anyone who has a guess or the file; these cannot without the
key (HMAC-SHA-256, RFC 2104).
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

_LABEL = b"cordon batch 1"
_DIGITS = 32


@dataclass(frozen=True, slots=True)
class Marks:
    """One key's and tenant's marks, each 32 hex digits.

    Attributes:
        key: Stands for the key itself.
        tenant: Stands for the tenant under that key.
    """

    key: str
    tenant: str
    _secret: bytes = field(repr=False)

    @classmethod
    def of(cls, key: bytes, tenant: str) -> Marks:
        """Derive them.

        Args:
            key: ``DEID_KEY``.
            tenant: Whose stand-ins are made.
        """
        root = hmac.digest(key, _LABEL, "sha256")
        secret = hmac.digest(root, b"tenant\0" + tenant.encode(), "sha256")
        return cls(_hex(root, b"key"), _hex(secret, b"tenant"), secret)

    def input(self, identity: bytes) -> str:
        """Stands for an input by its path, size and time; see ``Item.identity``."""
        return _hex(self._secret, b"input\0" + identity)

    def uid(self, uid: str) -> str:
        """Stands for a UID that a policy keeps, where a file is named by it."""
        return _hex(self._secret, b"uid\0" + uid.encode())

    def content(self, data: bytes) -> str:
        """Stands for an input by its bytes: the same file has it wherever it lies."""
        return _hex(self._secret, b"content\0", data)


def _hex(key: bytes, *parts: bytes) -> str:
    digest = hmac.new(key, digestmod="sha256")
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:_DIGITS]
