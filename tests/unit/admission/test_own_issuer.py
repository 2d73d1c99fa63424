from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from jose import jwk, jwt
from pydantic import ValidationError

from gateway.admission.authenticate import CredentialRefused
from gateway.admission.bearer import BearerTokens
from gateway.admission.client_record import ClientRecord
from gateway.admission.failures import FailureLimit
from gateway.admission.oauth import AT_ONCE, AT_ONCE_EACH, KNOWN_SECONDS, FailedClients, Turns
from gateway.admission.own_issuer import OwnIssuer
from gateway.admission.own_keys import OwnKeys
from gateway.errors import Overloaded, QuotaExceeded
from gateway.settings import OAuthSettings
from tests.support.issuer import SigningKey, b64

if TYPE_CHECKING:
    from gateway.admission.principal import Principal

URL = "https://cordon.example"
ONE, TWO = b"a secret of this test, the first one", b"a secret of this test, the second one"
NOW = 1_790_000_000.0


class Known:
    """One client, as the store would find it."""

    def __init__(self, **changes: Any) -> None:
        fields: dict[str, Any] = {
            "client_id": "client_7Hq2mXc9RtLa", "owner": "PACS", "tenant": "st-mary",
            "scopes": frozenset({"predict", "deidentify"}), "plan": "standard", "jwks": None, "jwks_url": "",
            "note": "", "created_by": "cli", "created_at": datetime(2026, 1, 1, tzinfo=UTC), "expires_at": None,
            "disabled_at": None, "removed_at": None, "last_used_at": None,
        }  # fmt: skip
        self.client: ClientRecord | None = ClientRecord(**fields | changes)

    async def find(self, client_id: str) -> ClientRecord | None:
        return self.client if self.client is not None and client_id == self.client.client_id else None


class Nothing:
    async def revoked(self, issuer: str, token_id: str) -> bool:
        return False


def issuer(keys: OwnKeys | None = None, known: Known | None = None, now: float = NOW) -> OwnIssuer:
    return OwnIssuer(URL, keys or OwnKeys(ONE), known or Known(), seconds=300, now=lambda: now)  # type: ignore[arg-type]


async def who(token: str, by: OwnIssuer, now: float = NOW) -> Principal | None:
    scheme = BearerTokens([by], Nothing(), now=lambda: now)
    return await scheme.authenticate({"authorization": f"Bearer {token}"}, "")


async def refusal(token: str, by: OwnIssuer, now: float = NOW) -> str:
    with pytest.raises(CredentialRefused) as caught:
        await who(token, by, now)
    return caught.value.reason


def give(by: OwnIssuer, client: ClientRecord | None = None, scopes: frozenset[str] = frozenset({"predict"})) -> str:
    found = client or Known().client
    assert found is not None
    return by.give(found, scopes).text


def test_every_process_makes_the_same_key_of_a_secret() -> None:
    assert OwnKeys(ONE).document == OwnKeys(ONE).document
    assert OwnKeys(ONE).document != OwnKeys(TWO).document
    [member] = OwnKeys(ONE).document["keys"]
    assert set(member) == {"kty", "crv", "x", "y", "alg", "kid", "use"}
    assert (member["kty"], member["crv"], member["alg"]) == ("EC", "P-256", "ES256")


def test_the_key_of_a_secret_stays_what_it_is() -> None:
    """Tokens must outlive an update of the gateway: this value may change with a new name of the scheme alone."""
    [member] = OwnKeys(b"x" * 32).document["keys"]
    assert member["kid"] == "wamvgkkcaMZnYRj-Gfc0i9V68bOPYA3xS_KVd9YYjWI"


async def test_a_token_knows_its_client() -> None:
    caller = await who(give(issuer()), issuer())
    assert caller is not None
    assert (caller.key_id, caller.owner, caller.tenant, caller.plan) == (
        "client_7Hq2mXc9RtLa", "PACS", "st-mary", "standard",
    )  # fmt: skip
    assert caller.scopes == {"predict"}


async def test_the_next_and_the_last_key_are_good_while_they_are_beside_the_present_one() -> None:
    """Over two nodes: the new one is made known to both, then signs on both, then the old one goes."""
    before, known, swapped, after = OwnKeys(ONE), OwnKeys(ONE, TWO), OwnKeys(TWO, ONE), OwnKeys(TWO)
    for signs, verifies in ((before, known), (known, known), (known, swapped), (swapped, known), (swapped, after)):
        assert await who(give(issuer(signs)), issuer(verifies)) is not None
    assert await refusal(give(issuer(before)), issuer(after)) == "token-key"
    assert swapped.document["keys"] == after.document["keys"] + before.document["keys"]


