"""Step 3 of 7: dates, each patient's moved back by a number of days of his own, so that intervals stay (PS3.15 E.3.6).

Whole days: times of day stay as they are. The number comes from ``uids.py``: keyed, nothing is stored.
"""

from __future__ import annotations

import re
from datetime import date, timedelta

_DATE = r"(\d{4})([.-]?)(\d\d)\2(\d\d)"
_OFFSET = r"[+-](?:0\d|1[0-4])[0-5]\d"
_DA = re.compile(_DATE, re.ASCII)
_DT = re.compile(rf"(\d{{4}})(\d\d)?(\d\d)?((?:\d\d){{1,3}}(?:\.\d{{1,6}})?)?({_OFFSET})?", re.ASCII)
_TIME = r"\d\d(?:(?::?\d\d){1,2}(?:\.\d{1,6})?)?"
_TM = re.compile(rf"{_TIME}(?:-(?:{_TIME})?)?|-{_TIME}", re.ASCII)
_MID_YEAR, _MID_MONTH = (7, 1), 15
_LENGTHS = {"DA": 10, "DT": 26}


def is_time(text: str) -> bool:
    """Whether a TM value is one, or a range of two (PS3.5 6.2)."""
    return _TM.fullmatch(text) is not None


def is_date(text: str, vr: str) -> bool:
    """Whether a DA or DT value names days that exist, or a range of such."""
    return shift(text, vr, 0) is not None


def shift(text: str, vr: str, days: int) -> str | None:
    """One DA or DT value, or a range of two, moved back.

    A date that names a month or a year only moves by its middle, and names as much as before.

    Args:
        text: Without padding.
        vr: ``DA`` or ``DT``.
        days: 0 or more.

    Returns:
        The new value in the form of the old one; None if it names a day that does not exist or is no date.
    """
    one = _shift_da if vr == "DA" else _shift_dt
    if (moved := one(text, days)) is not None:
        return moved
    for place, letter in enumerate(text):
        if letter != "-":
            continue
        first, last = text[:place], text[place + 1 :]
        if not (first or last):
            return None
        moved_first = one(first, days) if first else ""
        moved_last = one(last, days) if last else ""
        if moved_first is not None and moved_last is not None:
            return f"{moved_first}-{moved_last}"
    return None


def _shift_da(text: str, days: int) -> str | None:
    if not (match := _DA.fullmatch(text)):
        return None
    moved = _moved(int(match[1]), int(match[3]), int(match[4]), days)
    return None if moved is None else match[2].join((f"{moved.year:04}", f"{moved.month:02}", f"{moved.day:02}"))


def _shift_dt(text: str, days: int) -> str | None:
    if len(text) > _LENGTHS["DT"] or not (match := _DT.fullmatch(text)):
        return None
    year, month, day, time, offset = match.groups()
    if month is None:
        moved = _moved(int(year), *_MID_YEAR, days)
    else:
        moved = _moved(int(year), int(month), int(day) if day else _MID_MONTH, days)
    if moved is None:
        return None
    parts = (f"{moved.year:04}", f"{moved.month:02}" if month else "", f"{moved.day:02}" if day else "")
    return "".join((*parts, time or "", offset or ""))


def _moved(year: int, month: int, day: int, days: int) -> date | None:
    try:
        return date(year, month, day) - timedelta(days=days)
    except (ValueError, OverflowError):
        return None
