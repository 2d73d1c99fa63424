"""How requests ended, by the audit log."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.support.audit import recorded

if TYPE_CHECKING:
    from gateway.settings import Settings


def endings(settings: Settings) -> dict[str, list[tuple[str, int]]]:
    """Request ID to outcome and status of each of its ``request.finished`` records."""
    found: dict[str, list[tuple[str, int]]] = {}
    for record in asyncio.run(recorded(settings.database.url.get_secret_value())):
        if record["type"] == "request.finished":
            found.setdefault(record["request_id"], []).append((record["outcome"], record["status"]))
    return found
