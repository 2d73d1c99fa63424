"""Around step 1: the token request's form: small, in memory, every parameter once (RFC 6749 §3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect

from gateway.admission.oauth_errors import TokenRequestRefused
from gateway.api.exchange import header

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

FORM = "application/x-www-form-urlencoded"
MAX_BYTES = 16 * 2**10
"""An assertion has at most 8 KiB; base64url needs no percent signs."""
_MAX_PARAMETERS = 16


async def read_form(scope: Scope, receive: Receive) -> dict[str, str]:
    """Read the body to its end.

    Returns:
        Parameter to value. What has no value counts as absent (§3.1).

    Raises:
        TokenRequestRefused: It is not such a form, or a parameter stands in it twice.
        BodyTooLarge, BodyTimeout: From ``receive``.
        starlette.requests.ClientDisconnect: The caller went away.
    """
    if (header(scope, b"content-type") or "").split(";")[0].strip().lower() != FORM:
        raise TokenRequestRefused(f"The request must be a form: {FORM}")
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        more = message.get("more_body", False)
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        raise TokenRequestRefused("The form cannot be read") from None
    form = {name: value for name, value in pairs if value}
    if len({name for name, _ in pairs}) < len(pairs):
        raise TokenRequestRefused("A parameter occurs twice")
    return form
