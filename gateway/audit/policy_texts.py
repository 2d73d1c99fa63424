"""Step 7 of 7: the texts of the policies that were in force, by the digests that are on record.

A digest in the log proves by which policy a request was treated; the text says what that was, when the file on the disk
is another one since. Policies are an installation's own rules: they identify no patient.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, String, Table, Text, select
from sqlalchemy.dialects import postgresql, sqlite

from gateway.admission.sql import reading, writing
from gateway.database import metadata

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

policy_texts = Table(
    "policy_texts",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("text", Text, nullable=False),
)
"""One row a version of a policy file: SHA-256 of its bytes, hex, and the bytes as UTF-8."""


class PolicyTexts:
    """The table, and what is in force in this process.

    Args:
        engine: Of ``gateway.database``; whoever made it closes it.

    Attributes:
        in_force: Name to the file's text, of each policy by which this process works; empty before its start.
        files: Name to where it was read.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self.in_force: dict[str, str] = {}
        self.files: dict[str, Path] = {}
        self._engine = engine
        insert: Any = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert
        self._keep = insert(policy_texts).on_conflict_do_nothing(index_elements=[policy_texts.c.digest])

    async def keep(self, files: Mapping[str, Path], contents: Mapping[str, bytes]) -> None:
        """Put those in force on record; what is there already stays as it is.

        Args:
            files: Name to where it was read.
            contents: Name to what was read there.

        Raises:
            StoreUnavailable: The database cannot be written.
        """
        self.files = dict(files)
        self.in_force = {name: content.decode("utf-8", "replace") for name, content in contents.items()}
        rows = {digest_of(content): self.in_force[name] for name, content in contents.items()}
        async with writing(self._engine) as connection:
            await connection.execute(self._keep, [{"digest": key, "text": rows[key]} for key in sorted(rows)])

    async def find(self, digest: str) -> str | None:
        """The text with this digest; None if none was kept.

        Raises:
            StoreUnavailable: The database cannot be read.
        """
        async with reading(self._engine) as connection:
            found = await connection.execute(select(policy_texts.c.text).where(policy_texts.c.digest == digest))
            return found.scalar_one_or_none()


def digest_of(content: bytes) -> str:
    """As records state it: SHA-256, hex."""
    return hashlib.sha256(content).hexdigest()
