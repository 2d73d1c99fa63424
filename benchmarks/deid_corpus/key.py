"""De-identification benchmark: the answer key. What has to become of every element, in the ten action types of MIDI-B.

The types are those of the Medical Image De-Identification Benchmark (arXiv 2507.23608). What they ask for follows
PS3.15 Annex E; see codes.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from benchmarks.deid_corpus.codes import CONTRADICTION, attribute_rows, judged
from benchmarks.deid_corpus.paths import Path, Step, show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.deid_corpus.build import Fact
    from benchmarks.deid_corpus.codes import OptionSet
    from benchmarks.deid_corpus.corpus import Instance


class ActionType(StrEnum):
    """MIDI-B's ten."""

    TAG_RETAINED = "tag_retained"
    TEXT_NOTNULL = "text_notnull"
    TEXT_RETAINED = "text_retained"
    TEXT_REMOVED = "text_removed"
    DATE_SHIFTED = "date_shifted"
    UID_CHANGED = "uid_changed"
    UID_CONSISTENT = "uid_consistent"
    PATID_CONSISTENT = "patid_consistent"
    PIXELS_HIDDEN = "pixels_hidden"
    PIXELS_RETAINED = "pixels_retained"


REMOVES = {ActionType.TEXT_REMOVED, ActionType.DATE_SHIFTED, ActionType.UID_CHANGED, ActionType.PIXELS_HIDDEN}
"""The others keep."""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that must be so afterwards.

    Attributes:
        type: Which of the ten.
        path: Of the element; empty for pixels.
        category: What it is about: name, id, date, uid, text, technical, ...
        original: The value before.
        expected: text_retained: words that must be there, or the whole value if ``whole``. text_removed: strings that
            must not be there. date_shifted: ``shifted`` or ``gone``.
        whole: text_retained: the value must be unchanged.
        optional: uid_changed, date_shifted: the element may be gone. (text_removed: it always may.)
        absent: text_removed: the private element at the root of the path must be gone or empty, whatever it held.
        line: pixels_hidden: which of the instance's lines.
    """

    type: ActionType
    path: Path
    category: str
    original: str = ""
    expected: tuple[str, ...] = ()
    whole: bool = False
    optional: bool = False
    absent: bool = False
    line: int = 0

    @property
    def removes(self) -> bool:
        """Counted with what must go, not with what must stay."""
        return self.type in REMOVES

    @property
    def where(self) -> str:
        """The path as text; holds no value."""
        return show(self.path) if self.path else "pixels"


PATIENT_ID = (Step(0x00100020),)
IDENTITY_REMOVED, TEMPORAL, METHODS = (Step(0x00120062),), (Step(0x00280303),), (Step(0x00120064),)
_CATEGORIES = {"uid": "uid", "date": "date", "dt": "date", "time": "time", "person": "name", "patient": "patient",
               "place": "place", "id": "id", "text": "text", "bytes": "bytes"}  # fmt: skip

_DEVICES = {"station", "ae", "machine"}
_SPOKEN = {"text", "person", "patient", "place", "id", "date", "time", "dt", "bytes"}


def actions(instance: Instance, options: OptionSet) -> Iterator[Action]:
    """Every action that an instance asks for. The pixels' are apart: ``pixel_actions``."""
    for fact in instance.facts:
        yield from _of_fact(fact, options)
    kind = ActionType.TEXT_RETAINED
    # What a conformant output says of itself: PS3.15 E.1.1 and E.3.6.
    yield Action(kind, IDENTITY_REMOVED, "stamp", "", ("YES",), whole=True)
    yield Action(kind, METHODS, "stamp", "", ("\\".join(options.methods),), whole=True)
    yield Action(kind, TEMPORAL, "stamp", "", (options.temporal,), whole=True)


def pixel_actions(instance: Instance) -> Iterator[Action]:
    """Every burned-in line must be unreadable; what is not text must be as it was."""
    for number, _ in enumerate(instance.lines):
        yield Action(ActionType.PIXELS_HIDDEN, (), "pixels", line=number)
    if instance.has_image:
        yield Action(ActionType.PIXELS_RETAINED, (), "pixels")


