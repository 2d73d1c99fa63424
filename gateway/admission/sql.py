"""Step 1 of 7: bounded access to SQL: a sick database costs a clear error within two seconds, never a hang."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from gateway.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

TIMEOUT_SECONDS = 2.0


@asynccontextmanager
async def reading(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection to read on. Raises StoreUnavailable however the database fails; its own text stays here."""
    async with _bounded(), engine.connect() as connection:
        yield connection


@asynccontextmanager
async def writing(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction. Raises StoreUnavailable: then nothing of it was written."""
    async with _bounded(), engine.begin() as connection:
        yield connection


@asynccontextmanager
async def _bounded() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            yield
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        raise StoreUnavailable from error
