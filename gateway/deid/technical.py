"""Step 3 of 7: the allow-list's rule for technical text: kept if all of it is technical, by the check in keep.csv."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.deid.replace import words_of
from gateway.deid.values import is_empty

if TYPE_CHECKING:
    import re

    from gateway.deid.instance import Instance
    from gateway.deid.rules import Rule
    from gateway.deid.values import Element


@dataclass(frozen=True, slots=True)
class KeepTechnical:
    """K for an attribute of equipment, acquisition or presentation; ``otherwise`` decides if a value says more.

    Attributes:
        own: How many words may be a maker's or a product's own (free_text.FreeText.is_technical).
        otherwise: The rule for every other value.
        pattern: A value that fits it as a whole passes; None: there is none.
    """

    own: int
    otherwise: Rule
    pattern: re.Pattern[str] | None = None
    action: str = "kept"
    code: str = "K"

    def describe(self) -> str:
        """One sentence for a person."""
        form = "its form is that of a version or a code, or " if self.pattern else ""
        one = ", but for one name of a maker or a product," if self.own else ""
        return (
            f"Kept if {form}every word of it{one} is an ordinary, medical or technical one or a short code, and "
            f"nothing in it identifies. Otherwise: {self.otherwise.describe()}"
        )

    def apply(self, element: Element, vr: str, instance: Instance) -> Element | None:
        """The element to put in its place: the same one if nothing changes, None to remove it."""
        if is_empty(element):
            return element
        try:
            parts = words_of(element, vr, instance.encodings)
        except Exception:  # noqa: BLE001 - in no encoding that was declared: nothing can be said of it
            return self.otherwise.apply(element, vr, instance)
        passed = all(
            (self.pattern is not None and self.pattern.fullmatch(part))
            or instance.text.is_technical(part, instance.known, self.own)
            for part in parts
        )
        return element if passed else self.otherwise.apply(element, vr, instance)
