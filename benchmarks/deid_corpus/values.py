"""De-identification benchmark: from a maker's name (``date:study``) to a value, and what in it identifies."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from benchmarks.deid_corpus.people import dice, staff

if TYPE_CHECKING:
    from benchmarks.deid_corpus.people import Patient

# Minutes from the start of the study to a role's moment.
MOMENTS = {
    "study": 0, "series": 20, "acquisition": 22, "frame": 22, "content": 25, "creation": 31, "verification": 26 * 60,
    "order": -9 * 24 * 60, "earlier": -41 * 24 * 60, "calibration": -63 * 24 * 60,
}  # fmt: skip
STUDY_MOMENTS = {"study", "order", "earlier", "calibration"}
# What a UID names once for all instances of a scope; every other UID is the series' own.
UID_SCOPES = {
    **dict.fromkeys(("study", "earlier-study", "step", "frame", "structures", "plan", "dose-reference"), "study"),
    **dict.fromkeys(("source-series", "source"), "study"),
    **dict.fromkeys(("creator", "device"), "corpus"),
    **dict.fromkeys(("patient", "photo"), "patient"),
    **dict.fromkeys(("instance", "irradiation"), "instance"),
}
LENGTHS = {"SH": 16, "LO": 64, "CS": 16, "AE": 16, "PN": 64}


@dataclass(frozen=True, slots=True)
class Value:
    """What goes into an element.

    Attributes:
        value: As pydicom takes it.
        phi: Strings in it that identify.
        keep: Words in it that a cleaning must leave.
    """

    value: Any
    phi: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scene:
    """The instance being made: whose, and which one.

    Attributes:
        seed: Of the corpus.
        words: The vocabulary.
        patient: Whose.
        study: Number of the study of this patient.
        series: Number of the series in it.
        instance: Number of the instance in it.
        kind: Row of kinds.csv.
    """

    seed: int
    words: dict[str, Any] = field(repr=False)
    patient: Patient
    study: int
    series: int
    instance: int
    kind: dict[str, str]

    def scope(self, name: str) -> tuple[object, ...]:
        """What makes a value the same or different: everything of a study, of a series, ..."""
        whole: tuple[object, ...] = (self.patient.number, self.study, self.series, self.instance)
        depth = {"corpus": 0, "patient": 1, "study": 2, "series": 3, "instance": 4}[name]
        return (self.seed, name, *whole[:depth])

    def moment(self, role: str, frame: int = 0) -> datetime:
        """When something happened. A patient's studies lie weeks or years apart."""
        roll = dice(*self.scope("patient"), "first visit")
        first = datetime(2009, 1, 1) + timedelta(minutes=roll.randrange(10 * 365 * 24 * 60))  # noqa: DTZ001 - DICOM's local time
        gap = sum(dice(*self.scope("patient"), "gap", n).choice([19, 47, 364, 803]) for n in range(self.study))
        inside = 0 if role in STUDY_MOMENTS else 60 * (3 * self.series % 60) + self.instance + frame
        seconds = 60 * MOMENTS[role] + inside
        return first + timedelta(days=gap, seconds=seconds)

    def uid(self, role: str) -> str:
        """An UID, the same wherever the same thing is named."""
        digits = dice(*self.scope(UID_SCOPES.get(role, "series")), "uid", role).randrange(10**18, 10**19)
        return f"1.2.840.999999.7.{digits}"

    def person(self, role: str) -> tuple[str, str]:
        """Family and given name of someone of the staff."""
        return staff(self.words, *self.scope("study"), role)

    def identifier(self, role: str) -> str:
        """A number that someone gave: accession, order, serial, ..."""
        scope = "corpus" if role in {"serial", "gantry", "detector", "physician"} else "study"
        return f"{role[:2].upper()}{dice(*self.scope(scope), 'id', role).randrange(10**6, 10**7)}"

    def place(self, role: str) -> str:
        """A place; hospitals have their own, constant for a study."""
        places, roll = self.words["places"], dice(*self.scope("study"), "place")
        index = roll.randrange(len(places["town"]))
        if role == "address":
            return f"{12 + index} {places['street'][index]}, {places['town'][index]}"
        if role == "phone" and "phone" not in places:
            return f"+44 1632 {960000 + index * 37}"
        if role == "institution" and not set(self.patient.charset) & {"ISO_IR 100", "ISO_IR 192"}:
            role = "institution_ascii"
        return str(places[role][index % len(places[role])])


def make(maker: str, vr: str, scene: Scene, spot: str, frame: int = 0) -> Value:
    """The value that a maker of the tables stands for.

    Args:
        maker: ``=a|b`` one of these, backslash between values; ``#1..9`` a whole number, ``%0..1:2`` a number with two
            places, both with `` xN`` for N values; else ``family:role``, see the functions below.
        vr: Value representation.
        scene: The instance.
        spot: The element's path: two elements draw two values.
        frame: Item of the innermost repeated sequence.
    """
    if maker.startswith("="):
        choices = maker[1:].split("|")
        chosen = choices[0] if len(choices) == 1 else dice(*scene.scope("instance"), spot).choice(choices)
        return Value(_typed(chosen.split("\\"), vr))
    if maker[0] in "#%":
        return Value(_numbers(maker, vr, dice(*scene.scope("instance"), spot)))
    family, _, role = maker.partition(":")
    if family == "text":
        return _text(role, vr, scene, spot)
    if family == "patient":
        return _of_patient(role, scene)
    if family == "bytes":
        return _bytes(role, scene)
    return _of_scene(family, role, vr, scene, frame)


