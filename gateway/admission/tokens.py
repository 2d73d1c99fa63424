"""Step 1 of 7: a JSON Web Token (RFC 7519), of an outside issuer or of our own, held to the rules of RFC 8725.

    shape ─▶ header ─▶ whose? ─▶ one key, one algorithm ─▶ signature ─▶ claims

The only module that imports python-jose, whose defaults take a token without ``exp`` or ``aud``, any ``typ``, an
unknown ``crit``, an RSA key of 1024 bits, and answer some input with errors of other kinds. So what is not needed is
refused before it is parsed, the key brings its algorithm (never the token), and all that is raised is one refusal.
``jose.jwe`` is never imported.
"""

from __future__ import annotations

import base64
import json
import math
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

from jose import jwk, jws

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_TOKEN = 8 * 2**10
MAX_HEADER = 2**10  # of its encoded form
MAX_TEXT = 255
MAX_LEEWAY_SECONDS = 60
MIN_RSA_BITS, MAX_RSA_BITS = 2048, 8192
ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512")
"""Asymmetric only: what is kept of an issuer or a client can verify and never sign."""

_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
_HEADER = frozenset({"alg", "kid", "typ"})
_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}

TokenReason = Literal[
    "malformed", "header", "type", "issuer", "key", "signature", "claims", "audience", "expired", "early", "lifetime"
]
"""Why a token was refused; for the log and the audit record only."""


