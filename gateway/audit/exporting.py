"""Step 7 of 7: an export from beginning to end: on record before its first byte, and with its digest before the last.

The records are read piece by piece, each in a query of its own; nothing of the database is held between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gateway.audit.events import AuditExported, AuditRead, fields_of
from gateway.audit.export import Export, form_of
from gateway.audit.keys import KeyRing
from gateway.audit.proof import proof_lines, seal
from gateway.audit.search import Filters
from gateway.audit.statements import Signer
from gateway.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from typing import Any

    from gateway.audit.export import Format
    from gateway.audit.log_events import SentAs
    from gateway.audit.reader import AuditReader
    from gateway.audit.recorder import Recorder
    from gateway.settings import AuditSettings


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads.

    Attributes:
        request_id: Correlation ID of the request or the command.
        actor: Key ID, or ``system`` for whoever is at the machine.
        tenant: The actor's.
        all_tenants: Whether other tenants' records may be among what is read.
    """

    request_id: str
    actor: str
    tenant: str
    all_tenants: bool


class Exporting:
    """Exports of one process.

    Args:
        audit: The log.
        recorder: Where exports go on record.
        settings: Keys, and this installation's name.

    Attributes:
        signer: Signs the proofs.
    """

    def __init__(self, audit: AuditReader, recorder: Recorder, settings: AuditSettings) -> None:
        self._audit = audit
        self._recorder = recorder
        self._source = settings.source
        self._keys = KeyRing.of(settings)
        self.signer = Signer.of(settings)

    async def begin(
        self, who: Reader, form: Format, filters: Filters, after: int = 0, progress: Callable[[int], None] | None = None
    ) -> Running:
        """Put on record that someone takes records away; from then on they may go out.

        Args:
            who: Takes them.
            form: In which form.
            filters: Which.
            after: Only those of a greater number.
            progress: Told up to which number the log was read.

        Raises:
            AuditUnavailable: The log cannot be read or written.
        """
        _, until = await self._audit.range_of(filters)
        await self._recorder.record(
            AuditRead(who.request_id, who.actor, who.tenant, "export", filters.names(), who.all_tenants)
        )
        export = Export(form_of(form, self._source), self._keys)
        records = self._audit.walk(filters, after, until, progress or (lambda _reached: None))
        return Running(self, who, form, filters.names(), export, export.pieces(records), until)

    async def ended(self, running: Running, *, whole: bool) -> dict[str, Any]:
        """Put on record what went out; what the record says is what the proof is made from."""
        event = exported(running.who, running.form, running.filters, running.export, whole=whole)
        await self._recorder.record(event)
        return fields_of(event)

    async def proof(self, said: Mapping[str, Any]) -> bytes:
        """The proof of an export that is on record."""
        checkpoints = await self._audit.checkpoints(said["first"], said["last"])
        return proof_lines(checkpoints, seal(self.signer, said, datetime.now(UTC)))

    async def proof_of(self, request_id: str, tenant: str | None) -> bytes:
        """The proof of an export that was made before.

        Args:
            request_id: Of the export.
            tenant: Whose; None for any.

        Raises:
            NotFound: No export of that ID ended well.
            AuditUnavailable: The log cannot be read.
        """
        filters = Filters(type=AuditExported.type_name, request_id=request_id, tenant=tenant, outcome="success")
        found = await self._audit.newest(filters, None, 1)
        if not found:
            raise NotFound("No export of this ID is on record")
        return await self.proof(found[0].fields)


@dataclass(slots=True)
class Running:
    """An export on its way.

    Attributes:
        until: Number of the last record that is looked at.
        proof: The proof, once all went out.
    """

    _exporting: Exporting
    who: Reader
    form: Format
    filters: tuple[str, ...]
    export: Export
    _pieces: AsyncIterator[bytes]
    until: int
    proof: bytes = b""
    _on_record: bool = False

    async def pieces(self) -> AsyncIterator[bytes]:
        """All of the output. What went out is on record before the last piece is given; NDJSON ends with its proof.

        Raises:
            AuditUnavailable: The log cannot be read or written.
        """
        held = b""
        async for piece in self._pieces:
            if held:
                yield held
            held = piece
        said = await self._exporting.ended(self, whole=True)
        self._on_record = True
        self.proof = await self._exporting.proof(said)
        yield held + (self.proof if self.form == "ndjson" else b"")

    async def broken_off(self) -> None:
        """The receiver left: put on record what went out. Does nothing if all did."""
        if not self._on_record:
            self._on_record = True
            await self._exporting.ended(self, whole=False)


def exported(who: Reader, form: SentAs, filters: tuple[str, ...], export: Export, *, whole: bool) -> AuditExported:
    """The event of an export that has ended."""
    last = export.last
    return AuditExported(
        request_id=who.request_id,
        actor=who.actor,
        tenant=who.tenant,
        format=form,
        filters=filters,
        records=export.records,
        first=export.first,
        last=last.seq if last else 0,
        digest=last.digest if last else "",
        gaps=not export.contiguous,
        altered=export.altered,
        bytes=export.bytes,
        output_digest=export.digest,
        all_tenants=who.all_tenants,
        outcome="success" if whole else "failed",
    )
