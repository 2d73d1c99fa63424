"""Step 3 of 7: what identifies by its form: dates, numbers, addresses, electronic addresses, ages over 89.

All patterns read folded text (vocabulary.fold). Every repetition in them is bounded or takes what no other part of its
pattern takes, so the time is linear in the text. What must go follows 45 CFR 164.514(b)(2).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from gateway.deid.vocabulary import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.deid.tokens import Token

OLDEST = 89
_DIGITS = re.compile(r"\d+")
_FEWEST_DIGITS = 5  # of a number that could be one person's
_MOST_DOTS = 5  # of a version; a UID has more


class Span(NamedTuple):
    """A find: where in the folded text, and of which kind."""

    start: int
    end: int
    kind: str
    number: int = 0
    """Where the house number stands, of the kind ``postal``."""


WORTH_A_LOOK = re.compile(r"\d|@|://|www\.|〒|:|[都道府県年]|address|lives|living|wohnhaft|demeurant|domicili|resid")

_NAMES = sorted(words("months.txt"), key=len, reverse=True)
_MONTHS = "|".join(_NAMES)
# The shorter ones are words as well, so a day or a year must stand beside them; the whole names are months.
_WHOLE_NAME = 5
_FULL = "|".join(name for name in _NAMES if len(name) >= _WHOLE_NAME)
_YEAR = r"(?:(?:18|19|20|21)\d\d|[']\d\d)"
_OF = r"\s?(?:\.|,|/|-)?\s?(?:of\s|de\s|del\s|di\s)?"
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_TWO = r"(?:0?[1-9]|[12]\d|3[01])"
_NUMERIC = re.compile(r"(?<![\d./-])(\d{1,4})\s?([./-])\s?(\d{1,2})\s?\2\s?(\d{1,4})(?!\d|[./-]\d)")


class _DateForm(NamedTuple):
    """A pattern, and what a text must have for it to be tried."""

    pattern: re.Pattern[str]
    digits: int
    month: bool
    """A month's name."""
    ascii_too: bool


_ANY_MONTH = re.compile(_MONTHS)
_FEWEST_IN_A_DATE = 3
_DATES = tuple(
    _DateForm(re.compile(form), digits, month, ascii_too)
    for form, digits, month, ascii_too in (
        (r"(?<!\d)(?:18|19|20|21)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:t?\d{4,6}(?:\.\d{1,6})?)?(?!\d)",
         8, False, True),
        # 5 November 1961, 5. Nov. '61, 5 de noviembre de 1961
        (rf"(?<!\d)\d{{1,2}}(?:st|nd|rd|th|er|e|o)?{_OF}(?:{_MONTHS})\b\.?{_OF}{_YEAR}(?!\d)", 3, True, True),
        # 5 November
        (rf"(?<![\d.])\d{{1,2}}(?:st|nd|rd|th|er)?{_OF}(?:{_FULL})\b", 1, True, True),
        # 11/1961
        (r"(?<![\d./-])(?:0?[1-9]|1[0-2])[./-](?:19|20)\d\d(?![\d./-])", 5, False, True),
        (r"(?:(?:18|19|20|21)\d\d|(?:令和|平成|昭和|大正|明治)\s?(?:\d{1,2}|元))\s?年(?:\s?\d{1,2}\s?月(?:\s?\d{1,2}\s?日)?)?",
         0, False, False),
        (r"\d{1,2}\s?月\s?\d{1,2}\s?日", 2, False, False),
        (r"(?:18|19|20|21)\d\d\s?년\s?\d{1,2}\s?월(?:\s?\d{1,2}\s?일)?", 5, False, False),
    )
)  # fmt: skip
# What stands after a month's name: "5th, 1961", "1961"; the whole name or an ordinal number alone is enough.
_MONTH = frozenset(_NAMES)
_AFTER_MONTH = re.compile(rf"\.?[\s-]?(?:{_DAY}\s?,?\s?)?{_OF}{_YEAR}(?!\d)|\.?\s\d{{1,2}}(?:st|nd|rd|th)\b")
_AFTER_FULL = re.compile(rf"\s{_DAY}\b(?![.,]?\d|\s?(?:mm|cm|ml|mg))")
# What stands after a word that announces a date: "on 5 Nov", "am 5.11.", "on 11/05".
_WHEN = words("date-words.txt")
_AFTER_WHEN = re.compile(
    rf"\.?\s(?:the\s)?(?P<day>{_DAY}\.?\s?(?:{_MONTHS})\b|(?:{_MONTHS})\.?\s\d{{1,2}}\b"
    rf"|{_TWO}(?:\.(?:0?[1-9]|1[0-2])\.(?!\d)|/{_TWO}(?![\d/])))"
)
_TIME = re.compile(
    r"(?:\s|,|;|-|@|t(?=\d)|\bat|\bum|\ba|\bas|\balle|\bore|\bkl\.?){0,4}(?:[01]?\d|2[0-3])\s?(?::|h|\.)\s?[0-5]\d"
    r"(?::[0-5]\d(?:\.\d{1,6})?)?(?:\s?(?:am|pm|uhr|hrs?|h)\b)?"
)

