"""Clients for tests: what whoever registers one would ask for."""

from __future__ import annotations

from typing import Any

from gateway.admission.client_record import NewClient
from tests.support.issuer import SigningKey

KEY = SigningKey("one", "ES384")


def new_client(**changes: Any) -> NewClient:
    """An ordinary request for a client with that key."""
    fields: dict[str, Any] = {
        "owner": "Radiology PACS",
        "tenant": "st-mary",
        "scopes": frozenset({"predict", "deidentify"}),
        "plan": "standard",
        "jwks": {"keys": [KEY.jwk]},
    }
    return NewClient(**fields | changes)
