"""Client assertions, row by row: what is not exactly what SMART App Launch and RFC 7523 ask for is refused."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import shutil
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from gateway.admission.assertion import AssertionRefused, ClientAssertions
from gateway.admission.client_record import NewClient
from gateway.admission.client_store import ClientStore
from gateway.admission.clients import Clients
from gateway.admission.jwks_fetch import KeySetFetcher
from gateway.database import create_engine
from gateway.errors import StoreUnavailable
from gateway.migrations import migrate
from gateway.settings import DatabaseSettings
from tests.support.issuer import TOKEN_URL, SigningKey, assertion, assertion_claims, b64

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

RSA, CURVE = SigningKey("rsa", "RS384"), SigningKey("curve", "ES384")
OTHER = SigningKey("curve", "ES384")  # another client's, under the same name
WEAK_HASH = SigningKey("rsa", "RS256")
ACCESS_TOKEN = SigningKey("curve", "ES384")
FETCHER = KeySetFetcher()  # never used here: its list of authorities takes longer to read than a test


class Door:
    """A store, a client with both keys, and who authenticates it."""

    def __init__(self, folder: Path) -> None:
        self.engine = create_engine(DatabaseSettings(url=SecretStr(f"sqlite+aiosqlite:///{folder}/clients.db")))
        self.store = ClientStore(self.engine)
        self.client_id = ""

    async def register(self, **changes: Any) -> str:
        fields: dict[str, Any] = {
            "owner": "Radiology PACS",
            "tenant": "st-mary",
            "scopes": frozenset({"predict"}),
            "plan": "standard",
            "jwks": {"keys": [RSA.jwk, CURVE.jwk]},
        }
        return (await self.store.register(NewClient(**fields | changes))).client_id

    def assertions(self) -> ClientAssertions:
        """As another process would have it: nothing is shared but the database."""
        return ClientAssertions(Clients(self.store, FETCHER, cache_seconds=0), TOKEN_URL)

    async def take(self, text: str) -> str:
        """The client of this assertion, which is used up."""
        assertions = self.assertions()
        client, claims = await assertions.verify(assertions.look(text))
        await assertions.use(client, claims)
        return client.client_id

    async def reason(self, text: str) -> str:
        """Why this assertion is refused."""
        with pytest.raises(AssertionRefused) as caught:
            await self.take(text)
        return caught.value.reason

    async def close(self) -> None:
        await self.engine.dispose()


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without clients, made once: migrating costs more than all of a test."""
    folder = tmp_path_factory.mktemp("empty")

    async def make() -> None:
        door = Door(folder)
        await migrate(door.engine)
        await door.close()

    asyncio.run(make())
    return folder


@pytest.fixture
async def door(empty: Path, tmp_path: Path) -> AsyncIterator[Door]:
    shutil.copytree(empty, tmp_path, dirs_exist_ok=True)
    door = Door(tmp_path)
    door.client_id = await door.register()
    yield door
    await door.close()


@pytest.mark.parametrize("key", [RSA, CURVE], ids=["RS384", "ES384"])
@pytest.mark.parametrize("typ", ["JWT", "jwt", "client-authentication+jwt"])
async def test_a_good_assertion_is_taken(door: Door, key: SigningKey, typ: str) -> None:
    assert await door.take(assertion(key, door.client_id, header={"typ": typ})) == door.client_id


