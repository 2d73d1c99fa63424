"""Step 3 of 7: the data that the rules rest on, read once from the CSV files in ``tables/``.

Lines that start with ``#`` say what a file is and where its facts come from. Every fault is a ValueError that names the
file and the line: a table that is half understood would leave identifiers in.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, cast, get_args

from pydicom._dicom_dict import DicomDictionary

from gateway.deid.tabular import TAG, one_of, rows, tag_in
from gateway.deid.types import AttributeTypes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FOLDER = Path(__file__).parent / "tables"
PROFILE = "ps3.15-e.1-1.csv"
PROFILE_ROWS = 657
BINARY_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})

BasicCode: TypeAlias = Literal["X", "Z", "D", "U", "X/Z", "X/D", "Z/D", "X/Z/D", "X/Z/U*"]
OptionCode: TypeAlias = Literal["", "K", "C"]
UnlistedAction: TypeAlias = Literal["keep", "remove", "recurse", "uid"]
Check: TypeAlias = Literal["", "number", "term", "length"]
KeepCheck: TypeAlias = Literal["any", "pattern", "text", "device", "never"]
IdentifierKind: TypeAlias = Literal["id", "date", "text", "place", "device"]


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """One row of Table E.1-1.

    Attributes:
        tag: Eight hexadecimal digits, ``x`` for any digit, or ``PRIVATE``.
        name: The attribute's name.
        basic: What the Basic Profile does.
        options: CID 7050 code of an option to ``K`` (keep) or ``C`` (clean), where the row has one.
    """

    tag: str
    name: str
    basic: BasicCode
    options: Mapping[str, OptionCode]


@dataclass(frozen=True, slots=True)
class ContentRow:
    """One row of Table E.3.4-1: a concept, and what happens to content items about it."""

    code: str
    scheme: str
    meaning: str
    basic: str
    options: Mapping[str, OptionCode]


@dataclass(frozen=True, slots=True)
class Kept:
    """An attribute outside Table E.1-1 that is kept if its value passes its check (see the head of keep.csv)."""

    name: str
    check: KeepCheck
    pattern: re.Pattern[str] | None = None


@dataclass(frozen=True, slots=True)
class Tables:
    """All of them.

    Attributes:
        profile: The 657 rows of PS3.15 Table E.1-1, edition 2026d, in their order.
        methods: CID 7050 code to its meaning.
        types: Of attributes, by IOD and sequence.
        keep: The allow-list for attributes that the table does not list, by tag.
        unlisted: What happens to other attributes, by VR: the action and the check that a kept value must pass.
        terms: Words that coded values may consist of.
        identifiers: Kind of identifier by tag, for the residue check.
        content: The rows of PS3.15 Table E.3.4-1.
        safe_private: VR by creator, group and element (the low byte) of PS3.15 Table E.3.10-1.
        head_words: Words that say that a head is in the picture.
        digest: SHA-256 over the files, hex.
    """

    profile: tuple[ProfileRow, ...]
    methods: Mapping[str, str]
    types: AttributeTypes
    keep: Mapping[int, Kept]
    unlisted: Mapping[str, tuple[UnlistedAction, Check]]
    terms: frozenset[str]
    identifiers: Mapping[int, IdentifierKind]
    content: tuple[ContentRow, ...]
    safe_private: Mapping[tuple[str, int, int], str]
    head_words: frozenset[str]
    digest: str


def load_tables(folder: Path = FOLDER) -> Tables:
    """Read and check every table.

    Raises:
        ValueError: Names the file, the line and what is wrong there.
    """
    files = sorted(path for path in folder.iterdir() if path.suffix in {".csv", ".txt"})
    digest = hashlib.sha256()
    for path in files:
        content = path.read_bytes()
        digest.update(f"{path.name}:{len(content)}\n".encode())
        digest.update(content)
    methods = {row["code"]: row["meaning"] for _, row in rows(folder / "ps3.16-cid-7050.csv")}
    return Tables(
        profile=_profile(folder / PROFILE, methods),
        methods=methods,
        types=AttributeTypes.load(folder),
        keep=dict(_kept(folder / "keep.csv")),
        unlisted={
            row["vr"]: (
                cast("UnlistedAction", one_of(where, row["action"], get_args(UnlistedAction))),
                cast("Check", one_of(where, row["check"], get_args(Check))),
            )
            for where, row in rows(folder / "unlisted-by-vr.csv")
        },
        terms=_terms(folder / "terms.txt"),
        identifiers={
            tag_in(where, row["tag"]): cast("IdentifierKind", one_of(where, row["kind"], get_args(IdentifierKind)))
            for where, row in rows(folder / "identifiers.csv")
        },
        content=tuple(_content(folder / "ps3.15-e.3.4-1.csv", methods)),
        head_words=_words(folder / "head-words.txt"),
        safe_private=dict(_safe_private(folder / "ps3.15-e.3.10-1.csv")),
        digest=digest.hexdigest(),
    )


def _profile(path: Path, methods: Mapping[str, str]) -> tuple[ProfileRow, ...]:
    profile: list[ProfileRow] = []
    for where, row in rows(path):
        if row["tag"] != "PRIVATE" and not TAG.fullmatch(row["tag"]):
            raise ValueError(f"{where}: {row['tag']!r} is neither a tag nor PRIVATE")
        basic = cast("BasicCode", one_of(where, row["basic"], get_args(BasicCode)))
        options = {
            code: cast("OptionCode", one_of(where, row[code], get_args(OptionCode))) for code in methods if code in row
        }
        profile.append(
            ProfileRow(row["tag"], row["name"], basic, {code: what for code, what in options.items() if what})
        )
    tags = {row.tag for row in profile}
    if len(profile) != PROFILE_ROWS or len(tags) != PROFILE_ROWS:
        raise ValueError(
            f"{path.name}: {len(tags)} different attributes in {len(profile)} rows; it must be {PROFILE_ROWS}"
        )
    return tuple(profile)


def _options(where: str, row: Mapping[str, str], methods: Mapping[str, str]) -> dict[str, OptionCode]:
    cells = {code: one_of(where, row[code], get_args(OptionCode)) for code in methods if code in row}
    return {code: cast("OptionCode", what) for code, what in cells.items() if what}


def _content(path: Path, methods: Mapping[str, str]) -> Iterator[ContentRow]:
    for where, row in rows(path):
        basic = one_of(where, row["basic"], ("X", "D", "X/D"))
        # A scheme's version stands behind its designator where the table names one.
        yield ContentRow(
            row["code"], row["scheme"].partition(" ")[0], row["meaning"], basic, _options(where, row, methods)
        )


def _safe_private(path: Path) -> Iterator[tuple[tuple[str, int, int], str]]:
    for where, row in rows(path):
        try:
            group, element = int(row["group"], 16), int(row["element"], 16)
        except ValueError as error:
            raise ValueError(f"{where}: group and element must be hexadecimal") from error
        if not group & 1 or element > 0xFF:
            raise ValueError(f"{where}: not a private attribute")
        yield (row["creator"], group, element), row["vr"]


def _kept(path: Path) -> Iterator[tuple[int, Kept]]:
    for where, row in rows(path):
        tag = tag_in(where, row["tag"])
        vrs = set(DicomDictionary[tag][0].split(" or ")) if tag in DicomDictionary else set()
        check = cast("KeepCheck", one_of(where, row["check"], get_args(KeepCheck)))
        if check == "any" and not vrs & BINARY_VRS:
            raise ValueError(f"{where}: text is kept by a check only")
        if (check == "pattern" and not row["pattern"]) or (check in {"any", "never"} and row["pattern"]):
            raise ValueError(f"{where}: check pattern needs a pattern, and checks any and never have none")
        try:
            pattern = re.compile(row["pattern"]) if row["pattern"] else None
        except re.error as error:
            raise ValueError(f"{where}: the pattern is not a regular expression: {error}") from error
        yield tag, Kept(row["name"], check, pattern)


def _words(path: Path) -> frozenset[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if line[:1] != "#" for word in line.split())


def _terms(path: Path) -> frozenset[str]:
    words = _words(path)
    names = {word.upper() for entry in DicomDictionary.values() for word in re.findall(r"[A-Za-z0-9]+", entry[2])}
    return frozenset(words | names)