class TokenRefused(Exception):
    """Not a good token. Holds nothing of it."""

    def __init__(self, reason: TokenReason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """A well-formed token. What it says of itself only chooses who may vouch for it.

    Attributes:
        issuer: Its ``iss``.
        key_id: Its ``kid``.
        algorithm: Its ``alg``; must be the key's.
        type: Its ``typ`` in small letters; empty if it has none.
        text: The whole token. Secret.
        key_set_url: Its ``jku``, where that was allowed; only ever compared, never followed.
    """

    issuer: str
    key_id: str
    algorithm: str
    type: str
    text: str = field(repr=False)
    key_set_url: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """One public key of an issuer, made once, and the one algorithm that it verifies."""

    key_id: str
    algorithm: str
    key: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One private key of our own, made once, and the one algorithm that it signs by."""

    key_id: str
    algorithm: str
    key: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class Expected:
    """What an issuer's tokens must say.

    Attributes:
        issuer: ``iss``.
        audience: ``aud``, or one of its values.
        types: ``typ``, small letters, without ``application/``; an empty string allows a token without one.
        lifetime_seconds: Longest from ``iat`` to ``exp``.
        leeway_seconds: By which the clocks may differ; at most MAX_LEEWAY_SECONDS.
        from_now: ``iat`` may be absent, and the lifetime is counted from now, with the leeway: client assertions.
        named: ``jti`` must be there; an ID token need have none.
    """

    issuer: str
    audience: str
    types: frozenset[str]
    lifetime_seconds: int
    leeway_seconds: int = 30
    from_now: bool = False
    named: bool = True


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says.

    Attributes:
        subject: ``sub``.
        token_id: ``jti``.
        expires_at: ``exp``, seconds since the epoch.
        members: All of them.
    """

    subject: str = field(repr=False)
    token_id: str
    expires_at: float
    members: Mapping[str, Any] = field(repr=False)


def look(text: str, *, jku: bool = False) -> UnverifiedToken:
    """Read a token as far as it takes to know whose it claims to be.

    Args:
        text: The token.
        jku: Whether its header may name a key set, for whoever compares it with the one that is registered.

    Raises:
        TokenRefused: Too long, not three parts of base64url, or a header that says more than ``alg``, ``kid``, ``typ``:
            ``crit``, ``jku``, ``jwk``, ``x5u``, ``x5c``, ``zip`` and ``enc`` have no place here.
    """
    if len(text) > MAX_TOKEN or not _SHAPE.fullmatch(text):
        raise TokenRefused("malformed")
    head, body, _ = text.split(".")
    if len(head) > MAX_HEADER:
        raise TokenRefused("header")
    header, claims = _object(head), _object(body)
    if not set(header) <= (_HEADER | {"jku"} if jku else _HEADER):
        raise TokenRefused("header")
    algorithm, key_id, kind = header.get("alg"), header.get("kid"), header.get("typ", "")
    url = header.get("jku", "")
    if algorithm not in ALGORITHMS or not _is_text(key_id) or not isinstance(kind, str) or not isinstance(url, str):
        raise TokenRefused("header")
    issuer = claims.get("iss")
    if not _is_text(issuer):
        raise TokenRefused("issuer")
    return UnverifiedToken(issuer, key_id, algorithm, kind.lower().removeprefix("application/"), text, url)


def verify(
    token: UnverifiedToken, key: VerifyingKey, expected: Expected, now: Callable[[], float] = time.time
) -> Claims:
    """The claims of a token that this key signed and that says what it must.

    Raises:
        TokenRefused: Nothing else, whatever the library raises.
    """
    if token.algorithm != key.algorithm or token.key_id != key.key_id:
        raise TokenRefused("key")
    if token.type not in expected.types:
        raise TokenRefused("type")
    try:
        # A list of one: some other collections raise what is not a JWSError, and none at all allows every algorithm.
        payload = jws.verify(token.text, key.key, [key.algorithm])
    except Exception:  # noqa: BLE001 - the library raises more than it documents, and its messages quote the token
        raise TokenRefused("signature") from None
    return _checked(_members(payload), expected, now())


def sign(claims: Mapping[str, Any], kind: str, key: SigningKey) -> str:
    """A token of these claims, with ``kind`` as its ``typ``."""
    signed: str = jws.sign(json.dumps(claims).encode(), key.key, {"kid": key.key_id, "typ": kind}, key.algorithm)
    return signed


def _checked(claims: dict[str, Any], expected: Expected, now: float) -> Claims:
    """Every claim is there, is of its type, and says what it must (RFC 7519 §4.1, RFC 8725 §3.8 to 3.12)."""
    leeway = min(expected.leeway_seconds, MAX_LEEWAY_SECONDS)
    subject, audience = claims.get("sub"), claims.get("aud")
    token_id = claims.get("jti", None if expected.named else "-")
    begins, ends = _moment(claims.get("iat", now if expected.from_now else None)), _moment(claims.get("exp"))
    valid_from = _moment(claims.get("nbf", 0))
    if not _is_text(subject) or not _is_text(token_id) or begins is None or ends is None or valid_from is None:
        raise TokenRefused("claims")
    if claims.get("iss") != expected.issuer:
        raise TokenRefused("issuer")
    if expected.audience not in (audience if isinstance(audience, list) else [audience]):
        raise TokenRefused("audience")
    if ends + leeway <= now:
        raise TokenRefused("expired")
    if max(begins, valid_from) > now + leeway:
        raise TokenRefused("early")
    if ends - (now + leeway if expected.from_now else begins) > expected.lifetime_seconds:
        raise TokenRefused("lifetime")
    return Claims(subject, token_id, ends, claims)


def public_key(member: Mapping[str, Any], algorithms: tuple[str, ...]) -> VerifyingKey:
    """A key of a JWK set (RFC 7517), made ready once: building it costs more than using it.

    Args:
        member: One member of ``keys``.
        algorithms: Those that its issuer may use, of ALGORITHMS; the first that fits a key without ``alg``.

    Raises:
        ValueError: Says why this key is not used; holds nothing of it.
    """
    key_id, kind = member.get("kid"), member.get("kty")
    if not _is_text(key_id):
        raise ValueError("a key without kid")
    if member.get("use", "sig") != "sig" or "verify" not in member.get("key_ops", ["verify"]):
        raise ValueError("a key that is not for signatures")
    if "d" in member or "k" in member:
        raise ValueError("a private or symmetric key")
    algorithm = member.get("alg") or _algorithm(kind, member.get("crv"), algorithms)
    if algorithm not in algorithms or algorithm not in ALGORITHMS:
        raise ValueError("a key of an algorithm that its issuer may not use")
    if kind != ("RSA" if algorithm[0] == "R" else "EC"):
        raise ValueError("a key whose type is not that of its algorithm")
    if kind == "EC" and member.get("crv") != _CURVES[algorithm]:
        raise ValueError("a key whose curve is not that of its algorithm")
    try:
        key: Any = jwk.construct(dict(member), algorithm)
        size = getattr(key.prepared_key, "key_size", 0)
    except Exception as error:
        raise ValueError("a key that cannot be read") from error
    if kind == "RSA" and not MIN_RSA_BITS <= size <= MAX_RSA_BITS:
        raise ValueError(f"an RSA key of fewer than {MIN_RSA_BITS} bits, or more than {MAX_RSA_BITS}")
    return VerifyingKey(key_id, algorithm, key)


def own_key(private: Any, algorithm: str, key_id: str) -> tuple[SigningKey, VerifyingKey]:
    """Both halves of a key of our own, made ready once, from a private key of ``cryptography``."""
    key: Any = jwk.construct(private, algorithm)
    return SigningKey(key_id, algorithm, key), VerifyingKey(key_id, algorithm, key.public_key())


def _algorithm(kind: object, curve: object, algorithms: tuple[str, ...]) -> str:
    fits = (name for name in algorithms if (kind == "RSA" and name[0] == "R") or _CURVES.get(name) == curve)
    return next(fits, "")


def _object(part: str) -> dict[str, Any]:
    try:
        return _members(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except ValueError:
        raise TokenRefused("malformed") from None


def _members(data: bytes) -> dict[str, Any]:
    """A JSON object. No member twice: of two readers each may believe another one."""
    try:
        content = json.loads(data, object_pairs_hook=_unique, parse_constant=_none)
    except (ValueError, RecursionError):
        raise TokenRefused("malformed") from None
    if not isinstance(content, dict):
        raise TokenRefused("malformed")
    return content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member twice")
    return members


def _none(_constant: str) -> None:
    raise ValueError("not a number of JSON")


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= MAX_TEXT and value.isprintable()


def _moment(value: object) -> float | None:
    """A NumericDate (RFC 7519 §2)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value) if 0 <= value < 2**40 else None
