"""Step 3 of 7: what stands between two words of a text, and whether they can be parts of one name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.deid.tokens import Token

NEAR = re.compile(r"[ \t]{1,2}|[ \t]?[-'.][ \t]?|")
COMMA = re.compile(r"[ \t]?,[ \t]?")
CARET = re.compile(r"[ \t]?[\^_=][ \t]?")
COLON = re.compile(r"[ \t]?(?:'s)?[ \t]?[:=#][ \t\r\n]{0,2}|[.]?[ \t]?[:][ \t]?")
AFTER_TITLE = re.compile(r"[.]?(?:[ \t]{0,2}|[ \t]?/[ \t]?)(?:\(?)")


def between(gap: str) -> bool:
    """Whether two parts with this between them are one name."""
    return len(gap) <= 3 and not gap.strip(" ,^.'-=_/\t")


def close(gap: str) -> bool:
    """The same, or a plus sign or an ampersand between them."""
    return len(gap) <= 3 and not gap.strip(" ,^.'-=_/\t&+")


def given_after_comma(gap: str) -> bool:
    """A comma, after which a given name may follow a family name."""
    return COMMA.fullmatch(gap) is not None


def ends_sentence(gap: str, before: Token) -> bool:
    """Whether a full stop between two words ends a sentence, and is none of an initial or a title."""
    return gap.startswith(".") and len(before.word) > 2
