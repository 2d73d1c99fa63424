"""Step 7 of 7: records older than their retention are given up, and the chain stays whole from there on.

What is removed is always the chain's beginning. Before the first record goes, it is verified; then the removal is on
record in the chain itself; then a signed statement of the last record that goes stands in its table and in the second
place; only then triggers let records up to it be deleted. A removal that is interrupted goes on the next time.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import structlog
from pydantic import Field, StrictBool, StrictInt
from sqlalchemy import delete, func, insert, select
from sqlalchemy.exc import SQLAlchemyError

from gateway.admission.policy_file import Strict, load_policy
from gateway.audit.chain import Head, public_digest, time_text
from gateway.audit.checkpoints import truncation
from gateway.audit.events import AuditTruncated
from gateway.audit.finder import CLOCKS_DIFFER_SECONDS
from gateway.audit.sealer import append_line, checkpoint_path
from gateway.audit.statements import Signer
from gateway.audit.tables import audit, audit_truncations
from gateway.errors import AuditUnavailable, RetentionRefused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

    from gateway.audit.exporting import Reader
    from gateway.audit.reader import AuditReader
    from gateway.audit.recorder import Recorder
    from gateway.settings import AuditSettings

log = structlog.get_logger(__name__)

SIX_YEARS_DAYS = 2192
"""45 CFR 164.316(b)(2)(i), with two leap days."""
_BATCH = 2000
_PAUSE_SECONDS = 0.02  # between batches, so that others may append


class _AuditRetention(Strict):
    keep_days: Annotated[StrictInt, Field(ge=1, le=36_500)] = SIX_YEARS_DAYS
    unattended: StrictBool = False


class RetentionPolicy(Strict):
    """``policies/retention.yaml``."""

    audit: _AuditRetention

    @classmethod
    def load(cls, path: Path) -> RetentionPolicy:
        """Read it.

        Raises:
            ValueError: The message names the file and each fault in it.
        """
        return load_policy(path, cls)


@dataclass(frozen=True, slots=True)
class Plan:
    """What may be given up.

    Attributes:
        before: Records made before this time may go.
        first: Number of the first record that is there.
        through: The last one that may go; smaller than ``first`` if none may.
        left: How many that were given up before are there still.
    """

    before: datetime
    first: int
    through: Head
    left: int

    @property
    def records(self) -> int:
        """How many may go, those that were given up before left out."""
        return max(0, self.through.seq - self.first + 1 - self.left)


class Retention:
    """Gives up old records.

    Args:
        engine: Of ``gateway.database``; in PostgreSQL of the role that owns the table.
        audit: The log.
        settings: The signing key, the second place.
        keep: How long records are kept.
    """

    def __init__(self, engine: AsyncEngine, audit: AuditReader, settings: AuditSettings, keep: timedelta) -> None:
        self._engine = engine
        self._audit = audit
        self._settings = settings
        self._keep = keep

    async def plan(self, now: datetime) -> Plan:
        """What may be given up now. The last record never is.

        Raises:
            AuditUnavailable: The log cannot be read.
        """
        before = now - self._keep
        margin = time_text(before - timedelta(seconds=CLOCKS_DIFFER_SECONDS))
        # By the clocks of all nodes, whatever is numbered up to here was made before that time.
        last_old = (
            select(audit.c.seq).where(audit.c.time < margin).order_by(audit.c.time.desc(), audit.c.seq.desc()).limit(1)
        )
        try:
            async with self._engine.connect() as connection:
                first = (await connection.execute(select(func.min(audit.c.seq)))).scalar_one() or 0
                end = (await connection.execute(select(func.max(audit.c.seq)))).scalar_one() or 0
                given_up = (await connection.execute(select(func.max(audit_truncations.c.size)))).scalar_one() or 0
                through = (await connection.execute(last_old)).scalar_one_or_none() or 0
                through = max(min(through, end - 1), given_up)
                row = (
                    await connection.execute(select(audit.c.hash, audit.c.body).where(audit.c.seq == through))
                ).one_or_none()
        except (SQLAlchemyError, OSError) as error:
            raise AuditUnavailable(f"The audit store cannot be read ({type(error).__name__})") from None
        head = Head(through, row.hash, public_digest(row.body.encode())) if row else Head(through, "", "")
        return Plan(before, first, head, max(0, given_up - first + 1) if first else 0)

    async def check(self, plan: Plan, progress: Callable[[int, int], None] = lambda _done, _total: None) -> None:
        """Verify what is to go: faults must not be removed with it.

        Raises:
            RetentionRefused: It is not whole.
            AuditUnavailable: The log cannot be read.
        """
        report = await self._audit.verify(progress, most=plan.records)
        if not report.good:
            raise RetentionRefused("The log is not whole: nothing is given up before that is cleared up")

    async def give_up(
        self, plan: Plan, who: Reader, recorder: Recorder, progress: Callable[[int, int], None] = lambda _d, _t: None
    ) -> None:
        """Do it.

        Args:
            plan: Of before; ``check`` was called with it.
            who: Asked for it.
            recorder: Where it goes on record.
            progress: Told how many of how many have gone.

        Raises:
            AuditUnavailable: The log cannot be written. What has gone by then was vouched for.
        """
        if plan.records:
            await recorder.record(
                AuditTruncated(
                    request_id=who.request_id,
                    actor=who.actor,
                    tenant=who.tenant,
                    through=plan.through.seq,
                    head=plan.through.hash,
                    before=time_text(plan.before),
                    records=plan.records,
                )
            )
        try:
            if plan.records:
                await self._state(plan)
            await self._delete(plan, progress)
        except (SQLAlchemyError, OSError) as error:
            log.error("audit.truncation_broken_off", error=type(error).__name__)  # noqa: TRY400 - its text holds values
            raise AuditUnavailable("The audit store does not take the removal; ask again to go on") from None

    async def _state(self, plan: Plan) -> None:
        statement = truncation(Signer.of(self._settings), plan.through, plan.before, datetime.now(UTC))
        place = checkpoint_path(self._engine.url, self._settings)
        async with self._engine.begin() as connection:
            await connection.execute(insert(audit_truncations).values(asdict(statement)))
        if place is not None:
            await asyncio.to_thread(append_line, place, statement.line())
        log.info("audit.truncation", **asdict(statement))

    async def _delete(self, plan: Plan, progress: Callable[[int, int], None]) -> None:
        total = plan.through.seq - plan.first + 1
        for start in range(plan.first, plan.through.seq + 1, _BATCH):
            upto = min(start + _BATCH - 1, plan.through.seq)
            async with self._engine.begin() as connection:
                await connection.execute(delete(audit).where(audit.c.seq <= upto))
            progress(upto - plan.first + 1, total)
            await asyncio.sleep(_PAUSE_SECONDS)
