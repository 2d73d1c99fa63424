"""Step 2 of 7: freed memory goes back to the system where many small pieces would keep it, near the size of a frame."""

from __future__ import annotations

import ctypes


def give_back() -> None:
    """Takes a few milliseconds. Other C libraries than glibc have no such function and no such habit."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
