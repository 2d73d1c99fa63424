"""Keys for tests: a pepper that protects nothing, and what an issuer would ask for."""

from __future__ import annotations

from typing import Any

from gateway.admission.key_record import NewKey
from gateway.admission.keys import KeyMaker

MAKER = KeyMaker(b"a pepper for tests, not for use elsewhere")


def new_key(**changes: Any) -> NewKey:
    """An ordinary request for a key."""
    fields: dict[str, Any] = {
        "owner": "Radiology PACS",
        "tenant": "st-mary",
        "scopes": frozenset({"predict"}),
        "plan": "standard",
    }
    return NewKey(**(fields | changes))
