"""What of the audit log is taken away, with its proof, and a patient's pseudonym to search by."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from gateway.api import admin_audit_export
from gateway.api.admin_audit_export import ExportQuery, PatientEntered
from gateway.api.parts import Admitted, CurrentExchange, Joined
from gateway.api.query import once
from gateway.console.audit import FILTERS, PATH, RequestId, sought
from gateway.console.forms import fitting, read_form
from gateway.console.pages import session_of

router = APIRouter(include_in_schema=False, prefix=PATH)


@router.get("/export")
async def export(request: Request, joined: Joined, admission: Admitted, exchange: CurrentExchange) -> Response:
    """The records that match, as a file."""
    once(request.scope)
    given = {name: request.query_params.get(name, "").strip() for name in (*FILTERS, "format")}
    query = fitting(ExportQuery, **sought(given))
    response = await admin_audit_export.export(request, query, joined, admission, exchange)
    response.headers["Link"] = f'<{PATH}/export/{admission.request_id}/proof>; rel="describedby"'
    return response


@router.get("/export/{request_id}/proof")
async def proof(request_id: RequestId, joined: Joined, admission: Admitted, exchange: CurrentExchange) -> Response:
    """The proof of an export, as a file."""
    response = await admin_audit_export.proof(request_id, joined, admission, exchange)
    response.headers["Content-Disposition"] = 'attachment; filename="audit-proof.ndjson"'
    return response


@router.post("/patient")
async def patient(request: Request, joined: Joined, admission: Admitted, exchange: CurrentExchange) -> Response:
    """Search by a patient. The ID that is entered is in this form's body and nowhere else; its pseudonym goes on."""
    form = await read_form(request, session_of(request))
    entered = fitting(PatientEntered, patient_id=form.text("patient_id"), issuer=form.text("issuer"))
    found = await admin_audit_export.pseudonym(entered, joined, admission, exchange)
    return RedirectResponse(f"{PATH}?{urlencode({'patient': found.patient})}", 303)
