"""Step 1 of 7: the token endpoint's own refusals (RFC 6749 §5.2).

RFC 6749 wants ``application/json`` with ``error``, this house a problem document: the body is both, under that type.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from gateway.errors import CallerError, Unauthenticated

Code = Literal["invalid_request", "unsupported_grant_type", "unauthorized_client", "invalid_scope"]


class TokenRequestRefused(CallerError):
    """The request is not one that the token endpoint answers with a token: 400."""

    slug = "token-request-refused"
    title = "The token request is refused"
    media_type: ClassVar[str] = "application/json"

    def __init__(self, detail: str = "", *, error: Code = "invalid_request", **members: Any) -> None:
        super().__init__(detail, **members | {"error": error, "error_description": detail or self.title})


class InvalidClient(Unauthenticated):
    """The client's assertion is not good; one wording for every reason."""

    slug = "invalid-client"
    title = "The client could not be authenticated"
    media_type: ClassVar[str] = "application/json"

    def __init__(self, detail: str = "", **members: Any) -> None:
        detail = detail or "Send a fresh assertion, signed with a key that is registered for the client"
        super().__init__(detail, **members | {"error": "invalid_client", "error_description": detail})
