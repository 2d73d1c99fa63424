"""The rules of keys over a database of their own, with people who have keys."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from gateway.admission.access import AccessPolicy
from gateway.admission.administration import Administration
from gateway.admission.administrator import Administrator
from gateway.admission.four_eyes import FourEyes
from gateway.admission.key_admin import KeyAdministration
from gateway.admission.key_approval import KeyApproval
from gateway.admission.key_requests import KeyRequests
from gateway.admission.key_store import KeyStore
from gateway.admission.plans import Plans
from gateway.admission.switch_admin import SwitchAdministration
from gateway.admission.switches import Switches
from gateway.database import create_engine
from gateway.migrations import migrate
from gateway.settings import DatabaseSettings
from tests.support.keys import MAKER, new_key

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from gateway.audit.events import AuditEvent

POLICIES = Path(__file__).resolve().parents[2] / "policies"
GUARDED = ("keys:write", "keys:approve", "keys:break-glass", "switches:all", "audit:read")
OPERATOR = Administrator.operator()


@dataclass
class Clock:
    """Stands still until it is moved."""

    now: datetime = field(default_factory=lambda: datetime(2026, 1, 1, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def move(self, **passed: float) -> None:
        self.now += timedelta(**passed)


@dataclass
class Log:
    """What was recorded, in order: the audit log's own tests say that it is durable."""

    events: list[AuditEvent] = field(default_factory=list)

    async def record(self, event: AuditEvent) -> None:
        self.events.append(event)

    @property
    def types(self) -> list[str]:
        return [event.type_name for event in self.events]


@dataclass
class House:
    """One installation."""

    rules: Administration
    store: KeyStore
    requests: KeyRequests
    clock: Clock
    log: Log

    @classmethod
    def on(cls, engine: AsyncEngine, *, four_eyes: tuple[str, ...] = ()) -> House:
        """With the policies that are shipped, but for these."""
        clock, log = Clock(), Log()
        shipped = AccessPolicy.load(POLICIES / "access.yaml")
        access = AccessPolicy(
            shipped.scopes,
            shipped.roles,
            shipped.grantable,
            list(shipped),
            four_eyes=FourEyes(scopes=four_eyes, hours=24),
            break_glass=shipped.break_glass,
        )
        plans = Plans.load(POLICIES / "plans.yaml")
        store, requests = KeyStore(engine, MAKER, now=clock), KeyRequests(engine, now=clock)
        common = {"keys": store, "requests": requests, "access": access, "plans": plans, "recorder": log, "now": clock}
        rules = Administration(
            KeyAdministration(maker=MAKER, **common),  # type: ignore[arg-type]
            KeyApproval(**common),  # type: ignore[arg-type]
            SwitchAdministration(Switches(engine, cache_seconds=0, now=clock), store, log),
        )
        return cls(rules, store, requests, clock, log)

    async def person(self, name: str, *scopes: str, tenant: str = "st-mary") -> Administrator:
        """Someone with a key of these scopes."""
        record, _ = await self.store.issue(new_key(owner=name, scopes=frozenset(scopes), tenant=tenant))
        return Administrator(f"r-{name}", record.key_id, tenant, name, record.scopes)


def migrated(folder: Path) -> Path:
    """A SQLite file with all tables, to be copied: to migrate takes longer than most tests."""

    async def make() -> None:
        engine = create_engine(DatabaseSettings(url=SecretStr(f"sqlite+aiosqlite:///{path}")))
        await migrate(engine)
        await engine.dispose()

    path = folder / "template.db"
    asyncio.run(make())
    return path


def engine_on_a_copy(template: Path, folder: Path) -> AsyncEngine:
    """An engine on a copy of it."""
    shutil.copy(template, folder / "keys.db")
    return create_engine(DatabaseSettings(url=SecretStr(f"sqlite+aiosqlite:///{folder}/keys.db")))