_PHONE_LABEL = re.compile(
    r"(?<![^\W\d_])(?:tel|telefon|telephone|telefono|phone|ph|fon|fax|call|calls|mobile|mobil|cell|handy|movil|portable|pager|"
    r"beeper|bleep|ext|extension|durchwahl|ring|電話|전화)\.?\s?(?:no\.?|nr\.?|number)?\s?[:.#]?\s?(\(?\+?\d[\d\s()./-]{1,18}\d)"
)
_PHONE = re.compile(
    r"(?<![\w.+-])(?:(?:\+|00)\d{1,3}[\s()./-]{0,3}\d(?:[\s()./-]{0,2}\d){5,12}"
    r"|\(?0\d{1,5}\)?[\s/.-]{1,3}\d{2,8}(?:[\s.-]\d{2,5}){0,4}"
    r"|(?:1[\s.-])?\(?[2-9]\d{2}\)?[\s.-]\d{3}[\s.-]\d{4}|[2-9]\d{2}-\d{4})(?![\w-]|\.\d)"
)
_ID_LABEL = re.compile(
    r"(?<![^\W\d_])(?:mrn|m\.r\.n\.|patient[\s_-]?(?:id|no|nr|number|identifier)|pat\.?[\s_-]?(?:id|nr|no)|pid|uhid|pnr|"
    r"hospital\s?(?:no|number|id)|acc(?:ession)?|case\s?(?:no|number|id)|fall[\s-]?(?:nr|nummer|id)|patienten[\s-]?(?:nummer|nr|id)|"
    r"auftrags?[\s-]?(?:nr|nummer)|order\s?(?:no|number|id)|req(?:uest|uisition)?\s?(?:no|number|id)|(?:visit|encounter|account|acct|chart|"
    r"exam|study|specimen|admission|record|file|policy|member|insurance|licen[sc]e|passport|health\s?card|serial|device|registration)"
    r"\s?(?:no|nr|number|num|id)|medical\s?record|nhs|ssn|social\s?security|dni|nif|nhc|nip|ipp|iep|cpf|cns|niss|bsn|"
    r"dossier(?:\sn)?|numero(?:\sde)?(?:\sdossier)?|historia(?:\sclinica)?|codice\sfiscale|tessera(?:\ssanitaria)?|cartella|"
    r"versicherten[\s-]?(?:nr|nummer)|vers\.?-?nr|krankenkassen?[\s-]?(?:nr|nummer)|s/n|expediente|nss|患者番号|患者id|カルテ番号|id)"
    r"\.?\s?(?:no\.?|nr\.?|number|num\.?|n[°o])?\s?[:=#°.]?\s{0,2}#?([a-z0-9][a-z0-9./_-]{1,24})"
)
_CODE = re.compile(r"(?<![^\W_])[a-z]{0,8}[-._/#]?\d[a-z\d]*(?:[-._/][a-z\d]+){0,12}(?![^\W_])")
_SIZES = re.compile(
    r"\d{1,4}(?:\.\d+)?(?:x\d{1,4}(?:\.\d+)?){1,3}[a-z]{0,3}|\d+\.\d+[a-z]{0,4}|\d{1,9}(?:ms|us|hz|khz|mhz|ml|bq|kbq|mbq|nm|um|px)"
)
_SSN = re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])")
_AGE = re.compile(
    r"(?<![\d.,])(\d{2,3})\s?-?\s?(?:y/?o\b|y(?:ea)?rs?(?:[\s-]old)?\b|jahr(?:e|en|ige[rsn]?|ig)?\b(?:\salte?[rsnm]?\b)?|ans\b|anos\b|anni\b|jaar\b|ar\b|歳|才|세|岁|лет)"
    r"|(?<![^\W\d_])(?:age|aged|alter|edad|eta|leeftijd)\s?[:=]?\s?(?:de\s)?(\d{2,3})(?!\d)|(?<!\d)(\d{3})y(?![\w])"
)
_MAIL = re.compile(r"@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,6}")
_URL = re.compile(r"(?<![^\W\d_])(?:https?|ftps?|sftp|file)://[^\s<>\"']{1,2000}|(?<![^\W\d_])www\.[^\s<>\"']{3,2000}")
_IP = re.compile(r"(?<![\d.])(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?![\d]|\.\d)")
_STREETS = (
    re.compile(
        r"(?<![\d.,])\d{1,5}[a-z]?,?\s(?:[^\W\d_][\w'.-]{1,24}\s){1,3}(?:street|st|road|rd|avenue|ave|lane|ln|drive|boulevard|blvd|court|place|"
        r"terrace|row|square|close|crescent|gardens|way|highway|parkway|walk|mews|grove|alley|hill|green|park)\b\.?"
    ),
    re.compile(r"(?<![\w.-])[^\W\d_][\w.-]{1,40}(?:strasse|str\.|weg|allee|platz|gasse|ufer|damm|steig|straat|laan|plein|gade|gatan|vej|vagen)\s?\d{1,4}\s?[a-z]?\b"),
    # The number first, as many write it for readers abroad: 12 Lindenstrasse
    re.compile(r"(?<![\d.,])\d{1,4}\s?[a-z]?,?\s[^\W\d_][\w-]{2,40}(?:strasse|str\.|weg|allee|platz|gasse|ufer|damm|steig|straat|laan|plein|gade|gatan|vej|vagen)(?!\w)"),
    re.compile(r"(?<![\w-])[^\W\d_][\w-]{1,30}\s(?:strasse|str\.|weg|allee|platz|gasse|ufer|damm|straat|laan)\s\d{1,4}\s?[a-z]?\b"),
    re.compile(
        r"(?<!\d)\d{1,4}(?:\s?(?:bis|ter))?,?\s(?:rue|avenue|boulevard|bd|chemin|impasse|allee|quai|route|place|cours)\s(?:[^\W\d_][\w'-]{0,24}[\s']?){1,5}"
    ),
    re.compile(
        r"(?<![\w-])(?:[^\W\d_][\w'.-]{2,24}\s)?[^\W\d_][\w'.-]{1,24}\s(?:street|road|avenue|lane|boulevard|crescent|terrace)\s\d{1,4}[a-z]?\b"
    ),
    re.compile(
        r"(?<![\w-])(?:calle|c/|avenida|avda\.?|plaza|paseo|via|viale|piazza|corso|largo|rua|travessa|carrera)\s(?:[^\W\d_][\w'.-]{0,24},?\s){1,4}(?:n[.°o]?\s?)?\d{1,4}\b"
    ),
)  # fmt: skip
# One of these is in every street of the patterns above, which are not tried on a text without any.
_STREET_WORD = re.compile(
    r"\s(?:street|st|road|rd|avenue|ave|lane|ln|drive|boulevard|blvd|court|place|terrace|row|square|close|crescent|gardens|way|highway|"
    r"parkway|walk|mews|grove|alley|hill|green|park|rue|bd|chemin|impasse|allee|quai|route|cours)\b|strasse|str\.|weg|allee|platz|gasse|"
    r"ufer|damm|steig|straat|laan|plein|gade|gatan|vej|vagen|calle|c/|avenida|avda|plaza|paseo|via|viale|piazza|corso|largo|rua|"
    r"travessa|carrera"
)
_BOX = re.compile(
    r"(?<![^\W\d_])(?:p\.?\s?o\.?\s?box|postfach|postbus|postboks|casella\spostale|caixa\spostal|apartado(?:\sde\scorreos)?|casilla|boite\spostale)"
    r"\s?(?:n[.°o]?\s?)?\d{1,6}\b"
)
# House number, postal code and town, as on letters in much of the world; what stands before it is the street.
_POSTAL = re.compile(
    r",?\s\d{1,4}(?:\s?[a-z](?:\s\d{1,3})?)?,\s\d{4,5}(?:-\d{3,4})?\s(?P<town>[^\W\d_][\w-]{2,24})(?!\w)"
)
_STREET_WORDS = re.compile(r"(?:(?<![\w.-])[^\W\d_][\w.'-]{1,40}\s?){1,4}$")
_MOST_BEFORE_A_NUMBER = 60
_TOWN = re.compile(
    r",?\s(?:[a-z]{1,2}[\s-])?\d{4,6}(?:-\d{4})?(?:\s[^\W\d_][\w-]{2,24}){0,2}|,\s[^\W\d_][\w-]{2,24}(?:\s[^\W\d_][\w-]{2,24})?(?:,?\s[a-z]{2}(?=\s\d{4,6}(?!\d)|[.;]|$))?(?:\s\d{4,6})?"
)
_HOME = re.compile(
    r"(?<![^\W\d_])(?:(?:lives|living|residing|resides|resident)\s(?:at|in|of)|wohnhaft(?:\sin)?|demeurant(?:\sau?)?|domicilie[e]?\s(?:au?|en)|domiciliad[oa]\sen|"
    r"residente\s(?:in|a|en)|vive\sen|(?:home\s)?address:|adresse:|anschrift:|direccion:|indirizzo:|住所\s?:?)\s?([^\n;]{3,80})"
)
_KANJI_PLACE = re.compile(r"〒\s?\d{3}-?\d{4}|[一-鿿]{2,3}[都道府県][一-鿿]{1,5}[市区町村郡][一-鿿\d丁目番地号-]{0,16}")


