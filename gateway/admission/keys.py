"""Step 1 of 7: what an API key looks like, and the digest that is kept of it.

    cdn_ 7Hq2mXc9RtLa _ 43 characters ‖ 6 characters
    │    │              │               └ CRC-32 of all before it: a mistyped or cut key is refused without a look-up
    │    │              └ the secret: 256 bits (ASVS 5.0 11.5.1 asks for 128)
    │    └ the public ID: names the key in lists, logs and the audit record
    └ tells secret scanners what they have found

Digits and letters only (base 62), so that a double click selects all of it. A key is random, so a keyed fast hash is
right (NIST SP 800-63B asks for a slow one only for what people choose): HMAC-SHA-256 under a pepper that is not in the
database.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
import zlib
from dataclasses import dataclass, field

PREFIX = "cdn_"
ID_LENGTH = 12
SECRET_LENGTH = 43  # 62**43 > 2**256
CHECKSUM_LENGTH = 6  # 62**6 > 2**32
MIN_PEPPER_BYTES = 32

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_SHAPE = re.compile(
    rf"{PREFIX}([0-9A-Za-z]{{{ID_LENGTH}}})_[0-9A-Za-z]{{{SECRET_LENGTH}}}([0-9A-Za-z]{{{CHECKSUM_LENGTH}}})"
)


@dataclass(frozen=True, slots=True)
class PresentedKey:
    """A well-formed key that a caller sent: whether it is good is not known yet.

    Attributes:
        key_id: The stable public ID (``key_`` and twelve characters).
        text: The whole key. Secret.
    """

    key_id: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key: ``text`` is shown once, ``digest`` is stored, ``key_id`` is public."""

    key_id: str
    text: str = field(repr=False)
    digest: bytes = field(repr=False)


class KeyMaker:
    """Makes keys and their digests under one pepper; knows those under the one before it, too.

    Args:
        pepper: The server's secret, 32 bytes or more.
        previous: The one before it, while it is being changed: keys made under it are still good, and are stored anew
            under ``pepper`` when they are next used.

    Raises:
        ValueError: A pepper is too short, or both are the same.
    """

    def __init__(self, pepper: bytes, previous: bytes = b"") -> None:
        if len(pepper) < MIN_PEPPER_BYTES:
            raise ValueError(
                f"ADMISSION_KEY_PEPPER needs {MIN_PEPPER_BYTES} bytes or more: "
                "set ADMISSION_KEY_PEPPER or ADMISSION_KEY_PEPPER_FILE"
            )
        if previous and len(previous) < MIN_PEPPER_BYTES:
            raise ValueError(f"ADMISSION_KEY_PEPPER_PREVIOUS needs {MIN_PEPPER_BYTES} bytes or more, or none")
        if previous == pepper:
            raise ValueError("ADMISSION_KEY_PEPPER_PREVIOUS must differ from ADMISSION_KEY_PEPPER")
        self._pepper = pepper
        self._previous = previous

    def issue(self, key_id: str | None = None) -> IssuedKey:
        """A fresh key from the system's random source; for an existing key ID, another secret for it (rotation)."""
        public = key_id.removeprefix("key_") if key_id else new_id()
        body = f"{PREFIX}{public}_{_encode(secrets.randbits(256), SECRET_LENGTH)}"
        text = body + _checksum(body)
        return IssuedKey(f"key_{public}", text, self.digest(text))

    def digest(self, text: str) -> bytes:
        """HMAC-SHA-256 of the whole key under the pepper, 32 bytes."""
        return hmac.digest(self._pepper, text.encode("ascii"), hashlib.sha256)

    def digests(self, presented: PresentedKey) -> tuple[bytes, ...]:
        """The digests that may be stored of it: under the pepper, and under the one before it if there is one."""
        text = presented.text.encode("ascii")
        peppers = [pepper for pepper in (self._pepper, self._previous) if pepper]
        return tuple(hmac.digest(pepper, text, hashlib.sha256) for pepper in peppers)

    def matches(self, presented: PresentedKey, digest: bytes) -> bool:
        """Whether it is the key that the digest was made of; in constant time."""
        return hmac.compare_digest(self.digest(presented.text), digest)

    def matches_previous(self, presented: PresentedKey, digest: bytes) -> bool:
        """The same under the pepper before this one; False if there is none."""
        if not self._previous:
            return False
        old = hmac.digest(self._previous, presented.text.encode("ascii"), hashlib.sha256)
        return hmac.compare_digest(old, digest)


def parse(text: str) -> PresentedKey | None:
    """The key in this text, or None if it has not the shape of one or its checksum is wrong."""
    shape = _SHAPE.fullmatch(text)
    if shape is None or shape[2] != _checksum(text[:-CHECKSUM_LENGTH]):
        return None
    return PresentedKey(f"key_{shape[1]}", text)


def new_id() -> str:
    """Twelve characters from the system's random source, for a public ID."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(ID_LENGTH))


def _checksum(body: str) -> str:
    return _encode(zlib.crc32(body.encode("ascii")), CHECKSUM_LENGTH)


def _encode(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
