"""Step 1 of 7: who may issue, change, rotate and end which key. The rules for HTTP, command line and console alike.

    issue, update, rotate   the scopes before and after must be the administrator's to give (``check_grant`` of
                            ``access.py``); a key with a scope of ``four_eyes`` then waits (``key_approval.py``)
    revoke                  at once, of any key of the own tenant: to end is always safe
    break glass             at once, within what the policy lists; see ``break_glass.py``

Another tenant's key does not exist. The operator at the machine is held to what can be stored and to nothing else (see
``docs/adr/0024-four-eyes.md``). What is done here is on record here, after it; a caller that must not act while the
audit log is away makes sure of the log first.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from gateway.admission import key_events
from gateway.admission.break_glass import ISSUE
from gateway.admission.key_change import changed, patched
from gateway.admission.key_record import KeyRecord, NewKey, check_new_key
from gateway.admission.key_request import KeyRequest
from gateway.admission.key_store import check_overlap
from gateway.admission.keys import IssuedKey, KeyMaker, new_id
from gateway.errors import Forbidden, InvalidParameter, PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.admission.access import AccessPolicy
    from gateway.admission.administrator import Administrator
    from gateway.admission.break_glass import BreakGlassWanted
    from gateway.admission.key_request import Kind
    from gateway.admission.key_requests import KeyRequests
    from gateway.admission.key_store import KeyStore
    from gateway.admission.plans import Plans
    from gateway.audit.events import AuditEvent

log = structlog.get_logger(__name__)


class Record(Protocol):
    """The audit log."""

    async def record(self, event: AuditEvent) -> None:
        """Durable when it returns. Raises AuditUnavailable."""


@dataclass(frozen=True, slots=True)
class Handed:
    """A key with its secret, which is shown this once; or the request for it, until whose approval the secret is dead.

    Attributes:
        record: The key; None while it waits.
        request: What waits; None if nothing does.
        secret: The whole key.
    """

    record: KeyRecord | None
    request: KeyRequest | None
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Changed:
    """A key after an update.

    Attributes:
        record: The key as it is now.
        request: What waits; None if nothing does.
        changed: Names of the fields that are changed, or would be; empty if the patch said nothing new.
    """

    record: KeyRecord
    request: KeyRequest | None
    changed: tuple[str, ...]


class KeyAdministration:
    """The keys, as administrators may change them.

    Args:
        keys: The tables of keys.
        requests: The table of what waits.
        maker: Makes the secrets of what waits.
        access: Roles, scopes, four eyes, break-glass.
        plans: The plans.
        recorder: The audit log.
        now: The clock, in UTC.
    """

    def __init__(
        self,
        *,
        keys: KeyStore,
        requests: KeyRequests,
        maker: KeyMaker,
        access: AccessPolicy,
        plans: Plans,
        recorder: Record,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._keys = keys
        self._requests = requests
        self._maker = maker
        self._access = access
        self._plans = plans
        self._recorder = recorder
        self._now = now

    async def list(self, by: Administrator, *, limit: int = 1000) -> tuple[KeyRecord, ...]:
        """The keys that there are for them, the newest first."""
        return await self._keys.list(tenant=by.within, limit=limit)

    async def show(self, by: Administrator, key_id: str) -> KeyRecord:
        """One key. Raises NotFound if there is none for them."""
        return await self._keys.existing(key_id, tenant=by.within)

    async def issue(self, by: Administrator, new: NewKey) -> Handed:
        """Make a key, or a request for it. Its maker and its tenant are the administrator's, whatever ``new`` says.

        Raises:
            Forbidden: A scope that is not theirs to give.
            InvalidParameter: A field does not fit.
        """
        new = replace(new, created_by=by.key_id, tenant=new.tenant if by.at_the_machine else by.tenant, break_glass="")
        self._access.expand(scopes=new.scopes)
        self._plans.check(new.plan, new.limits)
        self._check_grant(by, new.scopes)
        if self._waits(by, new.scopes, ("scopes",)):
            check_new_key(new, self._now())
            issued = self._maker.issue()
            return await self._ask(by, "issue", issued.key_id, new, issued=issued)
        record, issued = await self._keys.issue(new)
        await self._recorder.record(key_events.issued(by.who, record))
        return Handed(record, None, issued.text)

    async def break_glass(self, by: Administrator, wanted: BreakGlassWanted) -> Handed:
        """Make a key for an emergency, now, and sound the alarm.

        Raises:
            Forbidden: The administrator may not, or the policy does not let such a key hold one of the scopes.
            InvalidParameter: No reason, no sentence, too long a life, or a field that does not fit.
        """
        policy = self._access.break_glass
        if not by.at_the_machine and ISSUE not in by.scopes:
            raise Forbidden(f"This needs the scope {ISSUE}", scope=ISSUE)
        wanted = replace(
            wanted,
            scopes=wanted.scopes or frozenset(policy.scopes),
            tenant=wanted.tenant if by.at_the_machine else by.tenant,
        )
        lives = policy.check(wanted)
        self._plans.check(policy.plan, ())
        new = NewKey(
            owner=wanted.owner,
            tenant=wanted.tenant,
            scopes=self._access.expand(scopes=wanted.scopes),
            plan=policy.plan,
            expires_at=self._now() + lives,
            note=wanted.note.strip(),
            created_by=by.key_id,
            break_glass=wanted.reason,
        )
        record, issued = await self._keys.issue(new)
        minutes = int(lives.total_seconds() // 60)
        log.critical("admission.break-glass", key_id=record.key_id, reason=wanted.reason, by=by.key_id, minutes=minutes)
        await self._recorder.record(key_events.issued(by.who, record))
        return Handed(record, None, issued.text)

    async def update(
        self, by: Administrator, key_id: str, patch: Mapping[str, Any], *, revision: int | None
    ) -> Changed:
        """Change a key, or make a request for it. A patch that changes nothing does nothing.

        Args:
            by: Who.
            key_id: Which.
            patch: See ``key_change.py``.
            revision: That of the key as they saw it; None if it is not to matter.

        Raises:
            Forbidden: A scope of the key, before or after, that is not theirs to give.
            InvalidParameter: A field does not fit, or the key is revoked or for an emergency.
            NotFound: No such key for them.
            PreconditionFailed: It was changed since they looked.
        """
        present = await self._keys.existing(key_id, tenant=by.within)
        before = present.as_new()
        after = patched(before, patch)
        self._access.expand(scopes=after.scopes - before.scopes)
        self._check_grant(by, before.scopes | after.scopes)
        if revision is not None and revision != present.revision:
            raise PreconditionFailed("The key was changed since: look at it again")
        _check_lasting(present)
        names = changed(before, after)
        if {"plan", "limits"}.intersection(names):
            self._plans.check(after.plan, after.limits)
        if not names:
            return Changed(present, None, ())
        # To take a scope away gives nobody anything.
        gives = tuple(name for name in names if name != "scopes" or not after.scopes <= before.scopes)
        if self._waits(by, after.scopes, gives):
            check_new_key(after, self._now())
            handed = await self._ask(by, "update", key_id, after, names=names, revision=present.revision)
            return Changed(present, handed.request, names)
        record = await self._keys.update(key_id, after, revision=present.revision, tenant=by.within)
        await self._recorder.record(key_events.updated(by.who, record, names))
        return Changed(record, None, names)

    async def rotate(self, by: Administrator, key_id: str, overlap: timedelta = timedelta(0)) -> Handed:
        """Give a key another secret, or make a request for it. Of a request the overlap begins when it is approved.

        Raises:
            Forbidden: A scope of the key that is not theirs to give: the secret gives it.
            InvalidParameter: The overlap does not fit, or the key has ended or is for an emergency.
            NotFound: No such key for them.
        """
        check_overlap(overlap)
        present = await self._keys.existing(key_id, tenant=by.within)
        self._check_grant(by, present.scopes)
        _check_lasting(present)
        if self._waits(by, present.scopes, ("secret",)) and present.status(self._now()) == "active":
            issued = self._maker.issue(key_id)
            new = present.as_new()
            return await self._ask(by, "rotate", key_id, new, issued=issued, overlap=overlap, revision=present.revision)
        record, issued = await self._keys.rotate(key_id, overlap=overlap, tenant=by.within)
        await self._recorder.record(key_events.rotated(by.who, record, int(overlap.total_seconds())))
        return Handed(record, None, issued.text)

    async def revoke(self, by: Administrator, key_id: str) -> KeyRecord:
        """End a key for good. Raises NotFound if there is none for them."""
        record = await self._keys.revoke(key_id, tenant=by.within)
        await self._recorder.record(key_events.revoked(by.who, record))
        return record

    def _check_grant(self, by: Administrator, scopes: frozenset[str]) -> None:
        if not by.at_the_machine:
            self._access.check_grant(by, scopes)

    def _waits(self, by: Administrator, scopes: frozenset[str], names: tuple[str, ...]) -> bool:
        return not by.at_the_machine and self._access.four_eyes.guards(scopes, names)

    async def _ask(
        self,
        by: Administrator,
        kind: Kind,
        key_id: str,
        new: NewKey,
        *,
        issued: IssuedKey | None = None,
        names: tuple[str, ...] = (),
        overlap: timedelta = timedelta(0),
        revision: int = 0,
    ) -> Handed:
        now = self._now()
        request = KeyRequest(
            request_id=f"req_{new_id()}",
            kind=kind,
            key_id=key_id,
            new=new,
            changed=names,
            overlap=overlap,
            revision=revision,
            requested_by=by.key_id,
            person=by.person,
            requested_at=now,
            expires_at=now + timedelta(hours=self._access.four_eyes.hours),
            digest=issued.digest if issued else None,
        )
        await self._requests.add(request)
        await self._recorder.record(key_events.requested(by.who, request))
        return Handed(None, request, issued.text if issued else "")


def _check_lasting(record: KeyRecord) -> None:
    if record.break_glass:
        raise InvalidParameter("A key for an emergency cannot be changed or rotated: issue another", parameter="key_id")
