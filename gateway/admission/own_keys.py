"""Step 1 of 7: the keys under which this gateway signs access tokens, made from secrets that all its processes share.

The private key is derived: HKDF-SHA-256 (RFC 5869) gives 384 bits, of which FIPS 186-5 A.2.1 (key pair generation by
extra random bits) makes a key of P-256. So it is a secret like the others, in one file, the same on every node.
ES256 (RFC 7518 §3.4): a request's token is verified by it, and P-384 takes several times as long.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.admission.tokens import own_key, sign

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.admission.tokens import SigningKey, VerifyingKey

ALGORITHM = "ES256"
_INFO = b"cordon access token es256"
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256 (SP 800-186 §3.2.1.3)
_BYTES = 48


class OwnKeys:
    """The key that signs, and the one beside it that is good too.

    Args:
        secret: 32 bytes or more.
        previous: Of the key before it, or of the next one, while it is changed; empty if there is none.
    """

    def __init__(self, secret: bytes, previous: bytes = b"") -> None:
        made = [_made(each) for each in (secret, previous) if each]
        self._signing = made[0][0]
        self._verifying: dict[str, VerifyingKey] = {key.key_id: key for _, key, _ in made}
        self.document: dict[str, list[dict[str, str]]] = {"keys": [member for _, _, member in made]}
        """The public halves, as a JWK set (RFC 7517)."""

    def find(self, key_id: str) -> VerifyingKey | None:
        """The key of this ``kid``; None if there is none."""
        return self._verifying.get(key_id)

    def sign(self, claims: Mapping[str, Any], kind: str) -> str:
        """A token of these claims, ``kind`` as its ``typ``."""
        return sign(claims, kind, self._signing)


def _made(secret: bytes) -> tuple[SigningKey, VerifyingKey, dict[str, str]]:
    stretched = HKDF(algorithm=SHA256(), length=_BYTES, salt=None, info=_INFO).derive(secret)
    private = ec.derive_private_key(int.from_bytes(stretched, "big") % (_ORDER - 1) + 1, ec.SECP256R1())
    point = private.public_key().public_numbers()
    member = {"crv": "P-256", "kty": "EC", "x": _b64(point.x), "y": _b64(point.y)}
    key_id = _thumbprint(member)
    return *own_key(private, ALGORITHM, key_id), member | {"alg": ALGORITHM, "kid": key_id, "use": "sig"}


def _b64(coordinate: int) -> str:
    return base64.urlsafe_b64encode(coordinate.to_bytes(32, "big")).rstrip(b"=").decode()


def _thumbprint(member: dict[str, str]) -> str:
    """RFC 7638: its members sorted, without blanks."""
    canonical = json.dumps(member, separators=(",", ":"), sort_keys=True).encode()
    return base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()
