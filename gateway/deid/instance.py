"""Step 3 of 7: what the rules may ask about the instance that they are applied to."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableSequence

    from gateway.deid.free_text import Cleaned, FreeText
    from gateway.deid.identifiers import Identifiers
    from gateway.deid.uids import StandIns


@dataclass(slots=True)
class Instance:
    """One object on its walk. Identifying: never leaves the worker.

    Attributes:
        stand_ins: Of the tenant whose it is.
        text: The cleaner of free text.
        known: What its identifying attributes held.
        patient: The patient's pseudonym; None if the object names no patient, or the policy wants none.
        days: By how many days its dates move back.
        encodings: Python codecs of the text in the data set that is being walked.
        cleaned: Texts that were cleaned already: the items of a sequence often say the same.
        found: Kinds of identifiers taken out of free text, and how many.
    """

    stand_ins: StandIns = field(repr=False)
    text: FreeText
    known: Identifiers = field(repr=False)
    patient: str | None = field(default=None, repr=False)
    days: int = field(default=0, repr=False)
    encodings: MutableSequence[str] = field(default_factory=lambda: ["iso8859"])
    cleaned: dict[tuple[str, bytes, str], list[Cleaned]] = field(default_factory=dict, repr=False)
    found: Counter[str] = field(default_factory=Counter)
    _pattern: re.Pattern[str] | None = field(default=None, repr=False)

    def holds_known(self, text: str) -> bool:
        """Whether one of the identifiers that the instance held stands in a text of small letters, as a word."""
        if self._pattern is None:
            needles = self.known.needles()
            self._pattern = re.compile("|".join(rf"(?<!\w){re.escape(needle)}(?!\w)" for needle in needles) or r"(?!)")
        return self._pattern.search(text) is not None
