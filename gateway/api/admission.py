"""Step 1 of 7: admit. Decides on a request from its head, before a byte of its body is read.

    known route? ─▶ who? ─▶ may they? ─▶ switched off? ─▶ in time? ─▶ how large? ─▶ room for it? ─▶ how often? ─▶ on

A framework's dependencies run after its form parser has read the body; so this is a middleware, in front of the routes.
A stranger's body is never read, and neither is one that is too large, too often or not allowed.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from structlog.contextvars import bind_contextvars

from gateway.admission.authenticate import CredentialRefused
from gateway.admission.principal import Admission
from gateway.admission.sessions import cookie_of
from gateway.api.bounds import BoundedReceive, expected_bytes, too_large
from gateway.api.exchange import exchange_of
from gateway.api.time_limit import callers_deadline
from gateway.audit.events import ANONYMOUS
from gateway.deadline import NEVER
from gateway.errors import (
    DeadlineExceeded,
    Forbidden,
    MalformedBody,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    QuotaExceeded,
    Suspended,
    SwitchedOff,
    Unauthenticated,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from gateway.admission.access import AccessPolicy, RouteRule
    from gateway.admission.authenticate import Authenticator
    from gateway.admission.limiter import Limiter
    from gateway.admission.principal import Principal
    from gateway.admission.sessions import Sessions
    from gateway.admission.switches import Switches
    from gateway.api.bounds import InflightBytes
    from gateway.api.exchange import Exchange
    from gateway.audit.denials import DenialCounter
    from gateway.audit.denials import Kind as Denial
    from gateway.deadline import Deadline
    from gateway.draining import Draining
    from gateway.errors import GatewayError
    from gateway.load import Kind, Load

log = structlog.get_logger(__name__)

LEASE_MARGIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Gate:
    """What admission needs. One a process.

    Attributes:
        policy: The routes, and the scope of each.
        authenticator: Knows callers.
        limiter: Windows and concurrency.
        denials: Counts refusals for the audit log.
        inflight: The memory that bodies share.
        body_limits: Route template to the largest body it takes, bytes.
        default_body_limit: That of all other routes that take one.
        body_seconds: Longest that a body may take to arrive.
        deadline_seconds: Longest that a request may take after that.
        object_deadline_seconds: The same where an object is given back.
        answer_seconds: Longest that a caller may take to read it.
        load: Knows how long a request would wait.
        shed: Route template to the kind of work, of those that are told to come later when they would wait too long.
        draining: Cuts short bodies that are on their way when the process ends.
        switches: What an operator has switched off.
        sessions: Knows who is signed in to the console.
    """

    policy: AccessPolicy
    authenticator: Authenticator
    limiter: Limiter
    denials: DenialCounter
    inflight: InflightBytes
    body_limits: Mapping[str, int]
    default_body_limit: int
    body_seconds: float
    deadline_seconds: float
    object_deadline_seconds: float
    answer_seconds: float
    load: Load
    shed: Mapping[str, Kind]
    draining: Draining
    switches: Switches
    sessions: Sessions

    @property
    def lease_seconds(self) -> float:
        """After this a request has ended, however badly."""
        longest = max(self.deadline_seconds, self.object_deadline_seconds + self.answer_seconds)
        return self.body_seconds + longest + LEASE_MARGIN_SECONDS

    def match(self, scope: Scope) -> RouteRule:
        """The rule of this request.

        Raises:
            NotFound, MethodNotAllowed: No rule, so nobody may.
        """
        rule = self.policy.match(scope["method"], scope["path"])
        if rule is not None:
            return rule
        methods = sorted(self.policy.methods(scope["path"]))
        if not methods:
            raise NotFound("There is nothing at this path")
        allowed = [*methods, "HEAD"] if "GET" in methods else methods
        raise MethodNotAllowed(f"This path takes: {', '.join(allowed)}", allow=allowed)

    def body_size(self, scope: Scope, rule: RouteRule) -> tuple[int, int]:
        """The most that this body may have, and how much memory to set aside for it, in bytes.

        Raises:
            BodyTooLarge, MalformedBody: Decided from the head.
        """
        expected = expected_bytes(scope)
        if not rule.body:
            if expected != 0:
                raise MalformedBody("This route takes no body")
            return 0, 0
        limit = self.body_limits.get(rule.route, self.default_body_limit)
        if expected is None:  # chunked: it may turn out to be as large as is allowed
            return limit, limit
        if expected > limit:
            raise too_large(limit)
        return expected, expected


class AdmissionMiddleware:
    """Lets a request through to its route with an ``Admission`` in ``scope["state"]``, or raises why not.

    Args:
        app: What is behind it.
        gate: What it decides by.
    """

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self.app = app
        self.gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = exchange_of(scope)
        exchange.body_pending = _announces_body(scope)
        rule = self.gate.match(scope)
        exchange.route = rule.route
        if rule.scope is None:
            limit, _ = self.gate.body_size(scope, rule)
            await self.app(scope, self._bounded(receive, exchange, limit), send)
            return
        await self._admitted(rule, exchange, scope, receive, send)

    async def _admitted(self, rule: RouteRule, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
        gate = self.gate
        address = scope["client"][0] if scope.get("client") else ""
        with self._denials_noted(exchange, address):
            principal = exchange.principal = await self._identified(rule, scope, address)
            bind_contextvars(key_id=principal.key_id, tenant=principal.tenant)
            gate.policy.check(principal, rule)
            await gate.switches.check(principal, rule)
        kind, deadline = gate.shed.get(rule.route), NEVER
        if kind is not None:
            deadline = callers_deadline(scope)
            with self._denials_noted(exchange, address):
                gate.load.expect(kind, principal.tenant, deadline)  # before it is charged, or a byte of its body read
        limit, reserved = gate.body_size(scope, rule)
        gate.inflight.reserve(principal.key_id, reserved)
        try:
            with self._denials_noted(exchange, address):
                decision = await gate.limiter.acquire(principal, exchange.request_id, rule.cost, gate.lease_seconds)
            try:
                exchange.headers += decision.headers
                exchange.steps["admit"] = exchange.seconds
                plan_seconds = decision.plan.deadline_seconds
                scope["state"]["admission"] = Admission(
                    principal, exchange.request_id, rule.route, address, decision.headers, deadline, plan_seconds
                )
                await self.app(scope, self._bounded(receive, exchange, limit, deadline), send)
            finally:
                await gate.limiter.release(principal, exchange.request_id)
        finally:
            gate.inflight.release(principal.key_id, reserved + exchange.answer_bytes)

    async def _identified(self, rule: RouteRule, scope: Scope, address: str) -> Principal:
        """A cookie opens the console and nothing else; a key opens everything but the console."""
        if not rule.session:
            return await self.gate.authenticator.authenticate(_headers(scope), address)
        principal, scope["state"]["session"] = await self.gate.sessions.authenticate(
            cookie_of(scope["headers"]), address
        )
        return principal

    @contextmanager
    def _denials_noted(self, exchange: Exchange, address: str) -> Iterator[None]:
        """Count a refusal for the audit log, and say why in the log. Neither holds what was presented."""
        try:
            yield
        except (Unauthenticated, Forbidden, SwitchedOff, QuotaExceeded, Overloaded, DeadlineExceeded) as refusal:
            principal = exchange.principal
            kind, reason = _why(refusal)
            actor = principal.key_id if principal else getattr(refusal, "key_id", None) or ANONYMOUS
            log.info("admission.denied", kind=kind, reason=reason, route=exchange.route, key_id=actor)
            self.gate.denials.note(
                kind,
                reason,
                request_id=exchange.request_id,
                route=exchange.route,
                address=address,
                actor=actor,
                tenant=principal.tenant if principal else "",
            )
            raise

    def _bounded(self, receive: Receive, exchange: Exchange, limit: int, deadline: Deadline = NEVER) -> BoundedReceive:
        gate = self.gate
        return BoundedReceive(
            receive, exchange, limit=limit, seconds=gate.body_seconds, deadline=deadline, draining=gate.draining
        )


def _why(refusal: GatewayError) -> tuple[Denial, str]:
    """What was missing, and the code of why."""
    match refusal:
        case CredentialRefused():
            return "unauthenticated", refusal.reason
        case Suspended() | SwitchedOff():
            return "forbidden", "switch"
        case Forbidden():
            return "forbidden", "scope" if "scope" in refusal.members else "plan"
        case QuotaExceeded():
            return "quota", "+".join(refusal.members.get("violated-policies", ()))
        case Overloaded() | DeadlineExceeded():
            return "overload", "queue" if isinstance(refusal, Overloaded) else "deadline"
    return "unauthenticated", "unknown"


def _announces_body(scope: Scope) -> bool:
    """Whether bytes may follow the head; also where the announcement is malformed."""
    return any(
        (name == b"content-length" and value.strip(b"0 ") != b"") or name == b"transfer-encoding"
        for name, value in scope["headers"]
    )


def _headers(scope: Scope) -> dict[str, str]:
    """The headers, no name twice: of repeated ones all values, joined (RFC 9110 §5.3), so that two keys are no key."""
    joined: dict[str, str] = {}
    for name, value in scope["headers"]:
        text, key = value.decode("latin-1"), name.decode("latin-1")
        joined[key] = f"{joined[key]}, {text}" if key in joined else text
    return joined