def find(folded: str, tokens: list[Token]) -> Iterator[Span]:
    """Everything in a folded text, whose words are given, that identifies by its form. Spans may overlap."""
    yield from _electronic(folded)
    digits = _digits(folded)
    if digits or "年" in folded:
        yield from _dates(folded, tokens, digits)
    if digits:
        yield from _numbers(folded, digits)
    for match in _HOME.finditer(folded):
        end = match.end(1)
        for stop in (". ", ", tel", ", mail", ", phone"):
            place = folded.find(stop, match.start(1), end)
            end = place if place != -1 else end
        yield Span(match.start(1), end, "address")


def _electronic(folded: str) -> Iterator[Span]:
    for match in _MAIL.finditer(folded) if "@" in folded else ():
        start = match.start()
        while start and match.start() - start < 64 and (folded[start - 1].isalnum() or folded[start - 1] in "._%+-"):
            start -= 1
        if start < match.start():
            yield Span(start, match.end(), "email")
    for match in _URL.finditer(folded) if "://" in folded or "www." in folded else ():
        yield Span(match.start(), match.end(), "url")
    for match in _IP.finditer(folded) if folded.count(".") > 2 else ():
        parts = [int(part) for part in match.groups()]
        if max(parts) < 256 and (sum(part > 9 for part in parts) > 1 or parts[0] in {10, 127}):
            yield Span(match.start(), match.end(), "url")


