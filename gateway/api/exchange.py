"""Around all steps: one request and its answer. Made by the outermost middleware, written to by the rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.responses import Response
    from starlette.types import Scope

    from gateway.admission.principal import Principal
    from gateway.errors import GatewayError

UNMATCHED = "unmatched"
CLIENT_GONE = 499
"""On record where there was nobody left to answer (nginx's number; HTTP has none)."""


@dataclass(slots=True)
class Exchange:
    """What is known of one request; nothing in it came from the caller but its ID, and that is well-formed.

    Attributes:
        request_id: Correlation ID.
        route: The route's template once a rule matched; never the raw path.
        principal: The caller once it is known.
        headers: What belongs on the answer, whatever the answer is.
        steps: Seconds by step, for ``Server-Timing``.
        problem: Slug of the problem that was answered; empty for a success.
        bytes_in: Bytes of the body read so far.
        frames: Images that were classified or given back.
        answer_bytes: Memory set aside for the answer, until it is sent.
        body_pending: Whether bytes of the body may still be on their way.
        recorded: Whether the audit log holds how this request ended.
        replay_of: Correlation ID of the request whose answer is given again.
        page: Draws an error as a page; None where errors are problem documents.
    """

    request_id: str
    route: str = UNMATCHED
    principal: Principal | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)
    steps: dict[str, float] = field(default_factory=dict)
    problem: str = ""
    bytes_in: int = 0
    frames: int = 0
    answer_bytes: int = 0
    body_pending: bool = False
    recorded: bool = False
    replay_of: str = ""
    page: Callable[[Scope, GatewayError], Response] | None = None
    began: float = field(default_factory=perf_counter)

    @property
    def seconds(self) -> float:
        """Since it began."""
        return perf_counter() - self.began


def begin(scope: Scope, request_id: str) -> Exchange:
    """Put a new one where all that handle the request find it."""
    exchange = Exchange(request_id)
    scope.setdefault("state", {})["exchange"] = exchange
    return exchange


def exchange_of(scope: Scope) -> Exchange:
    """The one of this request."""
    exchange: Exchange = scope["state"]["exchange"]
    return exchange


def header(scope: Scope, name: bytes) -> str | None:
    """The first header of that name (lower case), or None."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)
