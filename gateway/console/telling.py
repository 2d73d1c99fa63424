"""What a record of the audit log says, in words: one line for the list, and a request's whole story.

Everything told is in the records. A type that has no sentence here is told by the first line of its class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.audit.events import EVENT_TYPES
from gateway.console.words import number, plural, short, title

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

KINDS = {
    "unauthenticated": "no good credential",
    "forbidden": "not allowed",
    "quota": "over the limit",
}
STEPS = {
    "admit": "Admission",
    "ingest": "Reading the file",
    "deid": "De-identification",
    "deidentify": "De-identification",
    "preprocess": "Preparing the tensor",
    "infer": "The model",
    "respond": "The answer",
    "record": "The record",
    "total": "Altogether",
}
ACTIONS = {
    "removed": "removed",
    "emptied": "emptied",
    "replaced": "replaced",
    "private": "private ones removed",
    "uid": "UIDs replaced",
    "overlay": "overlays removed",
    "metadata": "pieces of metadata removed",
}


@dataclass(frozen=True, slots=True)
class Chapter:
    """One part of a request's story.

    Attributes:
        title: What it is about.
        text: Sentences.
        tone: ``good``, ``warn``, ``bad`` or ``idle``.
        time: When it was recorded; empty where it is part of the record above.
        facts: Label to value, as they are in the record.
        bars: Label to milliseconds.
    """

    title: str
    text: str
    tone: str = "idle"
    time: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    bars: tuple[tuple[str, int], ...] = ()


def line(record: Mapping[str, Any]) -> str:
    """One record in one line."""
    tell = _LINES.get(record.get("type", ""))
    if tell is not None:
        return tell(record)
    kind = EVENT_TYPES.get(record.get("type", ""))
    return (kind.__doc__ or "").strip().splitlines()[0].rstrip(".") if kind else title(str(record.get("type", "")))


def story(records: Iterable[Mapping[str, Any]]) -> tuple[Chapter, ...]:
    """The records of one request, the oldest first, as chapters."""
    chapters: list[Chapter] = []
    for record in records:
        match record.get("type"):
            case "request.started":
                chapters.append(_admitted(record))
            case "request.finished":
                chapters += _finished(record)
            case "access.denied":
                chapters.append(Chapter("Refused at the door", f"{line(record)}.", "warn", record["time"]))
            case _:
                tone = {"success": "good", "refused": "warn", "failed": "bad"}.get(record.get("outcome", ""), "idle")
                name = title(str(record.get("type", "")))
                chapters.append(Chapter(name, f"{line(record)}.", tone, record.get("time", "")))
    return tuple(chapters)


def _admitted(record: Mapping[str, Any]) -> Chapter:
    return Chapter(
        "Admitted",
        f"The key {record['actor']} of the tenant {record['tenant']} was let in for {record['route']}"
        f"{_from(record)}. This was on record before anything else was done.",
        "good",
        record["time"],
    )


def _finished(record: Mapping[str, Any]) -> list[Chapter]:
    chapters = []
    if record.get("input_digest"):
        chapters.append(
            Chapter(
                "Read",
                f"The upload was a valid {record.get('media_type') or 'image'}. It was held in memory alone.",
                "good",
                facts=_facts(record, (("SHA-256 of the upload", "input_digest"), ("Patient's pseudonym", "patient"))),
            )
        )
    if record.get("deidentification"):
        chapters.append(_deidentified(record))
    if record.get("model"):
        chapters.append(_classified(record))
    chapters.append(_answered(record))
    return chapters


def _deidentified(record: Mapping[str, Any]) -> Chapter:
    report = record["deidentification"]
    actions = report.get("actions") or {}
    done = [f"{number(int(count))} {ACTIONS.get(name, name)}" for name, count in actions.items()]
    sentences = [
        f"The policy {report.get('policy', '?')} was applied: {', '.join(done) or 'nothing had to be changed'}."
    ]
    looked = report.get("frames_looked_at")
    masked = int(report.get("regions_masked") or 0)
    if looked:
        found = f"{plural(masked, 'region')} masked" if masked else "nothing to mask"
        sentences.append(f"{plural(int(looked), 'frame')} looked at for burned-in text: {found}.")
    groups = report.get("groups") or {}
    facts = [("SHA-256 of the policy", str(report.get("policy_digest", "")))]
    if methods := report.get("methods"):
        facts.append(("Methods (PS3.16 CID 7050)", ", ".join(map(str, methods))))
    if groups:
        facts.append(("Elements by group", ", ".join(f"{group}: {count}" for group, count in groups.items())))
    return Chapter("De-identified", " ".join(sentences), "good", facts=tuple(fact for fact in facts if fact[1]))


def _classified(record: Mapping[str, Any]) -> Chapter:
    said = f" It said: {record['prediction']}." if record.get("prediction") else " It gave no answer."
    return Chapter(
        "Asked the model",
        f"The sanitized pixels went to {record['model']}, version {record.get('model_version') or '?'}.{said}",
        "good" if record.get("prediction") else "warn",
        facts=_facts(record, (("SHA-256 of the tensor", "tensor_digest"), ("SHA-256 of the model", "model_digest"))),
    )


def _answered(record: Mapping[str, Any]) -> Chapter:
    status, outcome = record.get("status"), record.get("outcome")
    replay = record.get("replay_of")
    text = {
        "success": f"The answer was {status}.",
        "refused": f"The request was refused with {status}, problem {record.get('problem') or 'unnamed'}.",
        "failed": f"The request failed with {status}, problem {record.get('problem') or 'unnamed'}.",
    }.get(str(outcome), f"It ended with {status}.")
    if replay:
        text += f" It was the answer of the request {replay}, given again."
    took = record.get("milliseconds") or {}
    steps = [step for step in STEPS if step in took] + [step for step in took if step not in STEPS]
    bars = tuple((STEPS.get(step, title(step)), int(took[step])) for step in steps)
    tone = {"success": "good", "refused": "warn"}.get(str(outcome), "bad")
    facts = _facts(record, (("SHA-256 of the object given back", "output_digest"),))
    return Chapter("Answered", text, tone, record.get("time", ""), facts, bars)


def _facts(record: Mapping[str, Any], wanted: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((label, str(record[name])) for label, name in wanted if record.get(name))


def _from(record: Mapping[str, Any]) -> str:
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
    return f"{plural(int(record['count']), 'request')} refused{where}{_from(record)}: {what} ({record['reason']})"


def _line_switch(record: Mapping[str, Any]) -> str:
    what = "Everything" if record["kind"] == "all" else f"{title(record['kind'])} {record['name']}"
    return f"{what} switched {'off' if record['off'] else 'on'}" + (f": {record['reason']}" if record["reason"] else "")


def _line_issued(record: Mapping[str, Any]) -> str:
    return f"Issued {record['key']} on the plan {record['plan']} with {', '.join(record['scopes'])}"


def _line_read(record: Mapping[str, Any]) -> str:
    filters = f" by {', '.join(record['filters'])}" if record.get("filters") else ""
    return {"list": "Read the audit log", "export": "Exported the audit log", "verify": "Verified the audit log"}.get(
        record["action"], f"Audit log: {record['action']}"
    ) + filters


_LINES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "request.started": lambda record: f"Admitted {record['route']}{_from(record)}",
    "request.finished": _line_finished,
    "access.denied": _line_denied,
    "key.issued": _line_issued,
    "key.rotated": lambda record: (
        f"Gave {record['key']} a new secret; the old one "
        + (f"works for {plural(record['overlap_seconds'], 'second')} more" if record["overlap_seconds"] else "ended")
    ),
    "key.revoked": lambda record: f"Revoked {record['key']}",
    "switch.changed": _line_switch,
    "gateway.started": lambda record: f"Gateway {record['version']} started, process {record['process']}",
    "gateway.stopped": lambda record: f"Gateway {record['version']} stopped, process {record['process']}",
    "audit.read": _line_read,
    "token.revoked": lambda record: f"Revoked the token {short(record['token'])} of {record['issuer']}",
    "session.started": lambda record: f"Signed in to the console{_from(record)}",
    "session.ended": lambda record: f"Signed out of the console ({record['reason']})",
}
