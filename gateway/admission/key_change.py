"""Step 1 of 7: what an update makes of a key: a JSON merge patch (RFC 7396) over what may be changed.

A field that is absent stays, null takes away what can be absent, a list is replaced as a whole, and of ``limits`` each
name by itself. The public ID, the tenant, who made the key and when are not its issuer's to change.
"""

from __future__ import annotations

import ipaddress
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from gateway.errors import InvalidParameter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.admission.key_record import NewKey
    from gateway.admission.plans import Limits

CHANGEABLE = ("owner", "note", "scopes", "plan", "limits", "expires_at", "addresses")
"""What an update may name."""

_EMPTY: dict[str, object] = {"note": "", "limits": (), "expires_at": None, "addresses": ()}
"""What null makes of a field; the others cannot be absent."""


def patched(present: NewKey, patch: Mapping[str, Any]) -> NewKey:
    """The key as it would be. Whether that may be is for the caller to check.

    Args:
        present: The key as it is.
        patch: Field to its new value, in JSON's types but for ``expires_at``, which is an aware time.

    Raises:
        InvalidParameter: A field that is none or may not be changed, or null where there must be something.
    """
    changes: dict[str, Any] = {}
    for name, value in patch.items():
        if name not in CHANGEABLE:
            raise InvalidParameter(f"What can be changed is: {', '.join(CHANGEABLE)}")
        if value is None:
            if name not in _EMPTY:
                raise InvalidParameter("This field cannot be taken away", parameter=name)
            changes[name] = _EMPTY[name]
        elif name == "limits":
            changes[name] = merged_limits(present.limits, value)
        elif name == "scopes":
            changes[name] = frozenset(value)
        elif name == "addresses":
            changes[name] = tuple(_network(address) for address in value)
        else:
            changes[name] = value.strip() if name == "owner" else value
    return replace(present, **changes)


def merged_limits(present: Limits, patch: Mapping[str, int | None]) -> Limits:
    """The limits with these in place of theirs; None is the plan's own again."""
    merged = dict(present) | dict(patch)
    return tuple(sorted((name, limit) for name, limit in merged.items() if limit is not None))


def changed(before: NewKey, after: NewKey) -> tuple[str, ...]:
    """Names of the fields in which two differ."""
    return tuple(field.name for field in fields(before) if getattr(before, field.name) != getattr(after, field.name))


def _network(text: str) -> str:
    """As it is stored, so that the same network is no change; what is none is refused when the key is checked."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        return text