def _of_fact(fact: Fact, options: OptionSet) -> Iterator[Action]:
    family = fact.maker.partition(":")[0]
    row = attribute_rows().get(fact.keyword)
    category = row["category"] if row else _CATEGORIES.get(family, "technical")
    if family == "free" or not fact.text:
        return
    if fact.private:
        category = "private"
        kept = fact.safe and "private" in options.options
        if not kept:
            yield Action(ActionType.TEXT_REMOVED, fact.path, category, fact.text, (fact.text,), absent=True)
            return
        # A text on the list of safe attributes is kept, but not with a name in it.
        asked, loose = CONTRADICTION if fact.phi else "K", False
    else:
        asked, loose = judged(fact, options)
    if asked == "K" and fact.vr == "AS" and int(fact.text[:3]) > options.age_cap:
        # Safe Harbor lets ages above 89 be stated as one class only, 90 or older (45 CFR 164.514(b)(2)(i)(C)).
        capped = f"{options.age_cap + 1:03d}Y"
        yield Action(ActionType.TEXT_RETAINED, fact.path, category, fact.text, (capped,), whole=True)
        return
    yield from _of_code(asked, loose, category, fact, _identifying(fact, options))
    if fact.path == PATIENT_ID and options.linked:
        yield Action(ActionType.PATID_CONSISTENT, fact.path, category, fact.text)


def _of_code(asked: str, loose: bool, category: str, fact: Fact, phi: tuple[str, ...]) -> Iterator[Action]:
    dated = fact.vr in ("DA", "DT")
    spoken = fact.maker.partition(":")[0] in _SPOKEN
    if asked == CONTRADICTION or (not asked and spoken):
        # Not in the standard's table, or options contradict: what identifies must go; the rest may.
        yield from _planted(fact, category, phi)
        if fact.type == "1" and not loose and not asked:
            yield Action(ActionType.TEXT_NOTNULL, fact.path, category, fact.text)
    elif asked in ("", "K"):
        if not loose:
            yield Action(ActionType.TAG_RETAINED, fact.path, category, fact.text)
            yield Action(ActionType.TEXT_RETAINED, fact.path, category, fact.text, (fact.text,), whole=True)
    elif asked == "U" or fact.vr == "UI":
        yield Action(ActionType.UID_CHANGED, fact.path, category, fact.text, optional=loose or asked != "U")
        yield Action(ActionType.UID_CONSISTENT, fact.path, category, fact.text, optional=loose or asked != "U")
    elif asked == "C":
        yield from _cleaned(fact, category, loose, phi)
    else:
        # One of X, Z, D, or a choice by the attribute's type. A filled value is asked for only where D is possible.
        filled, present = "D" in asked, "Z" in asked or "D" in asked
        if dated:
            yield Action(ActionType.DATE_SHIFTED, fact.path, category, fact.text, ("gone",), optional=True)
        else:
            yield Action(ActionType.TEXT_REMOVED, fact.path, category, fact.text, (fact.text,))
        if not loose and fact.type == "1" and filled:
            yield Action(ActionType.TEXT_NOTNULL, fact.path, category, fact.text)
        elif not loose and fact.type in "12" and present:
            yield Action(ActionType.TAG_RETAINED, fact.path, category, fact.text)


def _identifying(fact: Fact, options: OptionSet) -> tuple[str, ...]:
    """What of the planted strings identifies: not a place or a device whose identity an option retains."""
    family, _, role = fact.maker.partition(":")
    kept_by = "device" if role in _DEVICES else "institution"
    return () if family == "place" and kept_by in options.options else fact.phi


def _planted(fact: Fact, category: str, phi: tuple[str, ...]) -> Iterator[Action]:
    for text in phi:
        yield Action(ActionType.TEXT_REMOVED, fact.path, category, fact.text, (text,))


def _cleaned(fact: Fact, category: str, loose: bool, phi: tuple[str, ...]) -> Iterator[Action]:
    if fact.vr in ("DA", "DT"):
        yield Action(ActionType.DATE_SHIFTED, fact.path, category, fact.text, ("shifted",), optional=loose)
    elif fact.vr == "TM":
        if not loose:
            yield Action(ActionType.TEXT_NOTNULL, fact.path, category, fact.text)
    else:
        yield from _planted(fact, category, phi)
        # A comment on an overlay may go with its overlay, which Clean Graphics may take away (PS3.15 E.3.3).
        if fact.keep and not loose and not fact.keyword.startswith("60xx"):
            yield Action(ActionType.TEXT_RETAINED, fact.path, category, fact.text, fact.keep)
