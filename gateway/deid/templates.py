"""Step 3 of 7: regions that are masked by device, from ``pixels.yaml``; and those that ultrasound objects declare."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import Field, ValidationError, model_validator

from gateway.deid.policy_lines import Lines
from gateway.deid.strict import Strict
from gateway.deid.values import texts
from gateway.ingest.values import integer, items

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Box: TypeAlias = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom exclusive."""

_SHIPPED = Path(__file__).resolve().parents[2] / "policies" / "deid"
_TEXTS = {
    "modality": 0x00080060,
    "manufacturer": 0x00080070,
    "model": 0x00081090,
    "image_type": 0x00080008,
    "series_description": 0x0008103E,
    "burned_in": 0x00280301,
    "dose_comment": 0x00400310,
}
_NUMBERS = {"rows": 0x00280010, "columns": 0x00280011}
_WINDOW_WIDTH = 0x00281051
_REGIONS = 0x00186011
_CORNERS = (0x00186018, 0x0018601A, 0x0018601C, 0x0018601E)

_Words = Annotated[tuple[Annotated[str, Field(pattern=r"^[^a-z]{2,64}$")], ...], Field(strict=False, min_length=1)]
_Number = Annotated[int, Field(ge=1, le=0xFFFF)]
_Offset = Annotated[int, Field(ge=0, le=0xFFFF)]


class When(Strict):
    """What an object must say for a template to hold; all that is given must fit.

    Attributes:
        modality, burned_in: Equal, in capitals.
        manufacturer, model, image_type, series_description, dose_comment: Contains one of these, in any case.
        rows, columns, window_width: Equal.
    """

    modality: Annotated[str, Field(pattern=r"^[A-Z]{2,16}$")] | None = None
    burned_in: Literal["YES", "NO"] | None = None
    manufacturer: _Words | None = None
    model: _Words | None = None
    image_type: _Words | None = None
    series_description: _Words | None = None
    dose_comment: _Words | None = None
    rows: _Number | None = None
    columns: _Number | None = None
    window_width: _Number | None = None

    @model_validator(mode="after")
    def _names_something(self) -> When:
        if not self.model_fields_set:
            raise ValueError("must name at least one attribute, or it would hold for every object")
        return self

    def fits(self, dataset: Dataset) -> bool:
        """Whether it holds for a data set."""
        for name, tag in _TEXTS.items():
            wanted = getattr(self, name)
            if wanted is None:
                continue
            said = [text.upper() for text in texts(dataset.get_item(tag))] if tag in dataset else []
            if isinstance(wanted, str):
                if said[:1] != [wanted]:
                    return False
            elif not any(word in value for word in wanted for value in said):
                return False
        if any(
            (wanted := getattr(self, name)) is not None and integer(dataset, tag) != wanted
            for name, tag in _NUMBERS.items()
        ):
            return False
        return self.window_width is None or _width(dataset) == self.window_width


class Template(Strict):
    """One device's regions.

    Attributes:
        name: For the report.
        source: Where the rectangles were published, or ``site``.
        when: For which objects.
        mask: Left, top, width, height of each.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    source: Literal["ctp", "deid", "site"]
    when: When
    mask: Annotated[
        tuple[Annotated[tuple[_Offset, _Offset, _Number, _Number], Field(strict=False)], ...],
        Field(strict=False, min_length=1),
    ]


class TemplateFile(Strict):
    """All of them; names differ."""

    templates: Annotated[tuple[Template, ...], Field(strict=False)]

    @model_validator(mode="after")
    def _names_differ(self) -> TemplateFile:
        names = [template.name for template in self.templates]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"templates: two have the name {min(twice)}")
        return self


@dataclass(frozen=True, slots=True)
class Templates:
    """The templates of a policy.

    Attributes:
        all: In their order.
        content: The file's bytes, for the policy's digest.
    """

    all: tuple[Template, ...] = ()
    content: bytes = field(default=b"", repr=False)

    @classmethod
    def load(cls, path: Path) -> Templates:
        """Read and check a file.

        Raises:
            ValueError: Names the file, the line, and the field that is wrong.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
        lines = Lines.of(path, content)
        if not isinstance(lines.document, dict):
            raise ValueError(f"{path} line 1: must be a mapping with the field templates")  # noqa: TRY004 - one type for a bad policy
        try:
            return cls(TemplateFile.model_validate(lines.document).templates, content)
        except ValidationError as error:
            raise ValueError(lines.problems(error)) from error

    @classmethod
    def beside(cls, policy: Path, name: str) -> Templates:
        """The file of that name beside a policy; if there is none, the one of that name that Cordon ships.

        Raises:
            ValueError: As ``load``.
        """
        path = policy.with_name(name)
        shipped = _SHIPPED / name
        return cls.load(shipped if not path.exists() and shipped.exists() else path)

    def of(self, dataset: Dataset) -> tuple[tuple[str, ...], tuple[Box, ...]]:
        """Names of the templates that hold for a data set, and their regions."""
        fitting = [template for template in self.all if template.when.fits(dataset)]
        boxes = tuple((x, y, x + width, y + height) for each in fitting for x, y, width, height in each.mask)
        return tuple(template.name for template in fitting), boxes


def ultrasound_regions(dataset: Dataset) -> tuple[Box, ...]:
    """The regions of Sequence of Ultrasound Regions (PS3.3 C.8.5.5): where data stand, not print around them.

    Only those that lie in the picture the right way round; their far corners belong to them.
    """
    found = []
    for item in items(dataset, _REGIONS):
        left, top, right, bottom = (integer(item, tag) for tag in _CORNERS)
        if left is None or top is None or right is None or bottom is None:
            continue
        if 0 <= left <= right and 0 <= top <= bottom:
            found.append((left, top, right + 1, bottom + 1))
    return tuple(found)


def _width(dataset: Dataset) -> float | None:
    said = texts(dataset.get_item(_WINDOW_WIDTH)) if _WINDOW_WIDTH in dataset else []
    try:
        return float(said[0]) if said else None
    except ValueError:
        return None
