"""Around all steps: query strings, and the times in them and in bodies, read strictly."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated
from urllib.parse import parse_qsl

from pydantic import AwareDatetime, BeforeValidator

from gateway.errors import InvalidParameter

if TYPE_CHECKING:
    from starlette.types import Scope


_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?([Zz]|[+-]\d{2}:?\d{2})?", re.ASCII)


def _written(value: object) -> object:
    # pydantic would take a number for seconds since 1970; that a zone is missing it says itself.
    if value is not None and not (isinstance(value, str) and _TIME.fullmatch(value)):
        raise ValueError
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_written)]
"""A time as RFC 3339 writes it, with a zone."""


def once(scope: Scope) -> None:
    """Refuse a parameter that occurs twice: which of the two is meant is not ours to choose.

    Raises:
        InvalidParameter: One does.
    """
    names = [name for name, _ in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)]
    if len(set(names)) < len(names):
        raise InvalidParameter("A query parameter occurs twice")
