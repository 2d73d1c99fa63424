"""The one-machine stack: the first key of a new machine, so that there is one to issue the others with."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr
from sqlalchemy.exc import SQLAlchemyError

from gateway.admission.access import AccessPolicy
from gateway.admission.key_record import NewKey
from gateway.admission.key_store import KeyStore
from gateway.admission.keys import KeyMaker
from gateway.audit.events import SYSTEM, KeyIssued
from gateway.audit.recorder import Recorder
from gateway.database import create_engine
from gateway.embedded.errors import StackError
from gateway.errors import GatewayError
from gateway.migrations import migrate
from gateway.settings import AdmissionSettings, AuditSettings, DatabaseSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

_LIFETIME = timedelta(days=365)


def issue_first_key(variables: Mapping[str, str]) -> str | None:
    """Bring the database up to date and, if it holds no key yet, issue one with the role ``admin``.

    Args:
        variables: The stack's settings: ``DATABASE_URL``, ``ADMISSION_KEY_PEPPER_FILE``, ``AUDIT_CHAIN_KEY_FILE``.

    Returns:
        The key, which cannot be shown again; None if there are keys already.

    Raises:
        StackError: The database or the access policy cannot be read.
    """
    pepper, chain_key = (
        Path(variables[name]).read_text(encoding="utf-8").strip()
        for name in ("ADMISSION_KEY_PEPPER_FILE", "AUDIT_CHAIN_KEY_FILE")
    )
    database = DatabaseSettings(url=SecretStr(variables["DATABASE_URL"]))
    try:
        return asyncio.run(_issue(database, pepper.encode(), AuditSettings(chain_key=SecretStr(chain_key))))
    except (SQLAlchemyError, GatewayError, OSError, ValueError) as error:
        raise StackError(f"The first key cannot be issued: {type(error).__name__}: {error}") from error


async def _issue(database: DatabaseSettings, pepper: bytes, audit: AuditSettings) -> str | None:
    engine = create_engine(database)
    recorder = Recorder(engine, audit)
    try:
        await migrate(engine)
        store = KeyStore(engine, KeyMaker(pepper))
        if await store.list(limit=1):
            return None
        new = NewKey(
            owner="First administrator",
            tenant="local",
            scopes=AccessPolicy.load(AdmissionSettings().access_policy).expand(roles=["admin"], scopes=[]),
            plan="admin",
            expires_at=datetime.now(UTC) + _LIFETIME,
            note="Issued at the first start of this machine",
        )
        await recorder.start()
        record, issued = await store.issue(new)
        scopes, ends = tuple(sorted(record.scopes)), (record.expires_at or datetime.now(UTC)).isoformat()
        await recorder.record(KeyIssued("", SYSTEM, "", record.key_id, record.tenant, scopes, record.plan, ends))
        return issued.text
    finally:
        await recorder.close()
        await engine.dispose()
