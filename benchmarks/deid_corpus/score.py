"""De-identification benchmark: were the actions done? Checks each; what only the whole corpus can show, at the end."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import isclose
from typing import TYPE_CHECKING

from benchmarks.deid_corpus.build import as_text
from benchmarks.deid_corpus.key import METHODS, ActionType, actions, pixel_actions
from benchmarks.deid_corpus.leaks import leaks
from benchmarks.deid_corpus.paths import find
from benchmarks.deid_corpus.visible import hidden, retained

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement

    from benchmarks.deid_corpus.codes import OptionSet
    from benchmarks.deid_corpus.corpus import Instance
    from benchmarks.deid_corpus.key import Action
    from benchmarks.deid_corpus.output import Output

_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")


@dataclass(frozen=True, slots=True)
class Failure:
    """One action that was not done.

    Attributes:
        instance: Name of the instance.
        kind: Its kind.
        action: What was asked.
        found: What was found instead, in a word; no value.
    """

    instance: str
    kind: str
    action: Action
    found: str


@dataclass(slots=True)
class Score:
    """The sum of it.

    Attributes:
        correct: Actions done, by type.
        total: Actions asked for, by type.
        failures: Those not done, in the order of the corpus.
        refused: Reasons of the outputs that were not given, to how many.
        leaks: Instances and places in which an identifier is still found: (instance name, path).
        instances: Instances scored.
    """

    correct: Counter[ActionType] = field(default_factory=Counter)
    total: Counter[ActionType] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    leaks: list[tuple[str, str]] = field(default_factory=list)
    instances: int = 0


class Scorer:
    """Takes instances and outputs one by one, and gives the score at the end.

    Args:
        options: What the key expects.
        header: Check the header; False: the pixels alone.

    """

    def __init__(self, options: OptionSet, *, header: bool = True) -> None:
        self.options = options
        self._header = header
        self.score = Score()
        self._uids: dict[str, Counter[str]] = defaultdict(Counter)
        self._patients: dict[str, Counter[str]] = defaultdict(Counter)
        self._shifts: dict[int, Counter[int]] = defaultdict(Counter)
        self._days: dict[tuple[int, str], set[str]] = defaultdict(set)
        self._later: list[tuple[Instance, Action, str | int]] = []

    def add(self, instance: Instance, output: Output) -> None:
        """Check one instance. A refused one fails every action, as a missing file does in MIDI-B."""
        self.score.instances += 1
        asked = list(actions(instance, self.options)) if self._header else []
        if output.after is not None or (output.dataset is None and output.before is not None):
            asked += pixel_actions(instance)
        if output.dataset is None:
            self.score.refused[output.refusal] += 1
            for action in asked:
                self._settle(instance, action, "refused")
            return
        self.score.leaks += [
            (instance.name, where) for where in leaks(output.dataset, instance.forbidden(self.options))
        ]
        for action in asked:
            verdict = self._check(instance, action, output)
            if verdict is not None:
                self._settle(instance, action, verdict)

    def finish(self) -> Score:
        """Settle consistency and the shift of dates, and give the score. Call it once."""
        uids, patients = _one_to_one(self._uids), _one_to_one(self._patients)
        shifts = {number: counts.most_common(1)[0][0] for number, counts in self._shifts.items()}
        for instance, action, found in self._later:
            if action.type is ActionType.DATE_SHIFTED:
                # A dummy in the place of all dates agrees with itself most often, and is no shift.
                day = datetime.strptime(action.original[:8], "%Y%m%d") + timedelta(days=int(found))  # noqa: DTZ007 - a day
                alone = len(self._days[instance.patient.number, f"{day:%Y%m%d}"]) == 1
                same = alone and found == shifts[instance.patient.number]
                self._settle(instance, action, "" if same else "shifted unlike the patient's other dates")
            else:
                table = uids if action.type is ActionType.UID_CONSISTENT else patients
                same = table.get(action.original) == found
                self._settle(instance, action, "" if same else "not one to one")
        self._later.clear()
        return self.score

    def _settle(self, instance: Instance, action: Action, found: str) -> None:
        self.score.total[action.type] += 1
        if found:
            self.score.failures.append(Failure(instance.name, instance.kind, action, found))
        else:
            self.score.correct[action.type] += 1

    def _check(self, instance: Instance, action: Action, output: Output) -> str | None:
        """What is wrong; empty if nothing is; None if only the whole corpus can tell."""
        if not action.path:
            return _pixels(instance, action, output)
        assert output.dataset is not None
        element = find(output.dataset, action.path)
        text = "" if element is None else _codes(element) if action.path == METHODS else _text(element)
        match action.type:
            case ActionType.TAG_RETAINED:
                return "" if element is not None else "absent"
            case ActionType.TEXT_NOTNULL:
                return "" if text else "absent" if element is None else "empty"
            case ActionType.TEXT_RETAINED:
                return _kept(action, text)
            case ActionType.TEXT_REMOVED if action.absent:
                private = find(output.dataset, action.path[:1])
                return "" if private is None or private.is_empty else "still there"
            case ActionType.TEXT_REMOVED:
                return "still there" if any(contains(text, gone) for gone in action.expected) else ""
            case ActionType.DATE_SHIFTED:
                return self._date(instance, action, text)
            case ActionType.UID_CHANGED:
                if not text:
                    return "" if action.optional else "absent"
                if text == action.original:
                    return "unchanged"
                return "" if len(text) <= 64 and _UID.fullmatch(text) else "not a UID"
            case _:
                return self._consistent(instance, action, text)

    def _consistent(self, instance: Instance, action: Action, text: str) -> str | None:
        if not text:
            return "" if action.optional else "absent"
        if text == action.original:
            return "unchanged"
        table = self._uids if action.type is ActionType.UID_CONSISTENT else self._patients
        table[action.original][text] += 1
        self._later.append((instance, action, text))
        return None

    def _date(self, instance: Instance, action: Action, text: str) -> str | None:
        if action.expected == ("gone",):
            return "still there" if action.original[:8] in text else ""
        if not text:
            return "" if action.optional else "absent"
        try:
            days = (datetime.strptime(text[:8], "%Y%m%d") - datetime.strptime(action.original[:8], "%Y%m%d")).days  # noqa: DTZ007 - a day
        except ValueError:
            return "not a date"
        if not days:
            return "unchanged"
        self._shifts[instance.patient.number][days] += 1
        self._days[instance.patient.number, text[:8]].add(action.original[:8])
        self._later.append((instance, action, days))
        return None


def _text(element: DataElement) -> str:
    return "" if element.VR == "SQ" or element.value is None else as_text(element.value).strip()


def _codes(sequence: DataElement) -> str:
    return "\\".join(sorted(str(item.CodeValue) for item in sequence.value))


def contains(text: str, part: str) -> bool:
    """A string stands in a text as words of its own, in any case. ``17`` is not in ``1789``."""
    pattern = rf"(?<!\w){re.escape(part.casefold())}(?!\w)"
    return bool(text) and re.search(pattern, text.casefold()) is not None


def _kept(action: Action, text: str) -> str:
    if action.whole:
        (expected,) = action.expected
        return "" if text == expected or same_numbers(text, expected) else "changed" if text else "absent or empty"
    return "" if all(contains(text, word) for word in action.expected) else "words lost" if text else "absent or empty"


def same_numbers(one: str, other: str) -> bool:
    """The same but for the way they are written, or for the precision of 32 bits."""
    try:
        pairs = [(float(a), float(b)) for a, b in zip(one.split("\\"), other.split("\\"), strict=True)]
    except ValueError:
        return False
    return all(isclose(a, b, rel_tol=1e-6) for a, b in pairs)


def _one_to_one(seen: dict[str, Counter[str]]) -> dict[str, str]:
    """What an original became most often, unless another original became the same more often."""
    best = {original: counts.most_common(1)[0][0] for original, counts in seen.items()}
    shared = Counter(best.values())
    return {original: value for original, value in best.items() if shared[value] == 1}


def _pixels(instance: Instance, action: Action, output: Output) -> str:
    if not output.before or not output.after or len(output.before) != len(output.after):
        return "no frames"
    if action.type is ActionType.PIXELS_HIDDEN:
        line = instance.lines[action.line]
        return "" if hidden(line, output.after[line.frame]) else "readable"
    return "" if retained(instance.lines, output.before, output.after) else "changed outside of text"
