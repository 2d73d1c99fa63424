"""Step 7 of 7: signed statements of how long the log was. Pure: what is signed, by which key, and whether it holds.

A chain alone cannot tell that its last records were cut off. A checkpoint says "there were ``size`` records, the last
with the hash ``head``"; kept in a second place, it outlives the cut. Ed25519 (RFC 8032), so that whoever has the public
key can check one and cannot make one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.audit.chain import Head, NotCanonical, canonical, time_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from gateway.settings import AuditSettings

_TYPE = "cordon.audit.checkpoint"
_SCHEMA = 1
_INFO = b"cordon audit checkpoint ed25519"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A statement and its signature.

    Attributes:
        size: Records in the log.
        head: Hash of the last of them, hex.
        time: When it was signed, UTC.
        key_id: First 16 hex digits of the public key's SHA-256.
        signature: Ed25519, hex, of the canonical JSON of all the above.
    """

    size: int
    head: str
    time: str
    key_id: str
    signature: str

    def statement(self) -> bytes:
        """What is signed.

        Raises:
            NotCanonical: A member is of a type that cannot be.
        """
        said: dict[str, Any] = asdict(self) | {"type": _TYPE, "schema": _SCHEMA}
        del said["signature"]
        return canonical(said)

    def line(self) -> bytes:
        """As one line of a checkpoint file."""
        return canonical(asdict(self) | {"type": _TYPE, "schema": _SCHEMA}) + b"\n"

    @classmethod
    def parse(cls, said: Mapping[str, Any]) -> Checkpoint:
        """From a line that was read.

        Raises:
            ValueError: It is not a checkpoint of a schema known here.
        """
        names = cls.__dataclass_fields__
        if said.get("type") != _TYPE or said.get("schema") != _SCHEMA or set(said) != {*names, "type", "schema"}:
            raise ValueError("not a checkpoint")
        if type(said["size"]) is not int or any(type(said[name]) is not str for name in names if name != "size"):
            raise ValueError("not a checkpoint")
        return cls(**{name: said[name] for name in names})


class Signer:
    """Holds the private key, and makes checkpoints.

    Args:
        secret: 32 bytes or more; the key is derived from it (HKDF, RFC 5869).
    """

    def __init__(self, secret: bytes) -> None:
        seed = HKDF(SHA256(), length=32, salt=None, info=_INFO).derive(secret)
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._key.public_key().public_bytes_raw()
        self.key_id = key_id_of(self.public)

    @classmethod
    def of(cls, settings: AuditSettings) -> Signer:
        """With the signing key that is set, or else one derived from the chain's key."""
        secret = settings.signing_key.get_secret_value() or settings.chain_key.get_secret_value()
        return cls(secret.encode())

    def sign(self, head: Head, time: datetime) -> Checkpoint:
        """The checkpoint of a log that ends with ``head``."""
        unsigned = Checkpoint(head.seq, head.hash, time_text(time), self.key_id, "")
        signature = self._key.sign(unsigned.statement()).hex()
        return Checkpoint(unsigned.size, unsigned.head, unsigned.time, unsigned.key_id, signature)


def key_id_of(public: bytes) -> str:
    """The name of a public key."""
    return sha256(public).hexdigest()[:16]


def holds(checkpoint: Checkpoint, public: bytes) -> bool:
    """Whether the holder of this key's private half said so, to the letter."""
    if checkpoint.key_id != key_id_of(public):
        return False
    try:
        signature = bytes.fromhex(checkpoint.signature)
        Ed25519PublicKey.from_public_bytes(public).verify(signature, checkpoint.statement())
    except (InvalidSignature, NotCanonical, ValueError, TypeError):
        return False
    return signature.hex() == checkpoint.signature  # else a changed letter case, or blanks, would pass
