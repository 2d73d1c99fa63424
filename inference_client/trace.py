"""Step 5 of 7: the trace that a call belongs to (W3C Trace Context), sent to the server beside the request.

A caller sets it for its own task; what the task starts inherits it. A trace that is not recorded is not sent: Triton
(tried: 2.51) records every call that comes with one, whatever its flag says.
"""

from __future__ import annotations

from contextvars import ContextVar

_SAMPLED = 1  # of the trace flags (§3.2.2.5.1)

TRACEPARENT: ContextVar[str] = ContextVar("traceparent", default="")
"""Well-formed, or empty for none."""


def trace_metadata() -> tuple[tuple[str, str], ...]:
    """The gRPC metadata that says so. Triton reads it in its OpenTelemetry mode (user guide, "Server Trace")."""
    value = TRACEPARENT.get()
    return (("traceparent", value),) if value and int(value[-2:], 16) & _SAMPLED else ()
