"""Step 3 of 7: the data that the rules rest on, read once from the CSV files in ``tables/``.

Lines that start with ``#`` say what a file is and where its facts come from. Every fault is a ValueError that names the
file and the line: a table that is half understood would leave identifiers in.
"""

from __future__ import annotations

import csv
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, cast, get_args

from pydicom._dicom_dict import DicomDictionary

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
IdentifierKind: TypeAlias = Literal["id", "date", "text"]

_TAG = re.compile(r"[0-9A-Fx]{8}")


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
class Kept:
    """An attribute outside Table E.1-1 that is kept if its value fits; ``pattern`` None takes any (bytes only)."""

    name: str
    pattern: re.Pattern[str] | None


@dataclass(frozen=True, slots=True)
class Tables:
    """All of them.

    Attributes:
        profile: The 657 rows of PS3.15 Table E.1-1, edition 2026d, in their order.
        methods: CID 7050 code to its meaning.
        types: Attribute type by tag, ``1`` or ``2``; others are type 3.
        keep: The allow-list for attributes that the table does not list, by tag.
        unlisted: What happens to other attributes, by VR: the action and the check that a kept value must pass.
        terms: Words that coded values may consist of.
        identifiers: Kind of identifier by tag, for the residue check.
        digest: SHA-256 over the files, hex.
    """

    profile: tuple[ProfileRow, ...]
    methods: Mapping[str, str]
    types: Mapping[int, int]
    keep: Mapping[int, Kept]
    unlisted: Mapping[str, tuple[UnlistedAction, Check]]
    terms: frozenset[str]
    identifiers: Mapping[int, IdentifierKind]
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
    methods = {row["code"]: row["meaning"] for _, row in _rows(folder / "ps3.16-cid-7050.csv")}
    return Tables(
        profile=_profile(folder / PROFILE, methods),
        methods=methods,
        types={
            _tag(where, row): int(_one_of(where, row["type"], ("1", "2"))) for where, row in _rows(folder / "types.csv")
        },
        keep=dict(_kept(folder / "keep.csv")),
        unlisted={
            row["vr"]: (
                cast("UnlistedAction", _one_of(where, row["action"], get_args(UnlistedAction))),
                cast("Check", _one_of(where, row["check"], get_args(Check))),
            )
            for where, row in _rows(folder / "unlisted-by-vr.csv")
        },
        terms=_terms(folder / "terms.txt"),
        identifiers={
            _tag(where, row): cast("IdentifierKind", _one_of(where, row["kind"], get_args(IdentifierKind)))
            for where, row in _rows(folder / "identifiers.csv")
        },
        digest=digest.hexdigest(),
    )


def _rows(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Each row with the place it stands at, for an error's sentence."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    comments = sum(line.startswith("#") for line in lines)
    reader = csv.DictReader(lines[comments:], strict=True)
    for row in reader:
        where = f"{path.name} line {reader.line_num + comments}"
        if None in row or None in row.values():
            raise ValueError(f"{where}: the row does not have as many cells as the header")
        yield where, row


def _one_of(where: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"{where}: {value!r} is none of {', '.join(map(repr, allowed))}")
    return value


def _tag(where: str, row: dict[str, str]) -> int:
    if not _TAG.fullmatch(row["tag"]) or "x" in row["tag"]:
        raise ValueError(f"{where}: {row['tag']!r} is not a tag of eight hexadecimal digits")
    return int(row["tag"], 16)


def _profile(path: Path, methods: Mapping[str, str]) -> tuple[ProfileRow, ...]:
    rows: list[ProfileRow] = []
    for where, row in _rows(path):
        if row["tag"] != "PRIVATE" and not _TAG.fullmatch(row["tag"]):
            raise ValueError(f"{where}: {row['tag']!r} is neither a tag nor PRIVATE")
        basic = cast("BasicCode", _one_of(where, row["basic"], get_args(BasicCode)))
        options = {
            code: cast("OptionCode", _one_of(where, row[code], get_args(OptionCode))) for code in methods if code in row
        }
        rows.append(ProfileRow(row["tag"], row["name"], basic, {code: what for code, what in options.items() if what}))
    tags = {row.tag for row in rows}
    if len(rows) != PROFILE_ROWS or len(tags) != PROFILE_ROWS:
        raise ValueError(
            f"{path.name}: {len(tags)} different attributes in {len(rows)} rows; it must be {PROFILE_ROWS}"
        )
    return tuple(rows)


def _kept(path: Path) -> Iterator[tuple[int, Kept]]:
    for where, row in _rows(path):
        tag = _tag(where, row)
        vrs = set(DicomDictionary[tag][0].split(" or ")) if tag in DicomDictionary else set()
        if not row["pattern"] and not vrs & BINARY_VRS:
            raise ValueError(f"{where}: text is kept by a pattern only, and none is given")
        try:
            pattern = re.compile(row["pattern"]) if row["pattern"] else None
        except re.error as error:
            raise ValueError(f"{where}: the pattern is not a regular expression: {error}") from error
        yield tag, Kept(row["name"], pattern)


def _terms(path: Path) -> frozenset[str]:
    words = {word for line in path.read_text(encoding="utf-8").splitlines() if line[:1] != "#" for word in line.split()}
    names = {word.upper() for entry in DicomDictionary.values() for word in re.findall(r"[A-Za-z0-9]+", entry[2])}
    return frozenset(words | names)
