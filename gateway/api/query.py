"""Around all steps: query strings read strictly."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from gateway.errors import InvalidParameter

if TYPE_CHECKING:
    from starlette.types import Scope


def once(scope: Scope) -> None:
    """Refuse a parameter that occurs twice: which of the two is meant is not ours to choose.

    Raises:
        InvalidParameter: One does.
    """
    names = [name for name, _ in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)]
    if len(set(names)) < len(names):
        raise InvalidParameter("A query parameter occurs twice")
