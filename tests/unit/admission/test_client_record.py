from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.admission.client_record import NewClient, check_new_client, checked_keys, new_client_id
from gateway.admission.own_issuer import client_of
from gateway.errors import InvalidParameter
from tests.support.clients import KEY, new_client
from tests.support.issuer import SigningKey

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def check(new: NewClient) -> None:
    check_new_client(new, NOW)
    checked_keys(new.jwks, new.jwks_url)


def test_an_id_is_found_again_in_the_names_of_its_tokens() -> None:
    client_id = new_client_id()
    assert client_of(f"{client_id}.{'x' * 22}") == client_id
    for other in (client_id, f"key_7Hq2mXc9RtLa.{'x' * 22}", f"{client_id}.x", f"{client_id}.{'x' * 22}\n"):
        assert client_of(other) is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"owner": " "}, "owner"),
        ({"owner": "x" * 201}, "owner"),
        ({"owner": "a\nb"}, "owner"),
        ({"tenant": "St Mary"}, "tenant"),
        ({"scopes": frozenset()}, "scopes"),
        ({"plan": ""}, "plan"),
        ({"note": "x" * 501}, "note"),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "expire"),
        ({"expires_at": datetime(2030, 1, 1)}, "expire"),  # noqa: DTZ001 - that is the point
        ({"jwks": None}, "either"),
        ({"jwks_url": "https://pacs.example/keys"}, "either"),
        ({"jwks": {}}, "'keys'"),
        ({"jwks": {"keys": []}}, "'keys'"),
        ({"jwks": {"keys": [KEY.jwk] * 17}}, "'keys'"),
        ({"jwks": {"keys": [7]}}, "key 1 is"),
        ({"jwks": {"keys": [KEY.jwk, KEY.jwk]}}, "one kid"),
        ({"jwks": {"keys": [KEY.jwk | {"d": "AQAB"}]}}, "private"),
        ({"jwks": {"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "one"}]}}, "symmetric"),
        ({"jwks": {"keys": [SigningKey("weak", "RS384", bits=1024).jwk]}}, "fewer than 2048"),
        ({"jwks": {"keys": [SigningKey("old", "RS256").jwk]}}, "RS384 and ES384"),
        ({"jwks": {"keys": [SigningKey("other", "ES256").jwk]}}, "RS384 and ES384"),
        ({"jwks": {"keys": [KEY.jwk | {"kid": None}]}}, "without kid"),
        ({"jwks": None, "jwks_url": "http://pacs.example/keys"}, "https://"),
        ({"jwks": None, "jwks_url": "https://u:p@pacs.example/keys"}, "credentials"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_registered(change: dict[str, Any], says: str) -> None:
    new = new_client(**change)
    with pytest.raises(InvalidParameter, match=says):
        check(new)