async def test_what_the_client_may_no_longer_do_its_tokens_may_not() -> None:
    token = give(issuer(), scopes=frozenset({"predict", "deidentify"}))
    fewer = issuer(known=Known(scopes=frozenset({"deidentify", "audit:read"})))
    caller = await who(token, fewer)
    assert caller is not None
    assert caller.scopes == {"deidentify"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"disabled_at": datetime(2026, 1, 2, tzinfo=UTC)}, "revoked"),
        ({"removed_at": datetime(2026, 1, 2, tzinfo=UTC)}, "revoked"),
        ({"expires_at": datetime.fromtimestamp(NOW, UTC)}, "expired"),
        ({"client_id": "client_000000000000"}, "unknown"),
    ],
)
async def test_a_client_that_may_not_come_in_ends_its_tokens(changes: dict[str, Any], reason: str) -> None:
    assert await refusal(give(issuer()), issuer(known=Known(**changes))) == reason


async def test_a_token_ends() -> None:
    token = give(issuer())
    assert await who(token, issuer(), NOW + 329) is not None
    assert await refusal(token, issuer(), NOW + 331) == "token-expired"


def test_a_token_ends_with_its_client() -> None:
    client = Known(expires_at=datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=90)).client
    assert client is not None
    assert issuer().give(client, ()).seconds == 90


def test_no_two_tokens_have_one_name() -> None:
    assert len({jwt.get_unverified_claims(give(issuer()))["jti"] for _ in range(100)}) == 100


async def test_a_token_that_somebody_else_signed_in_our_name() -> None:
    """By a key of theirs under our key's name, and by our public key as a shared secret."""
    [member] = OwnKeys(ONE).document["keys"]
    claims = jwt.get_unverified_claims(give(issuer()))
    forged = SigningKey(member["kid"], "ES256").sign(claims)
    assert await refusal(forged, issuer()) == "token-signature"
    secret = jwk.construct({"kty": "oct", "k": b64(member["x"].encode())}, "HS256")
    shared = jwt.encode(claims, secret, "HS256", headers={"kid": member["kid"], "typ": "at+jwt"})
    assert await refusal(shared, issuer()) == "token-header"


async def test_an_assertion_is_no_access_token() -> None:
    keys = OwnKeys(ONE)
    claims = jwt.get_unverified_claims(give(issuer(keys)))
    assert await refusal(keys.sign(claims, "JWT"), issuer(keys)) == "token-type"


def test_turns_are_few_and_fewer_for_one() -> None:
    turns = Turns()
    held = [turns.take(f"client_{number % (AT_ONCE // AT_ONCE_EACH)}") for number in range(AT_ONCE)]
    for turn in held:
        turn.__enter__()
    for client in ("client_0", "client_new"):
        with pytest.raises(Overloaded), turns.take(client):
            pass
    held[0].__exit__(None, None, None)
    with turns.take("client_new"):
        pass
    with pytest.raises(Overloaded), turns.take("client_1"):
        pass


def test_an_address_that_failed_too_often_waits_but_for_clients_that_were_good_there() -> None:
    seconds = 0.0
    clients = FailedClients(FailureLimit(burst=2, now=lambda: seconds), monotonic=lambda: seconds)
    clients.succeeded("192.0.2.7", "client_a")
    for _ in range(3):
        clients.failed("192.0.2.7")
        clients.failed("192.0.2.8")
    clients.check("192.0.2.7")
    clients.check("192.0.2.7", "client_a")
    for address, client in (("192.0.2.7", "client_b"), ("192.0.2.8", None), ("192.0.2.8", "client_a")):
        with pytest.raises(QuotaExceeded):
            clients.check(address, client)
    seconds = KNOWN_SECONDS + 1
    for _ in range(3):
        clients.failed("192.0.2.7")
    with pytest.raises(QuotaExceeded):
        clients.check("192.0.2.7", "client_a")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"signing_key": "short"}, "32 bytes"),
        ({"signing_key": "x" * 32, "issuer": ""}, "OAUTH_ISSUER"),
        ({"signing_key": "x" * 32, "issuer": "http://cordon.example"}, "OAUTH_ISSUER"),
        ({"signing_key": "x" * 32, "issuer": "https://u:p@cordon.example"}, "OAUTH_ISSUER"),
        ({"signing_key": "x" * 32, "issuer": "https://cordon.example?x=1"}, "OAUTH_ISSUER"),
        ({"signing_key": "x" * 32, "signing_key_previous": "short"}, "32 bytes"),
        ({"signing_key": "x" * 32, "signing_key_previous": "x" * 32}, "another"),
        ({"signing_key_previous": "x" * 32}, "another"),
        ({"token_seconds": 5}, "60"),
    ],
    ids=str,
)
def test_settings_that_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        OAuthSettings(**{"issuer": URL} | changes)


@pytest.mark.parametrize("url", ["https://cordon.example", "https://cordon.example/base", "http://127.0.0.1:8080"])
def test_settings_that_are_taken(url: str) -> None:
    assert OAuthSettings(issuer=url, signing_key="x" * 32).issuer == url