def _dates(folded: str, tokens: list[Token], digits: int) -> Iterator[Span]:
    for start, end in _days(folded, tokens, digits):
        after = _TIME.match(folded, end)
        yield Span(start, after.end() if after else end, "date")


def _days(folded: str, tokens: list[Token], digits: int) -> Iterator[tuple[int, int]]:
    for match in _NUMERIC.finditer(folded) if digits >= _FEWEST_IN_A_DATE else ():
        if _is_date(match):
            yield match.span()
    named = _ANY_MONTH.search(folded) is not None
    for pattern, fewest, month, ascii_too in _DATES:
        if digits >= fewest and (named or not month) and (ascii_too or not folded.isascii()):
            for match in pattern.finditer(folded):
                yield match.span()
    for token in tokens:
        if token.word in _MONTH:
            found = _AFTER_MONTH.match(folded, token.end)
            if found is None and len(token.word) >= _WHOLE_NAME:
                found = _AFTER_FULL.match(folded, token.end)
            if found is not None:
                yield token.start, found.end()
        if token.word in _WHEN and (found := _AFTER_WHEN.match(folded, token.end)) is not None:
            yield found.span("day")


def _is_date(match: re.Match[str]) -> bool:
    first, middle, last = int(match[1]), int(match[3]), int(match[4])
    if len(match[1]) == 4:
        return 1800 <= first <= 2199 and 1 <= middle <= 12 and 1 <= last <= 31
    days = (1 <= first <= 31 and 1 <= middle <= 12) or (1 <= first <= 12 and 1 <= middle <= 31)
    if len(match[4]) == 4:
        return days and 1800 <= last <= 2199
    if len(match[4]) != 2 or " " in match[0]:
        return False
    if len(match[1]) == len(match[3]) == 2:
        return days or (1 <= middle <= 12 and 1 <= last <= 31)
    # 5/11/61 and 5.11.61 are dates, 2.1.10 may be a version.
    return days and (match[2] == "/" or last > 31)


