"""Step 3 of 7: the policy that a compliance officer signs, read strictly from YAML.

An unknown or missing line is an error, not a default: what is not in the file is not what was signed.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, Literal, Self, TypeAlias, get_args

from pydantic import Field, ValidationError, model_validator

from gateway.deid.pixel_policy import PixelPolicy
from gateway.deid.policy_lines import Lines
from gateway.deid.strict import Strict
from gateway.deid.values import dictionary_vrs

if TYPE_CHECKING:
    from pathlib import Path

OptionCodeValue: TypeAlias = Literal[
    "113101", "113102", "113103", "113104", "113105", "113106", "113107", "113108", "113109", "113110", "113111",
    "113112",
]  # fmt: skip
OPTION_CODES: tuple[str, ...] = get_args(OptionCodeValue)
CLEAN_PIXEL_DATA = "113101"
CLEAN_VISIBLE_FEATURES = "113102"
FULL_DATES = "113106"
MODIFIED_DATES = "113107"

_TAG = r"^\([0-9A-F]{4},[0-9A-F]{4}\)$"


class DateShift(Strict):
    """By how many whole days a patient's dates move back; the number is the patient's own, by keyed hash.

    Attributes:
        least_days: Smallest shift, 1 or more.
        most_days: Largest shift, at least 30 more than the smallest.
    """

    least_days: int = Field(ge=1, le=36500)
    most_days: int = Field(ge=1, le=36500)

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if self.most_days - self.least_days < _LEAST_ROOM:
            raise ValueError(f"most_days must be at least {_LEAST_ROOM} above least_days, or the shift can be guessed")
        return self


_LEAST_ROOM = 30


_DATES = {"DA", "DT", "TM"}
_TEXTS = {"AE", "LO", "LT", "SH", "ST", "UC", "UT"}
_NUMBERS = {"AT", "DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"}
_ACTION_VRS = {
    "keep": {*_DATES, *_TEXTS, *_NUMBERS, "AS", "CS", "SQ", "UI"},  # no person's name, and no opaque bytes
    "clean": {*_DATES, *_TEXTS, "SQ"},
    "uid": {"UI"},
}


class OwnRule(Strict):
    """What this site does with one attribute, whatever the table and its options say.

    Attributes:
        tag: ``(gggg,eeee)`` with capital hexadecimal digits; a standard attribute.
        action: What happens to it, at every depth.
        why: The reason, for whoever signs.
    """

    tag: str = Field(pattern=_TAG)
    action: Literal["remove", "empty", "dummy", "keep", "clean", "uid"]
    why: str = Field(min_length=10, max_length=500)

    @model_validator(mode="after")
    def _can_be_done(self) -> Self:
        if int(self.tag[1:5], 16) & 1:
            raise ValueError(f"{self.tag} is private; option 113111 decides on private attributes")
        if not self.vrs:
            raise ValueError(f"{self.tag} is not in the data dictionary; what it does not know is removed")
        if not set(self.vrs) & _ACTION_VRS.get(self.action, set(self.vrs)):
            raise ValueError(f"{self.tag} has VR {' or '.join(self.vrs)}, which {self.action!r} cannot be done to")
        return self

    @property
    def number(self) -> int:
        """The tag as a number."""
        return int(self.tag[1:5] + self.tag[6:10], 16)

    @property
    def vrs(self) -> tuple[str, ...]:
        """The Value Representations of the attribute."""
        return dictionary_vrs(self.number)


class DeidPolicy(Strict):
    """One policy file.

    Attributes:
        name: Its name in reports and audit records.
        description: What it is for, in a sentence or two.
        profile: CID 7050 code of the profile.
        options: CID 7050 codes of the options, sorted.
        patient: What stands in Patient ID and Patient's Name afterwards.
        issuer: Whether the same Patient ID under two issuers is two patients, or one.
        accession: What stands in Accession Number afterwards.
        dates: The shift; exactly with option 113107.
        age_cap: Highest age in years that is stated as it is, where ages are kept at all.
        text: What happens to text attributes that Table E.1-1 does not list: ``remove`` keeps words of a known
            vocabulary only, ``clean`` takes names, numbers, dates and addresses out and keeps the rest.
        visible_features: ``refuse``: images from which a face could be rebuilt are not let through.
        pixels: Burned-in text.
        rules: The site's own, before all others.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,49}$")
    description: str = Field(min_length=20, max_length=2000)
    profile: Literal["113100"]
    options: Annotated[tuple[OptionCodeValue, ...], Field(strict=False)]
    patient: Literal["pseudonym", "empty"]
    issuer: Literal["part-of-id", "ignored"]
    accession: Literal["pseudonym", "empty"]
    dates: DateShift | None = None
    age_cap: int = Field(ge=1, le=89)
    text: Literal["remove", "clean"]
    visible_features: Literal["accept", "refuse"]
    pixels: PixelPolicy
    rules: Annotated[tuple[OwnRule, ...], Field(strict=False)]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        options = set(self.options)
        if list(self.options) != sorted(options):
            raise ValueError("options: must be in ascending order, each once")
        if {FULL_DATES, MODIFIED_DATES} <= options:
            raise ValueError(f"options: {FULL_DATES} keeps dates and {MODIFIED_DATES} shifts them; only one of the two")
        if (MODIFIED_DATES in options) != (self.dates is not None):
            raise ValueError(f"options: {MODIFIED_DATES} must be there if dates is given, and only then")
        if (CLEAN_PIXEL_DATA in options) != self.pixels.look:
            raise ValueError(f"options: {CLEAN_PIXEL_DATA} must be there if pixels.look is true, and only then")
        if (CLEAN_VISIBLE_FEATURES in options) != (self.visible_features == "refuse"):
            raise ValueError(
                f"visible_features: must be 'refuse' with option {CLEAN_VISIBLE_FEATURES}, and only with it"
            )
        tags = [rule.tag for rule in self.rules]
        if len(set(tags)) != len(tags):
            raise ValueError("rules: a tag has two rules")
        moved = [rule.tag for rule in self.rules if rule.action == "clean" and set(rule.vrs) & _DATES]
        if moved and self.dates is None:
            raise ValueError(f"rules: to clean the date {moved[0]} is to move it, which needs option {MODIFIED_DATES}")
        return self

    @property
    def methods(self) -> tuple[str, ...]:
        """CID 7050 codes of the profile and its options, as they are written into the object."""
        return (self.profile, *self.options)


def load_policy(path: Path) -> tuple[DeidPolicy, bytes]:
    """The policy and the bytes it was read from.

    Raises:
        ValueError: Names the file, the line, and the field that is wrong.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
    lines = Lines.of(path, content)
    if not isinstance(lines.document, dict):
        fields = ", ".join(DeidPolicy.model_fields)
        raise ValueError(f"{path} line 1: must be a mapping with the fields {fields}")  # noqa: TRY004 - one type for a bad policy
    try:
        return DeidPolicy.model_validate(lines.document), content
    except ValidationError as error:
        raise ValueError(lines.problems(error)) from error


def digest(policy: bytes, tables_digest: str) -> str:
    """SHA-256 over the policy file and the tables that it rests on, hex."""
    return hashlib.sha256(hashlib.sha256(policy).digest() + bytes.fromhex(tables_digest)).hexdigest()
