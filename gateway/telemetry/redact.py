"""Beside all steps: what may stand in a log line. What is not known to be safe is withheld.

Three rules: a key on the list is dropped; a value of a type not on the list is named and not shown; an exception is its
type and the places it went through. Its message may quote a value (pydicom's do), so no message of one is ever logged.
"""

from __future__ import annotations

import sys
import traceback
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from structlog.typing import EventDict, WrappedLogger

DROPPED_KEYS = frozenset(
    {
        # credentials
        "api_key", "authorization", "cookie", "credential", "key", "password", "pepper", "secret", "set_cookie",
        "token", "x_api_key",
        # 45 CFR 164.514(b)(2)(i): addresses, URLs and free text may identify a patient or a person
        "address", "body", "client", "dataset", "file", "file_name", "filename", "headers", "host", "ip", "owner",
        "patient", "patient_id", "patient_name", "path", "query", "query_string", "raw_path", "remote", "url", "user",
    }
)  # fmt: skip
MAX_TEXT = 200
MAX_ITEMS = 20
MAX_DEPTH = 3
MAX_FRAMES = 30
MAX_INTEGER = 2**53  # beyond it, JSON readers lose digits (RFC 8259 §6)
_STRUCTLOG_OWN = ("_record", "_from_structlog")  # taken out again by structlog itself


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A structlog processor: drop, withhold, shorten."""
    return {key: value if key in _STRUCTLOG_OWN else shown(value) for key, value in event.items() if _allowed(key)}


def places_only(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A structlog processor: ``exc_info`` becomes the exception's types and places, its messages are left behind."""
    error = event.pop("exc_info", None)
    event.pop("stack_info", None)
    if error is True:
        error = sys.exc_info()
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event["exception"] = described(error)
    return event


def described(error: BaseException) -> list[str]:
    """The exception and its causes, innermost last: ``ValueError at decode.py:41 < pipeline.py:80``."""
    chain: list[str] = []
    current: BaseException | None = error
    while current is not None and len(chain) < MAX_ITEMS:
        frames = traceback.extract_tb(current.__traceback__)[-MAX_FRAMES:]
        places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
        chain.append(f"{type(current).__module__}.{type(current).__qualname__} at {places or 'no frame'}")
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return chain


def shown(value: object, depth: int = 0) -> Any:
    """A value as a log line may show it: JSON types only."""
    match value:
        case None | bool() | float():
            return value
        case int() if abs(value) <= MAX_INTEGER:
            return int(value)
        case Enum():
            return shown(value.value, depth)
        case str():
            return one_line(value)
        case dict() if depth < MAX_DEPTH:
            return _mapping(value, depth)
        case list() | tuple() | set() | frozenset() if depth < MAX_DEPTH:
            return [shown(item, depth + 1) for item in list(value)[:MAX_ITEMS]]
        case BaseException():
            return type(value).__qualname__
    return f"<{type(value).__qualname__}>"  # bytes, arrays, datasets, and whatever else


def one_line(text: str) -> str:
    """Short, and without control characters: a log line cannot be forged (ASVS 5.0 16.4.1)."""
    if len(text) > MAX_TEXT:
        text = text[:MAX_TEXT] + "…"
    return text if text.isprintable() else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _mapping(values: Mapping[Any, object], depth: int) -> dict[str, Any]:
    return {
        one_line(str(key)): shown(value, depth + 1) for key, value in list(values.items())[:MAX_ITEMS] if _allowed(key)
    }


def _allowed(key: object) -> bool:
    return isinstance(key, str) and key.lower().replace("-", "_") not in DROPPED_KEYS