def _numbers(folded: str, digits: int) -> Iterator[Span]:
    """``digits``: how many there are. No pattern is tried on a text that has fewer than it needs."""
    for match in _AGE.finditer(folded) if digits > 1 else ():
        if OLDEST < int(match[1] or match[2] or match[3]) < 140:
            yield Span(match.start(), match.end(), "age")
    for match in _PHONE_LABEL.finditer(folded) if digits >= 4 else ():
        if _digits(match[1]) >= 4:
            yield Span(match.start(1), match.end(1), "phone")
    for match in _PHONE.finditer(folded) if digits >= 7 else ():
        if 7 <= _digits(match[0]) <= 15:
            yield Span(match.start(), match.end(), "phone")
    for match in _SSN.finditer(folded) if digits >= 9 and "-" in folded else ():
        yield Span(match.start(), match.end(), "id")
    for match in _ID_LABEL.finditer(folded) if digits > 1 else ():
        value = match[1].rstrip("./_-")
        if _digits(value) >= 3 or (_digits(value) == 2 and match[0].startswith(("mrn", "pat", "acc"))):
            yield Span(match.start(1), match.start(1) + len(value), "id")
    for match in _CODE.finditer(folded) if digits >= _FEWEST_DIGITS or folded.count(".") > _MOST_DOTS else ():
        if is_identifying_code(match[0]):
            yield Span(match.start(), match.end(), "id")
    for pattern in _STREETS if _STREET_WORD.search(folded) else ():
        for match in pattern.finditer(folded):
            after = _TOWN.match(folded, match.end())
            yield Span(match.start(), after.end() if after else match.end(), "street")
    for match in _BOX.finditer(folded):
        after = _TOWN.match(folded, match.end())
        yield Span(match.start(), after.end() if after else match.end(), "address")
    for match in _POSTAL.finditer(folded) if digits >= _FEWEST_DIGITS else ():
        street = _STREET_WORDS.search(folded, max(0, match.start() - _MOST_BEFORE_A_NUMBER), match.start())
        if street is not None:
            yield Span(street.start(), match.end(), "postal", match.start())
    for match in () if folded.isascii() else _KANJI_PLACE.finditer(folded):
        yield Span(match.start(), match.end(), "address")


def is_identifying_code(word: str) -> bool:
    """Whether letters and digits without a blank (folded) have so many digits that they could number a person."""
    if _SIZES.fullmatch(word):
        return False
    digits = _digits(word)
    if digits < _FEWEST_DIGITS:
        return word.count(".") > _MOST_DOTS
    longest = max(map(len, _DIGITS.findall(word)))
    letters = sum(map(str.isalpha, word))
    return (
        longest >= 6 or (letters > 0 and longest >= 5) or (digits >= 7 and longest >= 3) or word.count(".") > _MOST_DOTS
    )


def _digits(text: str) -> int:
    return sum(map(str.isdigit, text))
