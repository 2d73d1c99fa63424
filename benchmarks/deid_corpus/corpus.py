"""De-identification benchmark: the instances. The same seed gives the same bytes; nothing is kept in the repository."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import TYPE_CHECKING

from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from benchmarks.deid_corpus.build import as_text, header
from benchmarks.deid_corpus.people import dice, patient
from benchmarks.deid_corpus.pixels import add_pixels
from benchmarks.deid_corpus.tables import rows, vocabulary
from benchmarks.deid_corpus.values import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom.dataset import Dataset

    from benchmarks.deid_corpus.build import Fact
    from benchmarks.deid_corpus.codes import OptionSet
    from benchmarks.deid_corpus.people import Patient
    from benchmarks.deid_corpus.pixels import Line

FULL = 560
"""Instances of the whole corpus: forty of each of the fourteen kinds."""
PATIENTS, SERIES_LENGTH, FRAMES = 36, 4, 3
SYNTAXES = (*[ExplicitVRLittleEndian] * 6, *[ImplicitVRLittleEndian] * 2, RLELossless, DeflatedExplicitVRLittleEndian)


@dataclass(frozen=True, slots=True, eq=False)
class Instance:
    """One generated file, with all that is known of it.

    Attributes:
        name: Kind and number, e.g. ``CT-0014``; says nothing of the patient.
        kind: Kind, as in kinds.csv.
        patient: Whose.
        data: The file.
        facts: Every element placed in it.
        lines: Burned-in text.
        has_image: There is an image in it.
        identifiers: Strings that may be found nowhere in the output, at least four characters and no common words, by
            the option that keeps them: empty, ``institution`` or ``device``.
    """

    name: str
    kind: str
    patient: Patient
    data: bytes = field(repr=False)
    facts: tuple[Fact, ...] = field(repr=False)
    lines: tuple[Line, ...] = field(repr=False)
    has_image: bool
    identifiers: dict[str, tuple[str, ...]] = field(repr=False)

    def forbidden(self, options: OptionSet) -> tuple[str, ...]:
        """Strings that may be found nowhere in the output under some options."""
        return tuple(
            text for kept_by, texts in self.identifiers.items() if kept_by not in options.options for text in texts
        )


def corpus(
    count: int = FULL,
    *,
    seed: int = 1,
    burned_in: bool = False,
    kinds: tuple[str, ...] = (),
    words: str = "vocabulary",
) -> Iterator[Instance]:
    """The instances: series of up to four, kinds in turn, patients with several studies.

    Args:
        count: How many.
        seed: Another seed gives other patients, values and choices.
        burned_in: Write text into the images, and make them large enough for it.
        kinds: Only these; all by default.
        words: ``vocabulary``, ``held-out`` or ``held-out-2``.
    """
    spoken = vocabulary(words)
    chosen = [row for row in rows("kinds") if not kinds or row["kind"] in kinds]
    for number in range(count):
        run, index = divmod(number, SERIES_LENGTH)
        kind = chosen[run % len(chosen)]
        # Every third run is another series of the study before it, of another kind.
        visit = run - run // 3
        who = patient(seed, visit % PATIENTS, spoken)
        scene = Scene(seed, spoken, who, study=visit // PATIENTS, series=run, instance=index, kind=kind)
        yield instance(scene, number, burned_in=burned_in)


def instance(scene: Scene, number: int, *, burned_in: bool = False) -> Instance:
    """One instance."""
    frames = FRAMES if scene.kind["pixels"].endswith("-frames") or scene.kind["pixels"] == "segments" else 1
    dataset, facts = header(scene, frames)
    lines = add_pixels(dataset, scene, frames, burned_in=burned_in)
    facts = [_windowed(fact, dataset) for fact in facts]
    return Instance(
        name=f"{scene.kind['kind']}-{number:04d}",
        kind=scene.kind["kind"],
        patient=scene.patient,
        data=_bytes(dataset, scene),
        facts=tuple(facts),
        lines=tuple(lines),
        has_image="PixelData" in dataset,
        identifiers=_identifiers(scene),
    )


def _windowed(fact: Fact, dataset: Dataset) -> Fact:
    """The window follows the pixels, which come last."""
    if fact.keyword in ("WindowCenter", "WindowWidth") and not fact.above:
        return replace(fact, text=as_text(dataset[fact.keyword].value))
    return fact


def _bytes(dataset: Dataset, scene: Scene) -> bytes:
    syntax = dice(*scene.scope("series"), "syntax").choice(SYNTAXES)
    if syntax == RLELossless and ("PixelData" not in dataset or dataset.BitsAllocated in (1, 32)):
        syntax = ExplicitVRLittleEndian
    if syntax == RLELossless:
        dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.file_meta.TransferSyntaxUID = syntax
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _identifiers(scene: Scene) -> dict[str, tuple[str, ...]]:
    who = scene.patient
    people = [scene.person(role)[0] for role in ("referring", "technician", "reading", "performing", "verifying")]
    names = [] if who.common_words else [who.family, who.given, *who.script]
    parts = [*(part for name in (who.former_name, who.mother) for part in name.split("^")[:1]), *names]
    numbers = [who.id, who.other_id, who.phone, who.email, who.address, scene.identifier("accession")]
    institution = [scene.place("institution"), scene.place("address")]
    said = {"": [*people, *parts, *numbers], "institution": institution, "device": [scene.place("station")]}
    return {
        kept_by: tuple(sorted({text for text in texts if len(text) > 3 or not text.isascii()}))
        for kept_by, texts in said.items()
    }