async def test_with_iat_and_nbf_and_the_audience_as_a_list_of_one(door: Door) -> None:
    now = int(time.time())
    more = {"iat": now - 5, "nbf": now - 5, "aud": [TOKEN_URL]}
    assert await door.take(assertion(CURVE, door.client_id, **more)) == door.client_id


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def standing(empty: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    """One for all that change nothing."""
    folder = tmp_path_factory.mktemp("standing")
    shutil.copytree(empty, folder, dirs_exist_ok=True)
    door = Door(folder)
    door.client_id = await door.register()
    yield door
    await door.close()


def in_seconds(seconds: float) -> int:
    return int(time.time() + seconds)


def raw(header: dict[str, Any], client_id: str, **changes: Any) -> str:
    return CURVE.sign_raw(json.dumps(header).encode(), json.dumps(assertion_claims(client_id, **changes)).encode())


def head(**changes: Any) -> dict[str, Any]:
    return {"alg": "ES384", "kid": "curve", "typ": "JWT"} | changes


def with_public_key_as_secret(client_id: str) -> str:
    """CVE-2024-33663."""
    secret = RSA.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    text = f"{b64(json.dumps(head(alg='HS384', kid='rsa')).encode())}."
    text += b64(json.dumps(assertion_claims(client_id)).encode())
    return f"{text}.{b64(hmac.digest(secret, text.encode(), hashlib.sha384))}"


def nested(client_id: str) -> str:
    """An encrypted token with a signed one in it (RFC 7519 §3): five parts."""
    return ".".join([b64(b'{"alg":"dir","enc":"A256GCM","cty":"JWT"}'), "", "eA", b64(client_id.encode()), "eA"])


REFUSED: dict[str, tuple[Callable[[str], str], str]] = {
    "RS256": (lambda c: assertion(WEAK_HASH, c), "key"),
    "HS384 under the public key": (with_public_key_as_secret, "header"),
    "no algorithm": (lambda c: b64(json.dumps(head(alg="none")).encode()) + ".e30.", "malformed"),
    "no algorithm, and something as a signature": (lambda c: raw(head(alg="none"), c), "header"),
    "ES384 with the kid of the RSA key": (lambda c: raw(head(kid="rsa"), c), "key"),
    "a kid that is not registered": (lambda c: assertion(CURVE, c, header={"kid": "x"}), "key"),
    "no kid": (lambda c: raw({"alg": "ES384", "typ": "JWT"}, c), "header"),
    "the key of another client": (lambda c: assertion(OTHER, c), "signature"),
    "another token endpoint": (lambda c: assertion(CURVE, c, aud="https://other.example/oauth/token"), "audience"),
    "the gateway, not its token endpoint": (lambda c: assertion(CURVE, c, aud="https://cordon.example"), "audience"),
    "several audiences": (lambda c: assertion(CURVE, c, aud=[TOKEN_URL, "https://other.example"]), "audience"),
    "an empty list of audiences": (lambda c: assertion(CURVE, c, aud=[]), "audience"),
    "no audience": (lambda c: assertion(CURVE, c, aud=None), "audience"),
    "another client as issuer": (lambda c: assertion(CURVE, "client_000000000000"), "client"),
    "another client as subject": (lambda c: assertion(CURVE, c, sub="client_000000000000"), "subject"),
    "an issuer that is a person": (lambda c: assertion(CURVE, c, iss="anna", sub="anna"), "client"),
    "no issuer": (lambda c: assertion(CURVE, c, iss=None), "issuer"),
    "no subject": (lambda c: assertion(CURVE, c, sub=None), "claims"),
    "no end": (lambda c: assertion(CURVE, c, exp=None), "claims"),
    "an end as text": (lambda c: raw(head(), c, exp=str(in_seconds(60))), "claims"),
    "an end that is no number": (lambda c: raw(head(), c, exp=float("inf")), "malformed"),
    "it has ended": (lambda c: assertion(CURVE, c, exp=in_seconds(-60)), "expired"),
    "it ends too far away": (lambda c: assertion(CURVE, c, exp=in_seconds(400)), "lifetime"),
    "it ends too far away, and says that it begins later": (
        lambda c: assertion(CURVE, c, exp=in_seconds(400), iat=in_seconds(200)),
        "early",
    ),
    "it begins later": (lambda c: assertion(CURVE, c, nbf=in_seconds(120)), "early"),
    "it was made later": (lambda c: assertion(CURVE, c, iat=in_seconds(120)), "early"),
    "an nbf as text": (lambda c: raw(head(), c, nbf="now"), "claims"),
    "an iat as text": (lambda c: raw(head(), c, iat="now"), "claims"),
    "no token ID": (lambda c: assertion(CURVE, c, jti=None), "claims"),
    "an empty token ID": (lambda c: assertion(CURVE, c, jti=""), "claims"),
    "a token ID that is a number": (lambda c: raw(head(), c, jti=7), "claims"),
    "a token ID of 300 characters": (lambda c: assertion(CURVE, c, jti="x" * 300), "claims"),
    "an access token": (lambda c: assertion(ACCESS_TOKEN, c, header={"typ": "at+jwt"}), "type"),
    "an ID token": (lambda c: assertion(CURVE, c, header={"typ": "id+jwt"}), "type"),
    "no type": (lambda c: raw({"alg": "ES384", "kid": "curve"}, c), "type"),
    "a crit header": (lambda c: raw(head(crit=["exp"]), c), "header"),
    "a key set's URL that is not registered": (lambda c: raw(head(jku="https://evil.example/k"), c), "key-set"),
    "a key set's URL that is a number": (lambda c: raw(head(jku=7), c), "header"),
    "a key in the header": (lambda c: raw(head(jwk=CURVE.jwk), c), "header"),
    "certificates": (lambda c: raw(head(x5c=["MII"]), c), "header"),
    "a URL of certificates": (lambda c: raw(head(x5u="https://evil.example/x"), c), "header"),
    "compression": (lambda c: raw(head(zip="DEF"), c), "header"),
    "too long": (lambda c: assertion(CURVE, c, note="x" * 8192), "malformed"),
    "a nested encrypted token": (nested, "malformed"),
    "a nest of brackets": (lambda c: f"{b64(b'[' * 700)}.{b64(b'[' * 5000)}.x", "malformed"),
    "a claim twice": (
        lambda c: CURVE.sign_raw(json.dumps(head()).encode(), b'{"iss": "%s", "iss": "x"}' % c.encode()),
        "malformed",
    ),
    "a cut signature": (lambda c: assertion(CURVE, c)[:-8], "signature"),
    "nothing": (lambda c: "", "malformed"),
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", REFUSED)
async def test_refused(standing: Door, case: str) -> None:
    make, reason = REFUSED[case]
    assert await standing.reason(make(standing.client_id)) == reason


async def test_what_was_refused_can_be_sent_again_once_it_is_good(door: Door) -> None:
    """A refusal uses nothing up: somebody else's guess must not spoil a client's assertion."""
    text = assertion(CURVE, door.client_id, jti="mine")
    forged = assertion(OTHER, door.client_id, jti="mine")
    assert await door.reason(forged) == "signature"
    assert await door.take(text) == door.client_id


async def test_an_assertion_counts_once(door: Door) -> None:
    text = assertion(CURVE, door.client_id)
    await door.take(text)
    assert await door.reason(text) == "replayed"
    again = assertion(RSA, door.client_id, jti="a")
    await door.take(again)
    assert await door.reason(assertion(CURVE, door.client_id, jti="a")) == "replayed"


async def test_a_token_id_is_each_clients_own(door: Door) -> None:
    other = await door.register()
    await door.take(assertion(CURVE, door.client_id, jti="a"))
    assert await door.take(assertion(CURVE, other, jti="a")) == other


async def test_of_many_at_once_exactly_one_wins(door: Door) -> None:
    text = assertion(CURVE, door.client_id)
    outcomes = await asyncio.gather(*(door.take(text) for _ in range(20)), return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, AssertionRefused)]
    assert len(refused) == 19
    assert {refusal.reason for refusal in refused} == {"replayed"}


async def test_used_is_used_after_a_restart(door: Door, tmp_path: Path) -> None:
    text = assertion(CURVE, door.client_id)
    await door.take(text)
    await door.close()
    again = Door(tmp_path)
    assert await again.reason(text) == "replayed"
    await again.close()


async def test_a_store_that_cannot_say_whether_it_was_used_lets_nobody_in(door: Door) -> None:
    async with door.engine.begin() as connection:
        await connection.exec_driver_sql("DROP TABLE used_assertions")
    with pytest.raises(StoreUnavailable):
        await door.take(assertion(CURVE, door.client_id))


async def test_a_client_that_may_not_come_in(door: Door) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=0.05)
    ended = await door.register(expires_at=soon)
    await asyncio.sleep(0.06)
    assert await door.reason(assertion(CURVE, ended)) == "inactive"
    await door.store.disable(door.client_id)
    assert await door.reason(assertion(CURVE, door.client_id)) == "inactive"
    await door.store.enable(door.client_id)
    assert await door.take(assertion(CURVE, door.client_id)) == door.client_id
    await door.store.remove(door.client_id)
    assert await door.reason(assertion(CURVE, door.client_id)) == "inactive"


async def test_keys_that_were_replaced_count_no_more(door: Door) -> None:
    await door.store.replace_keys(door.client_id, jwks={"keys": [OTHER.jwk]}, jwks_url="")
    assert await door.reason(assertion(CURVE, door.client_id)) == "signature"
    assert await door.reason(assertion(RSA, door.client_id)) == "key"
    assert await door.take(assertion(OTHER, door.client_id)) == door.client_id


@given(st.text(max_size=300))
async def test_no_text_does_more_than_be_refused(text: str) -> None:
    with pytest.raises(AssertionRefused):
        ClientAssertions(None, TOKEN_URL).look(text)  # type: ignore[arg-type] # a look needs no clients
