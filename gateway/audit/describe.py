"""Step 7 of 7: the list of events in words, made from the types themselves: ``docs/audit/events.md``."""

from __future__ import annotations

import inspect
import re
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING

from gateway.audit.event import AuditEvent
from gateway.audit.events import SCHEMA
from gateway.audit.mappings import event_codes

if TYPE_CHECKING:
    from collections.abc import Iterable

_HEAD = f"""# What is recorded

Made from the types by `make docs`; schema {SCHEMA}. Every record has also `seq`, `time` (UTC, by the server's clock),
`type`, `schema`, `chain_key` (ID of the chain's key) and `prev` (SHA-256 of the record before it), and the members that
all events share:

"""


def events_markdown(kinds: Iterable[type[AuditEvent]]) -> str:
    """The list as Markdown."""
    parts = [_HEAD, _table(AuditEvent), "\n"]
    for kind in kinds:
        said = _inline((inspect.getdoc(kind) or "").partition("\n\nAttributes:\n")[0])
        code = event_codes().get(kind.type_name)
        codes = f" In DICOM and FHIR: {code.meaning} ({code.code})." if code and code.of_dicom else ""
        parts.append(f"## `{kind.type_name}`\n\n{said}{codes}\n\n{_table(kind)}\n")
    return "".join(parts).rstrip() + "\n"


def _table(kind: type[AuditEvent]) -> str:
    described = _described(kind)
    shared = {each.name for each in fields(AuditEvent)} if kind is not AuditEvent else set()
    lines = []
    for each in fields(kind):
        if each.name in shared and each.name not in described:
            continue
        values = str(each.type).replace("|", "\\|")
        needed = each.default is MISSING and each.default_factory is MISSING
        optional = "" if needed else ", optional"
        lines.append(f"| `{each.name}` | `{values}`{optional} | {described.get(each.name, '')} |")
    return "| member | type | what |\n|---|---|---|\n" + "\n".join(lines) + "\n" if lines else ""


def _described(kind: type[AuditEvent]) -> dict[str, str]:
    """What the type says of its members, or its parents do; the root's words stand once, on top."""
    described: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if base is object or (base is AuditEvent and kind is not AuditEvent):
            continue
        _, _, attributes = inspect.cleandoc(base.__doc__ or "").partition("\n\nAttributes:\n")
        for name, what in re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", attributes, re.MULTILINE):
            described[name] = _inline(what)
    return described


def _inline(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("``", "`").strip()
