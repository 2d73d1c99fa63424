"""A request's whole story, told from its records in the audit log. What is not in them is not told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.console.lines import came_from, line
from gateway.console.words import number, plural, title

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
        f"{came_from(record)}. This was on record before anything else was done.",
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
