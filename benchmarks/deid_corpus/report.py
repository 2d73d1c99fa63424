"""De-identification benchmark: the tables. Tag paths, types and counts; never a value."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from benchmarks.deid_corpus.key import REMOVES, ActionType

if TYPE_CHECKING:
    from benchmarks.deid_corpus.score import Failure, Score


GOAL, FASTER = 0.9995, 3


def by_type(scores: dict[str, Score]) -> str:
    """One row an action type, one column a tool; then removed and kept apart, all, leaks and refusals."""
    lines = [_row("action", [*scores], "")]
    for kind in ActionType:
        if any(score.total[kind] for score in scores.values()):
            sign = "-" if kind in REMOVES else "+"
            lines.append(_row(f"{sign} {kind.value}", [_share(score, {kind}) for score in scores.values()]))
    kept = set(ActionType) - REMOVES
    for name, kinds in (("removed (-)", set(REMOVES)), ("kept (+)", kept), ("all", set(ActionType))):
        lines.append(_row(name, [_share(score, kinds) for score in scores.values()]))
    lines.append(_row("elements with an identifier", [str(len(score.leaks)) for score in scores.values()]))
    files = [f"{len({name for name, _ in score.leaks})} of {score.instances}" for score in scores.values()]
    lines.append(_row("files with an identifier", files))
    lines.append(_row("files refused or lost", [str(score.refused.total()) for score in scores.values()]))
    return "\n".join(lines)


def by_set(scores: dict[str, Score]) -> str:
    """One row a set of options: removed and kept apart, all, leaks and refusals."""
    kept = set(ActionType) - REMOVES
    lines = [_row("options", ["removed (-)", "kept (+)", "all", "with an identifier", "refused"], "")]
    for name, score in scores.items():
        shares = [_share(score, kinds) for kinds in (set(REMOVES), kept, set(ActionType))]
        lines.append(_row(name, [*shares, str(len(score.leaks)), str(score.refused.total())]))
    return "\n".join(lines)


def failures(score: Score, limit: int | None = 20) -> str:
    """What was not done, alike ones together, most first; None for all."""
    counts = Counter(_described(failure) for failure in score.failures if failure.found != "refused")
    kinds: dict[str, set[str]] = {}
    for failure in score.failures:
        kinds.setdefault(_described(failure), set()).add(failure.kind)
    lines = [f"{count:6d}  {text}  in {', '.join(sorted(kinds[text]))}" for text, count in counts.most_common(limit)]
    lines += [f"{count:6d}  refused: {reason}" for reason, count in score.refused.most_common(limit)]
    lines += [
        f"{count:6d}  identifier left in {where}"
        for where, count in Counter(w for _, w in score.leaks).most_common(limit)
    ]
    return "\n".join(lines) or "  none"


def goal(scores: dict[str, Score]) -> str:
    """Whether each has what is asked for: ``GOAL`` of the actions, and no identifier left."""
    said = []
    for name, score in scores.items():
        share = sum(score.correct.values()) / max(1, sum(score.total.values()))
        met = share >= GOAL and not score.leaks
        said.append(f"{name} {'met' if met else 'NOT met'}")
    return f"goal: at least {GOAL:.2%} of all actions, 0 elements with an identifier: {', '.join(said)}"


def speeds(milliseconds: dict[str, float]) -> str:
    """Milliseconds a file; how many times ours they are; how many times the floor; and the goals."""
    ours, floor = milliseconds["cordon"], milliseconds["floor"]
    lines = [
        f"{name:18s}{value:8.2f} ms a file {value / ours:7.2f} x cordon {value / floor:7.2f} x floor"
        for name, value in milliseconds.items()
    ]
    lines.append(f"goal: at most 2 times the floor: {'met' if ours <= 2 * floor else 'NOT met'}")
    peers = [value for name, value in milliseconds.items() if name not in {"cordon", "floor", "decoded"}]
    if peers:
        met = min(peers) >= FASTER * ours
        lines.append(f"goal: {FASTER} times faster than the fastest other tool: {'met' if met else 'NOT met'}")
    return "\n".join(lines)


def _described(failure: Failure) -> str:
    return f"{failure.action.type.value:17s} {failure.action.where}  {failure.action.category}: {failure.found}"


def _share(score: Score, kinds: set[ActionType]) -> str:
    correct, total = sum(score.correct[kind] for kind in kinds), sum(score.total[kind] for kind in kinds)
    if not total:
        return "-"
    percent = 100 * correct / total
    # 99.999 % must not read as 100.
    shown = f"{percent:.2f}" if correct == total or percent < 99.99 else "99.99"
    return f"{shown} % {correct}/{total}"


def _row(first: str, cells: list[str], fill: str = "") -> str:
    return f"{first:28s}" + "".join(f"{cell or fill:>25s}" for cell in cells)
