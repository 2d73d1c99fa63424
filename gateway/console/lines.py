"""What a record of the audit log says, in one line. A type without one here is told by the first line of its class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.audit.events import EVENT_TYPES
from gateway.console.words import number, plural, short, span, title

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KINDS = {
    "unauthenticated": "no good credential",
    "forbidden": "not allowed",
    "quota": "over the limit",
    "overload": "too many waiting",
}


def line(record: Mapping[str, Any]) -> str:
    """One record in one line."""
    tell = _LINES.get(record.get("type", ""))
    if tell is not None:
        return tell(record)
    kind = EVENT_TYPES.get(record.get("type", ""))
    return (kind.__doc__ or "").strip().splitlines()[0].rstrip(".") if kind else title(str(record.get("type", "")))


def came_from(record: Mapping[str, Any]) -> str:
    """`` from ADDRESS``, if it is on record."""
    return f" from {record['address']}" if record.get("address") else ""


def _line_finished(record: Mapping[str, Any]) -> str:
    if record["route"].startswith("GET /console") and record.get("outcome") == "success":
        return f"Looked at {record['route'].removeprefix('GET ')}"
    said = f": {record['prediction']}" if record.get("prediction") else ""
    problem = f" ({record['problem']})" if record.get("problem") else ""
    return f"{record['route']} answered {record['status']}{problem}{said}"


def _line_denied(record: Mapping[str, Any]) -> str:
    what = KINDS.get(record["kind"], record["kind"])
    where = f" at {record['route']}" if record.get("route") else ""
    return f"{plural(int(record['count']), 'request')} refused{where}{came_from(record)}: {what} ({record['reason']})"


def _line_switch(record: Mapping[str, Any]) -> str:
    what = "Everything" if record["kind"] == "all" else f"{title(record['kind'])} {record['name']}"
    return f"{what} switched {'off' if record['off'] else 'on'}" + (f": {record['reason']}" if record["reason"] else "")


def _line_issued(record: Mapping[str, Any]) -> str:
    return f"Issued {record['key']} on the plan {record['plan']} with {', '.join(record['scopes'])}"


def _line_read(record: Mapping[str, Any]) -> str:
    did = {
        "list": "Read the audit log",
        "export": "Began to export the audit log",
        "verify": "Verified the audit log",
        "proof": "Fetched the proof of an export",
    }.get(record["action"], f"Audit log: {record['action']}")
    return did + _filters(record)


def _line_exported(record: Mapping[str, Any]) -> str:
    records = plural(int(record["records"]), "record")
    return f"Took away {records} of the audit log as {record['format']}{_filters(record)}"


def _filters(record: Mapping[str, Any]) -> str:
    tenants = " of all tenants" if record.get("all_tenants") else ""
    return tenants + (f" by {', '.join(record['filters'])}" if record.get("filters") else "")


def _line_rotated(record: Mapping[str, Any]) -> str:
    overlap = record["overlap_seconds"]
    old = f"works for {span(overlap)} more" if overlap else "has ended"
    return f"Gave {record['key']} a new secret; the old one {old}"


_LINES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "request.started": lambda record: f"Admitted {record['route']}{came_from(record)}",
    "request.finished": _line_finished,
    "access.denied": _line_denied,
    "key.issued": _line_issued,
    "key.rotated": _line_rotated,
    "key.revoked": lambda record: f"Revoked {record['key']}",
    "key.updated": lambda record: f"Changed {', '.join(record['changed'])} of {record['key']}",
    "key.requested": lambda record: f"Asked to {record['kind']} {record['key']}, which another must approve",
    "key.request-decided": lambda record: (
        f"Request {record['request']} to {record['kind']} {record['key']}: {record['decision']}"
    ),
    "key.break-glass": lambda record: f"Issued {record['key']} for an emergency: {record['reason']}",
    "key.break-glass-used": lambda record: f"Used an emergency key for {record['route']}{came_from(record)}",
    "client.registered": lambda record: f"Registered the client {record['client']}",
    "client.changed": lambda record: f"Client {record['client']}: {record['action']}",
    "token.issued": lambda record: f"Was given a token for {span(record['seconds'])}{came_from(record)}",
    "switch.changed": _line_switch,
    "model.changed": lambda record: f"Model {record['model']}: {record['action']} of version {record['version']}",
    "gateway.started": lambda record: f"Gateway {record['version']} started, process {record['process']}",
    "gateway.stopped": lambda record: f"Gateway {record['version']} stopped, process {record['process']}",
    "policy.loaded": lambda record: (
        f"Process {record['process']} works by {plural(len(record['digests']), 'policy', 'policies')}"
    ),
    "policy.changed": lambda record: f"The policy {record['policy']} is another than before",
    "failure.changed": lambda record: (
        f"The {record['part']} works in the mode {record['mode']}, before {record['previous']}"
    ),
    "audit.read": _line_read,
    "audit.exported": _line_exported,
    "audit.patient": lambda record: f"Had the pseudonym {record['patient']} computed",
    "audit.truncated": lambda record: (
        f"Gave up records up to #{number(int(record['through']))}, older than their retention"
    ),
    "token.revoked": lambda record: f"Revoked the token {short(record['token'])} of {record['issuer']}",
    "session.started": lambda record: f"Signed in to the console{came_from(record)}",
    "session.ended": lambda record: f"Signed out of the console ({record['reason']})",
}
