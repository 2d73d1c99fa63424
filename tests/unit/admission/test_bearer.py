from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr, ValidationError

from gateway.admission.access import AccessPolicy
from gateway.admission.authenticate import CredentialRefused
from gateway.admission.bearer import BearerTokens
from gateway.admission.issuers import IssuerPolicy
from gateway.admission.jwks import RemoteKeys
from gateway.admission.jwks_fetch import KeySetFetcher
from gateway.admission.outside_issuer import OutsideIssuer
from gateway.admission.revocations import RevokedTokens
from gateway.database import create_engine
from gateway.errors import StoreUnavailable
from gateway.migrations import migrate
from gateway.settings import DatabaseSettings
from tests.support.issuer import AUDIENCE, ISSUER, JwksServer, SigningKey, claims, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

KEY = SigningKey("one", "ES256")
PEPPER = b"a pepper of this test, no secret"
ACCESS = AccessPolicy({"predict": "", "keys:read": ""}, {"clinician": frozenset({"predict"})}, grantable=(), rules=())


@pytest.fixture(scope="module")
def server() -> Iterator[JwksServer]:
    with serving(KEY) as state:
        yield state


def policy(server: JwksServer, **changes: Any) -> IssuerPolicy:
    lines: dict[str, Any] = {
        "name": "hospital",
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "jwks": server.url,
        "algorithms": ("ES256",),
        "tenant": {"claim": "org", "values": {"St. Mary": "st-mary"}},
        "scopes": {"claim": "scope", "values": {"cordon/predict": "predict"}},
        "roles": {"claim": "groups", "values": {"radiology": "clinician"}},
        "plan": "standard",
    }
    return IssuerPolicy.model_validate(lines | changes)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(DatabaseSettings(url=SecretStr(f"sqlite+aiosqlite:///{tmp_path}/tokens.db")))
    await migrate(engine)
    yield engine
    await engine.dispose()


@pytest.fixture
def revoked(engine: AsyncEngine) -> RevokedTokens:
    return RevokedTokens(engine, cache_seconds=0.5)


@pytest.fixture
async def tokens(server: JwksServer, revoked: RevokedTokens) -> AsyncIterator[BearerTokens]:
    fetcher = KeySetFetcher()
    issuer = OutsideIssuer(policy(server), RemoteKeys(server.url, ("ES256",), fetcher), ACCESS, PEPPER)
    yield BearerTokens([issuer], revoked)
    await fetcher.close()


def sent(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def good(**changes: Any) -> dict[str, str]:
    return sent(KEY.sign(claims(**{"org": "St. Mary"} | changes)))


async def test_what_a_token_may_do_is_said_by_the_policy(tokens: BearerTokens) -> None:
    caller = await tokens.authenticate(good(scope="openid cordon/predict admin"), "192.0.2.7")
    assert caller is not None
    assert caller.scopes == {"predict"}
    assert (caller.tenant, caller.plan, caller.owner) == ("st-mary", "standard", "hospital")


async def test_a_group_gives_a_role(tokens: BearerTokens) -> None:
    caller = await tokens.authenticate(good(scope=None, groups=["radiology", "everyone"]), "")
    assert caller is not None
    assert caller.scopes == {"predict"}


async def test_nothing_that_is_mapped_is_nothing_allowed(tokens: BearerTokens) -> None:
    caller = await tokens.authenticate(good(scope="keys:read predict"), "")
    assert caller is not None
    assert caller.scopes == frozenset()


async def test_the_public_name_of_a_bearer_is_stable_and_does_not_show_the_subject(tokens: BearerTokens) -> None:
    first = await tokens.authenticate(good(sub="anna@hospital.example"), "")
    again = await tokens.authenticate(good(sub="anna@hospital.example", jti="another"), "")
    other = await tokens.authenticate(good(sub="ben@hospital.example"), "")
    assert first is not None
    assert again is not None
    assert other is not None
    assert first.key_id == again.key_id != other.key_id
    assert "anna" not in repr(first)


@pytest.mark.parametrize("org", [None, "Elsewhere", ["St. Mary", "Elsewhere", "St. Mary"], 7])
async def test_the_tenant_must_be_one_of_the_policy(tokens: BearerTokens, org: object) -> None:
    headers = good(org=org)
    if isinstance(org, list):
        assert (await tokens.authenticate(headers, "")) is not None
        return
    with pytest.raises(CredentialRefused) as caught:
        await tokens.authenticate(headers, "")
    assert caught.value.reason == "token-tenant"


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Basic YTpi"}, {"authorization": "Bearer cdn_x.y.z"}, {"x-api-key": "a.b.c"}]
)
async def test_what_is_no_token_is_left_to_other_schemes(tokens: BearerTokens, headers: dict[str, str]) -> None:
    assert await tokens.authenticate(headers, "") is None
    assert not tokens.knows(headers)


async def test_a_token_of_an_issuer_that_nobody_named(tokens: BearerTokens) -> None:
    with pytest.raises(CredentialRefused) as caught:
        await tokens.authenticate(good(iss="https://elsewhere.example"), "")
    assert caught.value.reason == "token-issuer"


async def test_it_is_known_after_it_was_good_and_not_before(tokens: BearerTokens) -> None:
    headers = good()
    assert not tokens.knows(headers)
    await tokens.authenticate(headers, "")
    assert tokens.knows(headers)


async def test_a_revoked_token_is_refused_within_the_time_it_is_trusted(
    tokens: BearerTokens, engine: AsyncEngine
) -> None:
    headers = good(jti="to-be-ended")
    assert await tokens.authenticate(headers, "") is not None
    elsewhere = RevokedTokens(engine, cache_seconds=0.5)  # another worker
    ends = datetime.now(UTC) + timedelta(minutes=10)
    for _ in range(2):  # again changes nothing
        await elsewhere.revoke(ISSUER, "to-be-ended", expires_at=ends, revoked_by="key_1")
    await asyncio.sleep(0.5)
    with pytest.raises(CredentialRefused) as caught:
        await tokens.authenticate(headers, "")
    assert caught.value.reason == "revoked"
    assert not tokens.knows(headers)
    assert await tokens.authenticate(good(jti="another"), "") is not None


async def test_a_list_that_cannot_be_read_lets_nobody_in(tokens: BearerTokens, engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.exec_driver_sql("DROP TABLE revoked_tokens")
    with pytest.raises(StoreUnavailable):
        await tokens.authenticate(good(), "")


@pytest.mark.parametrize(
    "changes",
    [
        {"jwks": "http://login.hospital.example/keys"},
        {"jwks": "https://user:secret@login.hospital.example/keys"},
        {"jwks": "file:///etc/passwd"},
        {"algorithms": ("HS256",)},
        {"algorithms": ()},
        {"types": ("id+jwt",)},
        {"lifetime_seconds": 10**6},
        {"leeway_seconds": 3600},
        {"roles": None, "scopes": None},
        {"tenant": "Not A Tenant"},
        {"unknown": 1},
    ],
    ids=str,
)
def test_a_policy_that_is_not_sound_is_refused(server: JwksServer, changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        policy(server, **changes)
