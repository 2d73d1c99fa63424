"""Around all steps: the names under which one request is found again in every log and in the systems around us.

``X-Request-ID`` and ``traceparent`` are kept if they are well-formed. A caller chooses them, so anything else is
dropped: a header is no place from which text gets into a log.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Iterable

REQUEST_ID_HEADER = "X-Request-ID"
TRACEPARENT = b"traceparent"

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")  # a UUID is one of these
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")  # W3C Trace Context §3.2.2, version 00


def well_formed(request_id: str) -> bool:
    """Whether a caller's request ID is kept."""
    return _REQUEST_ID.fullmatch(request_id) is not None


def new_request_id() -> str:
    """A random UUID (RFC 9562 version 4)."""
    return str(uuid4())


def traceparent(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, str] | None:
    """The ``traceparent`` and its trace ID; None if there is not exactly one, or it is not well-formed (§3.2.2.3)."""
    values = [value for name, value in headers if name == TRACEPARENT]
    if len(values) != 1:
        return None
    text = values[0].decode("latin-1")
    found = _TRACEPARENT.fullmatch(text)
    if found is None or not int(found[1], 16) or not int(found[2], 16):
        return None
    return text, found[1]
