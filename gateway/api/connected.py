"""Around steps 2 to 7: work that ends when its caller goes away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from starlette.requests import ClientDisconnect

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from starlette.types import Receive

Result = TypeVar("Result")


async def while_connected(work: Coroutine[None, None, Result], receive: Receive) -> Result:
    """Do the work, and stop it when the caller goes away: nobody waits for its answer.

    Raises:
        starlette.requests.ClientDisconnect: The caller went away; the work has ended.
    """
    working = asyncio.current_task()
    assert working is not None
    gone, before = False, working.cancelling()

    async def watch() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        working.cancel()

    watching = asyncio.create_task(watch())
    try:
        return await work
    except asyncio.CancelledError:
        # Ours alone: whoever else cancels the task as well is not kept from it (as in asyncio.timeout).
        if gone and working.uncancel() <= before:
            raise ClientDisconnect from None
        raise
    finally:
        watching.cancel()