def _of_scene(family: str, role: str, vr: str, scene: Scene, frame: int) -> Value:
    match family:
        case "uid":
            return Value(scene.uid(role))
        case "date" | "time" | "dt":
            moment = _birth(scene) if role == "birth" else scene.moment(role, frame)
            form = {"date": "%Y%m%d", "time": "%H%M%S", "dt": "%Y%m%d%H%M%S.250000"}[family]
            return Value(moment.strftime(form))
        case "person":
            last, first = scene.person(role)
            return Value(f"{last}^{first}^^Dr" if vr == "PN" else f"Dr. {first} {last}", (last,))
        case "id":
            return Value(scene.identifier(role), (scene.identifier(role),))
        case "place":
            return Value(scene.place(role), (scene.place(role),))
        case "kind":
            return Value(scene.kind[role])
        case "index":
            return Value(scene.instance + 1)
        case "free":
            return Value(_typed([role], vr))
    raise ValueError(f"no such maker: {family}")


def _birth(scene: Scene) -> datetime:
    roll = dice(*scene.scope("patient"), "birth")
    return datetime.combine(scene.patient.birth_date, datetime.min.time()) + timedelta(seconds=roll.randrange(86400))


def _of_patient(role: str, scene: Scene) -> Value:
    who = scene.patient
    if role == "birth_date":
        return Value(who.birth_date.strftime("%Y%m%d"))
    if role == "age":
        return Value(f"{_age(who.birth_date, scene.moment('study').date()):03d}Y")
    if role == "name":
        return Value(who.name, who.script + ((who.family, who.given) if who.family not in who.script else ()))
    value = str(getattr(who, role))
    names = tuple(part for part in value.replace("^", " ").split() if len(part) > 3)
    return Value(value, names if role in {"former_name", "mother"} else (value,))


def _age(birth: date, day: date) -> int:
    return max(0, day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day)))


def _bytes(role: str, scene: Scene) -> Value:
    who = scene.patient
    hidden = f"{who.family}^{who.given}|{who.id}"
    if role == "patient":
        return Value(b"SV10\4\3\2\1" + hidden.encode("utf-8") + b"\0" * (len(hidden.encode()) % 2), (who.family,))
    if role == "icon":
        return Value(bytes(range(64)))
    return Value(dice(*scene.scope("instance"), "overlay").randbytes(8))


def _text(kind: str, vr: str, scene: Scene, spot: str) -> Value:
    roll = dice(*scene.scope("series"), "text", spot)
    phrase = roll.choice(scene.words["phrases"][kind])
    limit = LENGTHS.get(vr, 400)
    while len(phrase) > limit:
        phrase = phrase.rsplit(" ", 1)[0]
    keep = tuple(phrase.replace(",", "").split())
    if roll.random() < 0.35:
        return Value(phrase, (), keep)
    tail = roll.choice(scene.words["tails"]["long" if limit > 16 else "short"])
    fields = _fields(scene)
    # An identifier that the phrase holds as well cannot be removed and kept at once.
    used = tuple(fields[name] for name in fields if "{" + name + "}" in tail)
    parts = tuple(part for value in used for part in _spoken(value))
    text = phrase + tail.format(**fields)
    if len(text.encode()) > limit or any(part.casefold() in phrase.casefold() for part in parts):
        return Value(phrase, (), keep)
    return Value(text, parts, keep)


def _spoken(value: str) -> tuple[str, ...]:
    """What of an inserted value must be gone: each name of a name, the whole of a number, date or address."""
    if value.replace(" ", "").replace(",", "").replace("-", "").isalpha():
        return tuple(part for part in value.replace(",", " ").split() if len(part) > 2)
    return (value,)


def _fields(scene: Scene) -> dict[str, str]:
    who, last = scene.patient, scene.person("referring")[0]
    seen = scene.moment("earlier")
    return {
        "family": who.family, "given": who.given, "family_upper": who.family.upper(), "given_upper": who.given.upper(),
        "name_natural": f"{who.given} {who.family}", "name_reversed": f"{who.family}, {who.given}",
        "id": who.id, "phone": who.phone, "email": who.email, "address": who.address, "physician": last,
        "accession": scene.identifier("accession"), "date_dotted": f"{seen:%d.%m.%Y}", "date_iso": f"{seen:%Y-%m-%d}",
        "date_slash": f"{seen:%d/%m/%Y}", "date_named": f"{seen:%d-%b-%Y}",
    }  # fmt: skip


def _numbers(maker: str, vr: str, roll: Any) -> Any:
    body, _, count = maker[1:].partition(" x")
    low, _, rest = body.partition("..")
    high, _, places = rest.partition(":")
    if maker[0] == "#":
        drawn: list[Any] = [roll.randint(int(low), int(high)) for _ in range(int(count or 1))]
    else:
        drawn = [round(roll.uniform(float(low), float(high)), int(places)) for _ in range(int(count or 1))]
    return _typed([f"{number:.{places}f}" if places else str(number) for number in drawn], vr)


def _typed(texts: list[str], vr: str) -> Any:
    convert = {"US": int, "SS": int, "UL": int, "SL": int, "FL": float, "FD": float, "AT": int}.get(vr, str)
    values = [] if texts == [""] else [convert(text) for text in texts]
    return values[0] if len(values) == 1 else values or ""
