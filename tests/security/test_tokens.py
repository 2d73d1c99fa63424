"""What python-jose lets through by default, row by row: each is refused here, as a TokenRefused and nothing else."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from jose import jwk, jwt

from gateway.admission.tokens import Claims, Expected, TokenRefused, look, public_key, verify
from tests.support.issuer import AUDIENCE, ISSUER, SigningKey, b64, claims

if TYPE_CHECKING:
    from collections.abc import Callable

GATEWAY = Path(__file__).resolve().parents[2] / "gateway"
KEY = SigningKey("one")
CURVE = SigningKey("two", "ES256")
ALGORITHMS = ("RS256", "ES256", "ES384")
EXPECTED = Expected(ISSUER, AUDIENCE, frozenset({"at+jwt"}), lifetime_seconds=3600)
PUBLIC = public_key(KEY.jwk, ALGORITHMS)


def taken(token: str, signer: SigningKey = KEY) -> Claims:
    return verify(look(token), public_key(signer.jwk, ALGORITHMS), EXPECTED)


def header(**changes: Any) -> bytes:
    good = {"alg": "RS256", "kid": "one", "typ": "at+jwt"} | changes
    return json.dumps({name: value for name, value in good.items() if value is not None}).encode()


def body(**changes: Any) -> bytes:
    return json.dumps(claims(**changes)).encode()


@pytest.mark.parametrize("signer", [KEY, CURVE], ids=["RS256", "ES256"])
def test_a_good_token_is_taken(signer: SigningKey) -> None:
    found = taken(signer.sign(claims()), signer)
    assert (found.subject, found.token_id) == ("pacs-7", "a1b2c3")


def test_an_audience_among_several_is_taken() -> None:
    assert taken(KEY.sign(claims(aud=["other", AUDIENCE]))).subject == "pacs-7"


SECRETS = {
    "der": KEY.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    "pem": KEY.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    "jwk": json.dumps(KEY.jwk).encode(),
    "empty": b"",
    "one byte": b"x",
}


@pytest.mark.parametrize("form", SECRETS)
def test_a_public_key_used_as_a_shared_secret_signs_nothing(form: str) -> None:
    """CVE-2024-33663: HS256 under the bytes of the RSA public key; and under what is no secret at all."""
    text = f"{b64(header(alg='HS256'))}.{b64(body())}"
    token = f"{text}.{b64(hmac.digest(SECRETS[form], text.encode(), hashlib.sha256))}"
    with pytest.raises(TokenRefused, match="header"):
        taken(token)


def _swapped() -> str:
    head, _, signature = KEY.sign(claims()).split(".")
    return ".".join([head, KEY.sign(claims(sub="admin")).split(".")[1], signature])


REFUSED: dict[str, tuple[Callable[[], str], str]] = {
    "another algorithm than the key's": (lambda: KEY.sign_raw(header(alg="RS384"), body()), "key"),
    "the name of another key": (lambda: KEY.sign(claims(), kid="two"), "key"),
    "no algorithm": (lambda: f"{b64(header(alg='none'))}.{b64(body())}.x", "header"),
    "no algorithm and no signature": (lambda: f"{b64(header(alg='none'))}.{b64(body())}.", "malformed"),
    "an algorithm that is not taken": (lambda: KEY.sign_raw(header(alg="PS256"), body()), "header"),
    "an object as algorithm": (lambda: KEY.sign_raw(header(alg={"RS256": 1}), body()), "header"),
    "a list of algorithms": (lambda: KEY.sign_raw(header(alg=["RS256"]), body()), "header"),
    "no key named": (lambda: KEY.sign_raw(header(kid=None), body()), "header"),
    "a crit header": (lambda: KEY.sign_raw(header(crit=["exp"]), body()), "header"),
    "a key in the header": (lambda: KEY.sign_raw(header(jwk=KEY.jwk), body()), "header"),
    "a URL of keys": (lambda: KEY.sign_raw(header(jku="https://evil.example/keys"), body()), "header"),
    "a URL of certificates": (lambda: KEY.sign_raw(header(x5u="https://evil.example/x"), body()), "header"),
    "certificates": (lambda: KEY.sign_raw(header(x5c=["MII"]), body()), "header"),
    "compression": (lambda: KEY.sign_raw(header(zip="DEF"), body()), "header"),
    "an encrypted token": (lambda: ".".join([b64(header(enc="A256GCM"))] + ["eA"] * 4), "malformed"),
    "an ID token": (lambda: KEY.sign(claims(), typ="id+jwt"), "type"),
    "no type": (lambda: KEY.sign_raw(header(typ=None), body()), "type"),
    "no audience": (lambda: KEY.sign(claims(aud=None)), "audience"),
    "another audience": (lambda: KEY.sign(claims(aud="https://other.example")), "audience"),
    "no issuer": (lambda: KEY.sign(claims(iss=None)), "issuer"),
    "an issuer that is a list": (lambda: KEY.sign_raw(header(), body(iss=[ISSUER])), "issuer"),
    "another issuer": (lambda: KEY.sign(claims(iss="https://evil.example")), "issuer"),
    "no subject": (lambda: KEY.sign(claims(sub=None)), "claims"),
    "an empty subject": (lambda: KEY.sign(claims(sub="")), "claims"),
    "a subject that is a number": (lambda: KEY.sign_raw(header(), body(sub=7)), "claims"),
    "no token ID": (lambda: KEY.sign(claims(jti=None)), "claims"),
    "no end": (lambda: KEY.sign(claims(exp=None)), "claims"),
    "no beginning": (lambda: KEY.sign(claims(iat=None)), "claims"),
    "an end as text": (lambda: KEY.sign_raw(header(), body(exp=str(int(time.time()) + 600))), "claims"),
    "an end that is true": (lambda: KEY.sign_raw(header(), body(exp=True)), "claims"),
    "an infinite end": (
        lambda: KEY.sign_raw(header(), body().replace(b'"exp": ', b'"exp": Infinity, "e": ')),
        "malformed",
    ),
    "an end beyond numbers": (
        lambda: KEY.sign_raw(header(), body().replace(b'"exp": ', b'"exp": 1e999, "e": ')),
        "claims",
    ),
    "it has ended": (lambda: KEY.sign(claims(iat=int(time.time()) - 900, exp=int(time.time()) - 300)), "expired"),
    "it begins later": (lambda: KEY.sign(claims(iat=int(time.time()) + 300)), "early"),
    "it is not valid yet": (lambda: KEY.sign(claims(nbf=int(time.time()) + 300)), "early"),
    "it lives too long": (lambda: KEY.sign(claims(exp=int(time.time()) + 7200)), "lifetime"),
    "a claim twice": (lambda: KEY.sign_raw(header(), body()[:-1] + b', "sub": "admin"}'), "malformed"),
    "a header member twice": (lambda: KEY.sign_raw(header()[:-1] + b', "alg": "RS256"}', body()), "malformed"),
    "claims that are a list": (lambda: KEY.sign_raw(header(), b"[]"), "malformed"),
    "claims that are no JSON": (lambda: KEY.sign_raw(header(), b"{"), "malformed"),
    "another signature": (lambda: CURVE.sign_raw(header(), body()), "signature"),
    "a signature that is cut": (lambda: KEY.sign(claims())[:-8], "signature"),
    "changed claims": (_swapped, "signature"),
    "a nest of brackets": (lambda: f"{b64(b'[' * 700)}.{b64(b'[' * 5000)}.x", "malformed"),
    "a nest of brackets too deep for any reader": (lambda: f"{b64(b'[' * 100_000)}.{b64(body())}.x", "malformed"),
    "a nest of brackets in good claims": (lambda: KEY.sign_raw(header(), b'{"a":' * 900 + b"1" + b"}" * 900), "issuer"),
    "too long": (lambda: KEY.sign(claims(note="x" * 8192)), "malformed"),
    "a header that is too long": (lambda: KEY.sign_raw(header(kid="x" * 900), body()), "header"),
    "padding": (lambda: KEY.sign(claims()) + "=", "malformed"),
    "a blank": (lambda: " " + KEY.sign(claims()), "malformed"),
    "a lone surrogate": (lambda: KEY.sign(claims()) + "\ud800", "malformed"),
    "letters that only look like digits": (lambda: KEY.sign(claims()) + "٣", "malformed"),
    "nothing": (lambda: "", "malformed"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    make, reason = REFUSED[case]
    with pytest.raises(TokenRefused) as caught:
        taken(make())
    assert caught.value.reason == reason


def test_what_the_library_takes_by_default_is_what_these_tests_are_for() -> None:
    """If this fails, the library has become stricter, and a line of the table above may go."""
    bare = {"sub": "x"}
    token = jwt.encode(
        bare, jwk.construct(KEY.private, "RS256"), "RS256", headers={"crit": ["nothing-known"], "typ": "id+jwt"}
    )
    assert jwt.decode(token, PUBLIC.key, algorithms=["RS256"], audience=AUDIENCE) == bare


@given(st.text(max_size=300))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    with pytest.raises(TokenRefused):
        taken(text)


@given(st.binary(max_size=200), st.binary(max_size=400))
def test_no_signed_content_does_more_than_be_refused(head: bytes, payload: bytes) -> None:
    with pytest.raises(TokenRefused):
        taken(CURVE.sign_raw(head, payload), CURVE)


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (SigningKey("weak", bits=1024).jwk, "fewer than 2048"),
        (KEY.jwk | {"n": b64((1 << 8999 | 1).to_bytes(1125, "big"))}, "more than 8192"),
        (KEY.jwk | {"d": "AQAB"}, "private"),
        ({"kty": "oct", "k": "c2VjcmV0", "kid": "one", "alg": "HS256"}, "private or symmetric"),
        ({"kty": "oct", "kid": "one", "alg": "HS256"}, "algorithm"),
        (KEY.jwk | {"use": "enc"}, "not for signatures"),
        (KEY.jwk | {"key_ops": ["encrypt"]}, "not for signatures"),
        (KEY.jwk | {"kid": None}, "without kid"),
        (KEY.jwk | {"alg": "ES256"}, "type"),
        (KEY.jwk | {"alg": "RS512"}, "algorithm"),
        (CURVE.jwk | {"alg": "ES384"}, "curve"),
        (CURVE.jwk | {"alg": "RS256"}, "type"),
        (CURVE.jwk | {"x": CURVE.jwk["y"]}, "cannot be read"),
        (KEY.jwk | {"n": 7}, "cannot be read"),
        ({}, "without kid"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_key_that_is_not_used(member: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        public_key(member, ALGORITHMS)


def test_one_module_alone_speaks_to_the_library_and_never_to_its_encryption() -> None:
    """CVE-2024-33664 is in ``jose.jwe``; the pure Python back ends are neither quick nor constant in time."""
    importing = {path.name for path in GATEWAY.rglob("*.py") if "jose import" in path.read_text("utf-8")}
    assert importing == {"tokens.py"}
    assert "from jose import jwk, jws\n" in (GATEWAY / "admission" / "tokens.py").read_text("utf-8")
    for key in (PUBLIC, public_key(CURVE.jwk, ALGORITHMS)):
        assert type(key.key).__module__ == "jose.backends.cryptography_backend"


def test_a_key_without_an_algorithm_gets_the_one_that_fits_it() -> None:
    bare = {name: value for name, value in CURVE.jwk.items() if name != "alg"}
    assert public_key(bare, ALGORITHMS).algorithm == "ES256"
