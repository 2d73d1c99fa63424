"""The batch tool: what would happen to each attribute of a file, with its values hidden. Runs in a worker process.

The sanitized object is made as it would be, and set beside the original attribute by attribute. So the table cannot
differ from what the tool does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from pydicom.datadict import dictionary_description

from gateway.batch.work import Task, engine_of, tie_to, upload
from gateway.deid.values import dictionary_vrs, is_empty, texts, vr_of
from gateway.ingest.decode import decode_object
from gateway.ingest.guard import fence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom.dataset import Dataset

    from gateway.deid.report import DeidReport
    from gateway.deid.values import Element

Place: TypeAlias = tuple[int, ...]
"""The tags from the outermost sequence to the attribute; items are not told apart. A number that is not the standard's
is the sender's choice and could itself tell something: ``PRIVATE`` or ``UNKNOWN`` stands for it."""

PRIVATE, UNKNOWN = -1, -2

_KINDS = {
    **dict.fromkeys(("AE", "LO", "LT", "SH", "ST", "UC", "UT"), "text"),
    **dict.fromkeys(("DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"), "number"),
    **dict.fromkeys(("OB", "OD", "OF", "OL", "OV", "OW", "UN"), "bytes"),
    "AS": "age",
    "AT": "tag",
    "CS": "code",
    "DA": "date",
    "DT": "date and time",
    "PN": "name",
    "SQ": "sequence",
    "TM": "time",
    "UI": "UID",
    "UR": "link",
}
_COUNTED = frozenset({"number", "tag"})
_BYTES_EACH = {"AT": 4, "FD": 8, "FL": 4, "SL": 4, "SS": 2, "SV": 8, "UL": 4, "US": 2, "UV": 8}


@dataclass(frozen=True, slots=True)
class Hidden:
    """A value of which only its kind and its length are told.

    Attributes:
        kind: ``name``, ``date``, ``text``, ...; empty if the attribute is not there.
        length: How many characters; of bytes, numbers and tags how many there are, of a sequence how many items.
    """

    kind: str = ""
    length: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to one attribute.

    Attributes:
        place: Where it stands.
        name: The standard's name of it.
        vr: Its VR.
        action: ``removed``, ``emptied``, ``uid``, ``replaced``, ``kept`` or ``added``.
        before: Its value before.
        after: Its value after.
    """

    place: Place
    name: str
    vr: str
    action: str
    before: Hidden
    after: Hidden


@dataclass(frozen=True, slots=True)
class Previewed:
    """What a worker hands back. Identifies nobody."""

    changes: tuple[Change, ...] = field(repr=False)
    report: DeidReport
    size: int


def preview(task: Task) -> Previewed:
    """De-identify a file, and tell what changed instead of handing out the output."""
    tie_to(task.parent)
    found = decode_object(upload(task), task.limits)
    done = engine_of(task.deid).deidentify_object(found, tenant=task.tenant)
    changes: tuple[Change, ...] = ()
    if found.dataset is not None and done.dataset is not None:
        with fence("The attributes cannot be set side by side"):
            changes = tuple(_changes(found.dataset, done.dataset, ()))
    return Previewed(changes, done.report, len(done.data))


def _changes(before: Dataset, after: Dataset, place: Place) -> Iterator[Change]:
    for tag in sorted({*before.keys(), *after.keys()}):
        old = before.get_item(tag) if tag in before else None
        new = after.get_item(tag) if tag in after else None
        element = old if old is not None else new
        assert element is not None
        vr = vr_of(element, dictionary_vrs(tag)) or "UN"
        shown, name = _shown(int(tag))
        here = (*place, shown)
        yield Change(here, name, vr, _action(old, new, vr), _hidden(old, vr), _hidden(new, vr))
        if vr == "SQ" and old is not None and new is not None:
            for old_item, new_item in zip(before[tag].value, after[tag].value, strict=False):
                yield from _changes(old_item, new_item, here)


def _action(old: Element | None, new: Element | None, vr: str) -> str:
    if old is None:
        return "added"
    if new is None:
        return "removed"
    if is_empty(new) and not is_empty(old):
        return "emptied"
    if vr == "SQ" or _same(old, new):
        return "kept"
    return "uid" if vr == "UI" else "replaced"


def _same(old: Element, new: Element) -> bool:
    return old.value == new.value or texts(old) == texts(new)


def _hidden(element: Element | None, vr: str) -> Hidden:
    if element is None:
        return Hidden()
    kind = _KINDS.get(vr, "bytes")
    if is_empty(element):
        return Hidden(kind)
    if vr == "SQ":
        return Hidden(kind, len(element.value or ()))
    if isinstance(element.value, bytes) and (kind == "bytes" or vr in _BYTES_EACH):
        return Hidden(kind, len(element.value) // _BYTES_EACH.get(vr, 1))
    values = texts(element)
    return Hidden(kind, len(values) if kind in _COUNTED else sum(map(len, values)))


def _shown(tag: int) -> tuple[int, str]:
    """What stands for a tag, and its name."""
    if tag & 0x10000:
        return PRIVATE, "private"
    try:
        return tag, dictionary_description(tag)
    except KeyError:
        return UNKNOWN, "not in the dictionary"
