"""The batch tool: what a run did, summed up and as JSON. Marks, counts and codes; neither a path nor a value."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.batch.journal import Terms
    from gateway.batch.outcome import Outcome, Status


@dataclass(slots=True)
class Totals:
    """Counts over the outcomes so far.

    Attributes:
        statuses: Inputs by what became of them.
        problems: Failed inputs by their reason's word.
        skipped: Skipped inputs by theirs.
        actions: Elements by action, over all outputs, those of earlier runs included.
        groups: Elements lost or changed by tag group, likewise.
        text_found: Identifiers taken out of free text by kind, likewise.
        frames_looked_at: Distinct frames that the text detector saw, likewise.
        regions_masked: Text regions masked in them, likewise.
        bytes_in: Of what was done now and before.
        bytes_out: Of the outputs.
    """

    statuses: Counter[Status] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    actions: Counter[str] = field(default_factory=Counter)
    groups: Counter[str] = field(default_factory=Counter)
    text_found: Counter[str] = field(default_factory=Counter)
    frames_looked_at: int = 0
    regions_masked: int = 0
    bytes_in: int = 0
    bytes_out: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count one outcome."""
        self.statuses[outcome.status] += 1
        if outcome.status == "failed":
            self.problems[outcome.problem] += 1
        elif outcome.status == "skipped":
            self.skipped[outcome.problem] += 1
        elif outcome.entry is not None and not outcome.entry.again:
            self.add_report(outcome.entry.report, outcome.size, outcome.entry.size)

    def add_report(self, report: dict[str, Any], bytes_in: int, bytes_out: int) -> None:
        """Count what was done to one input."""
        self.actions.update(report["actions"])
        self.groups.update(report["groups"])
        self.text_found.update(report["text_found"])
        self.frames_looked_at += report["frames_looked_at"]
        self.regions_masked += report["regions_masked"]
        self.bytes_in += bytes_in
        self.bytes_out += bytes_out

    @property
    def failed(self) -> int:
        """Inputs that were not de-identified and should have been."""
        return self.statuses["failed"]

    def as_json(self) -> dict[str, Any]:
        """JSON types only."""
        return {
            "inputs": {name: self.statuses[name] for name in ("done", "before", "again", "skipped", "failed")},
            "failed_by_reason": _sorted(self.problems),
            "skipped_by_reason": _sorted(self.skipped),
            "actions": _sorted(self.actions),
            "groups": _sorted(self.groups),
            "text_found": _sorted(self.text_found),
            "frames_looked_at": self.frames_looked_at,
            "regions_masked": self.regions_masked,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
        }


def file_line(outcome: Outcome) -> dict[str, Any]:
    """One input's line of the report."""
    line: dict[str, Any] = {"id": outcome.mark, "outcome": outcome.status}
    if outcome.problem:
        line |= {"problem": outcome.problem, "reason": outcome.reason}
    if outcome.entry is not None:
        line |= {"output": outcome.entry.name, "bytes": outcome.entry.size, "sha256": outcome.entry.sha256}
        line |= {"deidentification": outcome.entry.report}
    return line


def document(
    terms: Terms, totals: Totals, files: list[dict[str, Any]], *, seconds: float, whole: bool
) -> dict[str, Any]:
    """The JSON report.

    Args:
        terms: Policy, key and tenant of the run.
        totals: Its counts.
        files: Its inputs' lines.
        seconds: How long this run took.
        whole: False: it was interrupted.
    """
    return {
        "tool": f"cordon {version('cordon')}",
        "policy": terms.policy,
        "policy_digest": terms.policy_digest,
        "key": terms.key,
        "tenant": terms.tenant,
        "whole": whole,
        "seconds": round(seconds, 3),
        "files_per_second": round(totals.statuses["done"] / seconds, 3) if seconds else 0.0,
        **totals.as_json(),
        "files": sorted(files, key=lambda line: str(line["id"])),
    }


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))
