"""/v1/admin/audit/export and what belongs to it: records taken away with their proof, and pseudonyms to search by.

An export is written piece by piece, as fast as its receiver reads; between two pieces nothing of the database is held.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import structlog
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import ClientDisconnect

from gateway.api.admin_audit import ALL, AuditFilters, note, tenant_of
from gateway.api.describe import ALWAYS, OF_RESOURCES, problems
from gateway.api.parts import Admitted, CurrentExchange, Joined
from gateway.api.query import once
from gateway.audit.events import PatientSought
from gateway.audit.export import MEDIA_TYPES, SUFFIXES, Format
from gateway.audit.exporting import Reader
from gateway.errors import InvalidParameter

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from gateway.audit.exporting import Running

log = structlog.get_logger(__name__)
router = APIRouter(tags=["administration"], prefix="/v1/admin/audit")

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_OUTPUT = {
    "description": "The records, the oldest first. NDJSON ends with its proof; that of another format is at `Link`",
    "content": dict.fromkeys(MEDIA_TYPES.values(), _BINARY) | {MEDIA_TYPES["fhir"]: {"schema": {"type": "object"}}},
}
_PROOF = {
    "description": "A signed statement a line, the export's own last",
    "content": {"application/x-ndjson": _BINARY},
}


class ExportQuery(AuditFilters):
    """What to take away, and in which form."""

    format: Format = "ndjson"
    after: int = Field(0, ge=0, le=2**53, description="Only records of a greater number")


class PatientEntered(BaseModel):
    """Whose pseudonym is wanted. It stands in the body, so that it is in no URL; it is on no record and in no log."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    patient_id: str = Field(min_length=1, max_length=64, repr=False, description="Patient ID (0010,0020)")
    issuer: str = Field(
        "", max_length=64, repr=False, description="Issuer of Patient ID (0010,0021), where images name it"
    )
    tenant: str | None = Field(
        None, pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="Another tenant's needs the scope `audit:all`"
    )


class Pseudonym(BaseModel):
    """What stands for the patient in this tenant's records."""

    patient: str
    tenant: str


class PublicKey(BaseModel):
    """Ed25519 (RFC 8032): checks checkpoints and proofs, and makes none."""

    key_id: str
    public_key: str = Field(description="64 hexadecimal digits")


@router.get(
    "/export",
    summary="Export the audit log",
    response_class=Response,
    responses={200: _OUTPUT, **problems(*ALWAYS, InvalidParameter)},
)
async def export(
    request: Request,
    query: Annotated[ExportQuery, Query()],
    joined: Joined,
    admission: Admitted,
    exchange: CurrentExchange,
) -> Response:
    """That it is taken away is on record before the first byte; what went out, with its digest, before the last."""
    once(request.scope)
    principal = admission.principal
    filters = query.filters(principal)
    who = Reader(admission.request_id, principal.key_id, principal.tenant, filters.tenant != principal.tenant)
    running = await joined.exporting.begin(who, query.format, filters, query.after)
    exchange.recorded = True
    return ExportResponse(running, joined.gate.answer_seconds)


@router.get(
    "/export/{request_id}/proof",
    summary="The proof of an export",
    response_class=Response,
    responses={200: _PROOF, **problems(*ALWAYS, *OF_RESOURCES)},
)
async def proof(
    request_id: Annotated[str, Path(min_length=1, max_length=128, description="Its X-Request-ID")],
    joined: Joined,
    admission: Admitted,
    exchange: CurrentExchange,
) -> Response:
    """Made from what is on record of the export, so that it can be had at any time after it."""
    principal = admission.principal
    found = await joined.exporting.proof_of(request_id, None if ALL in principal.scopes else principal.tenant)
    await note(joined, admission, exchange, "proof")
    return Response(found, media_type=MEDIA_TYPES["ndjson"])


@router.get("/public-key", summary="The public key of checkpoints and proofs", responses=problems(*ALWAYS))
async def public_key(joined: Joined) -> PublicKey:
    """For whoever is to verify an export: cordon audit verify FILE --public-key HEX."""
    signer = joined.exporting.signer
    return PublicKey(key_id=signer.key_id, public_key=signer.public.hex())


@router.post("/pseudonym", summary="A patient's pseudonym", responses=problems(*ALWAYS, InvalidParameter))
async def pseudonym(
    entered: PatientEntered, joined: Joined, admission: Admitted, exchange: CurrentExchange
) -> Pseudonym:
    """To search by. That it was asked for is on record, with the pseudonym; the ID is nowhere."""
    principal = admission.principal
    tenant = tenant_of(principal, entered.tenant)
    patient = joined.stand_ins(tenant).patient(entered.patient_id, entered.issuer)
    if patient is None:
        raise InvalidParameter("The patient ID is blank", parameter="patient_id")
    event = PatientSought(admission.request_id, principal.key_id, principal.tenant, patient, tenant)
    await joined.recorder.record(event)
    exchange.recorded = True
    return Pseudonym(patient=patient, tenant=tenant)


class ExportResponse(Response):
    """The answer with an export in it.

    Args:
        running: The export.
        seconds: Longest that the receiver may take to read one piece; then the connection is closed.
    """

    def __init__(self, running: Running, seconds: float) -> None:
        name = f"audit.{SUFFIXES[running.form]}"
        super().__init__(
            media_type=MEDIA_TYPES[running.form],
            headers={
                "Content-Disposition": f'attachment; filename="{name}"',
                "Cache-Control": "no-store",
                "Link": f'</v1/admin/audit/export/{running.who.request_id}/proof>; rel="describedby"',
            },
        )
        del self.headers["Content-Length"]
        self._running = running
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """See ASGI.

        Raises:
            starlette.requests.ClientDisconnect: The receiver left, or did not read on in time.
            AuditUnavailable: The log cannot be read or written; the answer breaks off.
        """
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async for piece in self._running.pieces():
                async with asyncio.timeout(self._seconds):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body"})
        except (TimeoutError, OSError):
            log.info("http.answer-not-read", seconds=self._seconds)
            raise ClientDisconnect from None
        finally:
            await asyncio.shield(self._running.broken_off())
