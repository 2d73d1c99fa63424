"""Step 2 of 7: large HTJ2K frames of the reversible kind, by OpenJPH, which needs little more than the result.

imagecodecs calls OpenJPH from a function that cannot raise: an error there goes to ``sys.unraisablehook``, and what
comes back is memory that nobody filled. So the hook is listened to meanwhile, and such a frame is refused.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.ingest.codecs import Stored


def decode(frame: bytes | memoryview) -> Stored:
    """The samples of a whole codestream, [rows, columns] or [rows, columns, components]. Raises ValueError."""
    from imagecodecs import htj2k_decode  # noqa: PLC0415 - 0.3 s to import, and seldom needed

    data: Any = frame  # any buffer will do, whatever the annotations say
    with _no_error_unheard():
        stored: Stored = htj2k_decode(data)
    return stored


@contextmanager
def _no_error_unheard() -> Iterator[None]:
    """Raises ValueError if an exception was ignored. Holds for the whole process; a worker has one thread."""
    heard: list[bool] = []
    before = sys.unraisablehook
    sys.unraisablehook = lambda _: heard.append(True)
    try:
        yield
    finally:
        sys.unraisablehook = before
    if heard:
        raise ValueError("OpenJPH cannot decode the codestream")
