"""Step 7 of 7: signed statements about the log. Pure: what is signed, by which key, and whether it holds.

Ed25519 (RFC 8032), so that whoever has the public key can check a statement and cannot make one. What is signed is the
canonical JSON of all members but the signature; the member ``type`` keeps one kind from standing for another.
"""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.audit.chain import NotCanonical, canonical
from gateway.audit.keys import earlier_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.settings import AuditSettings

_INFO = b"cordon audit checkpoint ed25519"


class Statement:
    """The root of the kinds of statements, which are frozen data classes with text and whole numbers.

    Each has ``key_id``, the first 16 hex digits of the public key's SHA-256, and ``signature``, hex.
    """

    type_name: ClassVar[str]
    key_id: str
    signature: str

    @property
    def schema(self) -> int:
        """Version of the members."""
        return 1

    def members(self) -> dict[str, Any]:
        """All that it says, and its signature, as a JSON object."""
        return asdict(self) | {"type": self.type_name, "schema": self.schema}  # type: ignore[call-overload,no-any-return]  # every kind is one

    def statement(self) -> bytes:
        """What is signed.

        Raises:
            NotCanonical: A member is of a type that cannot be.
        """
        said = self.members()
        del said["signature"]
        return canonical(said)

    def line(self) -> bytes:
        """As one line of a file."""
        return canonical(self.members()) + b"\n"

    @classmethod
    def parse(cls, said: Mapping[str, Any]) -> Self:
        """From a JSON object that was read.

        Raises:
            ValueError: It is not a statement of this kind, of a schema known here.
        """
        known: dict[str, Any] = {}
        for each in fields(cls):  # type: ignore[arg-type]  # every kind is a data class
            kind = int if each.type == "int" else str
            known[each.name] = said.get(each.name, kind())
            if type(known[each.name]) is not kind:
                raise ValueError(f"not a {cls.type_name}")
        statement = cls(**known)
        if statement.members() != said:
            raise ValueError(f"not a {cls.type_name}")
        return statement


Stated = TypeVar("Stated", bound=Statement)


def signed(signer: Signer, statement: Stated) -> Stated:
    """The statement with this key's ID and signature."""
    named = replace(statement, key_id=signer.key_id)  # type: ignore[type-var]  # every kind is a data class
    return replace(named, signature=signer.sign_bytes(named.statement()))  # type: ignore[type-var]


class Signer:
    """Holds the private key.

    Args:
        secret: 32 bytes or more; the key is derived from it (HKDF, RFC 5869).
    """

    def __init__(self, secret: bytes) -> None:
        seed = HKDF(SHA256(), length=32, salt=None, info=_INFO).derive(secret)
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._key.public_key().public_bytes_raw()
        self.key_id = key_id_of(self.public)

    @classmethod
    def of(cls, settings: AuditSettings) -> Self:
        """With the signing key that is set, or else one derived from the chain's key."""
        secret = settings.signing_key.get_secret_value() or settings.chain_key.get_secret_value()
        return cls(secret.encode())

    def sign_bytes(self, statement: bytes) -> str:
        """Ed25519, hex."""
        return self._key.sign(statement).hex()


class TrustedKeys:
    """The public keys whose statements count, in their order.

    A statement of an earlier key that claims more than the first of a later key is none: a key that got out can be
    ended.

    Args:
        publics: The oldest first, 32 bytes each.
    """

    def __init__(self, publics: list[bytes]) -> None:
        unique = dict.fromkeys(publics)
        self._keys = {key_id_of(public): (at, public) for at, public in enumerate(unique)}

    @classmethod
    def of(cls, settings: AuditSettings) -> Self:
        """From ``AUDIT_PUBLIC_KEYS_PREVIOUS``, the chain's earlier keys and the signing key."""
        given = [bytes.fromhex(text) for text in settings.public_keys_previous.split()]
        derived = [Signer(secret).public for secret in earlier_keys(settings)]
        return cls([*given, *derived, Signer.of(settings).public])

    def order(self, key_id: object) -> int | None:
        """The key's place in time; None for a stranger's."""
        found = self._keys.get(key_id) if type(key_id) is str else None
        return None if found is None else found[0]

    def hold(self, statement: Statement) -> bool:
        """Whether the holder of a trusted private key said so, to the letter."""
        found = self._keys.get(statement.key_id) if type(statement.key_id) is str else None
        return found is not None and holds(statement, found[1])


def key_id_of(public: bytes) -> str:
    """The name of a public key."""
    return sha256(public).hexdigest()[:16]


def holds(statement: Statement, public: bytes) -> bool:
    """Whether the holder of this key's private half said so, to the letter."""
    if statement.key_id != key_id_of(public):
        return False
    try:
        signature = bytes.fromhex(statement.signature)
        Ed25519PublicKey.from_public_bytes(public).verify(signature, statement.statement())
    except (InvalidSignature, NotCanonical, ValueError, TypeError):
        return False
    return signature.hex() == statement.signature  # else a changed letter case, or blanks, would pass
