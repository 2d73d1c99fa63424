"""Threads that a library starts and does not wait for."""

from __future__ import annotations

import asyncio
import threading


async def database_threads_end(others: set[threading.Thread]) -> None:
    """Wait for aiosqlite's threads, but for those that were there before.

    One whose connection failed to open tells the loop so a moment later: the loop must still be there.
    """
    for thread in set(threading.enumerate()) - others:
        if "_connection_worker_thread" in thread.name:
            await asyncio.to_thread(thread.join)
