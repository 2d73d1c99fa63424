"""Before step 2: how long a caller will wait for its answer, if the request's head says so.

``Grpc-Timeout: 1500m``: up to eight digits and a unit, from hours to nanoseconds. It is gRPC's header, with gRPC's
syntax (PROTOCOL-HTTP2, "Timeout"), which gateways between HTTP and gRPC take from plain HTTP callers as well.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway.deadline import Deadline
from gateway.errors import InvalidParameter

if TYPE_CHECKING:
    from starlette.types import Scope

HEADER = "Grpc-Timeout"
_NAME = HEADER.lower().encode()
_SYNTAX = re.compile(rb"([0-9]{1,8})([HMSmun])")
_SECONDS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}


def callers_deadline(scope: Scope) -> Deadline:
    """From now on, so long as the head says; without end where it says nothing.

    Raises:
        InvalidParameter: It says so twice, or in another syntax; zero is no time to wait.
    """
    said = [value for name, value in scope["headers"] if name == _NAME]
    if not said:
        return Deadline()
    found = _SYNTAX.fullmatch(said[0]) if len(said) == 1 else None
    if found is None or not int(found[1]):
        raise InvalidParameter(
            f"{HEADER} must be one number of up to 8 digits, not 0, and a unit: H, M, S, m, u or n", parameter=HEADER
        )
    return Deadline.after(int(found[1]) * _SECONDS[found[2]])
