"""Step 3 of 7: what can be done to a date, a time and an age. Each rule says in a sentence what it does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from gateway.deid import dates
from gateway.deid.replace import with_ascii
from gateway.deid.rules import Rule
from gateway.deid.values import texts

if TYPE_CHECKING:
    from gateway.deid.instance import Instance
    from gateway.deid.values import Element


@dataclass(frozen=True, slots=True)
class KeepDate(Rule):
    """K for dates and times: kept if they are ones."""

    otherwise: Rule
    action: str = "kept"
    code: str = "K"

    @override
    def describe(self) -> str:
        return f"Kept if it is a date or time that exists. Otherwise: {self.otherwise.describe()}"

    @override
    def apply(self, element: Element, vr: str, instance: Instance) -> Element | None:
        parts = texts(element)
        right = all(not part or (dates.is_time(part) if vr == "TM" else dates.is_date(part, vr)) for part in parts)
        return element if right else self.otherwise.apply(element, vr, instance)


@dataclass(frozen=True, slots=True)
class ShiftDate(Rule):
    """C for dates: moved back by the patient's own number of days; times of day stay."""

    otherwise: Rule
    action: str = "shifted"
    code: str = "C"

    @override
    def describe(self) -> str:
        return (
            "Moved back by the patient's own number of whole days, so that intervals stay; a time of day is kept. "
            f"What is no date: {self.otherwise.describe()}"
        )

    @override
    def apply(self, element: Element, vr: str, instance: Instance) -> Element | None:
        parts = texts(element)
        if vr == "TM":
            right = all(not part or dates.is_time(part) for part in parts)
            return element if right else self.otherwise.apply(element, vr, instance)
        moved = [dates.shift(part, vr, instance.days) if part else "" for part in parts]
        whole = [part for part in moved if part is not None]
        if len(whole) < len(moved):
            return self.otherwise.apply(element, vr, instance)
        return with_ascii(element, vr, "\\".join(whole)) if any(whole) else element


@dataclass(frozen=True, slots=True)
class CapAge(Rule):
    """K for an age: above the cap, the first year above it is stated, which then means "or older"."""

    cap: int
    otherwise: Rule
    action: str = "kept"
    code: str = "K"

    @override
    def describe(self) -> str:
        return f"Kept up to {self.cap} years; above, {self.cap + 1} years is stated and means that age or more."

    @override
    def apply(self, element: Element, vr: str, instance: Instance) -> Element | None:
        parts = texts(element)
        if not all(_AGE.fullmatch(part) for part in parts):
            return self.otherwise.apply(element, vr, instance)
        capped = [part and (f"{self.cap + 1:03}Y" if _years(part) > self.cap else part) for part in parts]
        return element if capped == parts else with_ascii(element, vr, "\\".join(capped))


@dataclass(frozen=True, slots=True)
class CapNumber(Rule):
    """K for an age that is written as a number."""

    most: int
    otherwise: Rule
    action: str = "kept"
    code: str = "K"

    @override
    def describe(self) -> str:
        return f"Kept up to {self.most}; above, {self.most + 1} is stated and means that or more."

    @override
    def apply(self, element: Element, vr: str, instance: Instance) -> Element | None:
        try:
            above = [float(part) > self.most for part in texts(element) if part]
        except ValueError:
            return self.otherwise.apply(element, vr, instance)
        return with_ascii(element, vr, str(self.most + 1)) if any(above) else element


_AGE = re.compile(r"([0-9]{3}[DWMY])?")
_PER_YEAR = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}


def _years(age: str) -> int:
    return int(int(age[:3]) / _PER_YEAR[age[3]])
