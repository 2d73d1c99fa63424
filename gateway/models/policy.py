"""Around step 5 of 7: the form of ``policies/models.yaml``, and what is wrong in it by file and line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from gateway.deid.policy_lines import Lines
from gateway.models.spec import Task

if TYPE_CHECKING:
    from pathlib import Path

Modality = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9_]{1,16}$")]
"""A Defined Term of Modality (0008,0060), value representation CS."""
BodyPart = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9_ ]{1,16}$")]
"""A term of Body Part Examined (0018,0015), PS3.16 Annex L, value representation CS."""


Version = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,8}$")]
"""As Triton names it: the number that its folder is called by."""
_Number = Annotated[float, Field(strict=False, allow_inf_nan=False)]
_Positive = Annotated[float, Field(strict=False, gt=0, allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class InputPolicy(_Strict):
    """How a model's tensor is made; see ``InputSpec``."""

    height: int = Field(ge=1, le=4096)
    width: int = Field(ge=1, le=4096)
    resize: Literal["squash", "letterbox"]
    colour: Literal["rgb", "grey"] = "rgb"
    layout: Literal["nhwc", "nchw"] = "nhwc"
    dtype: Literal["uint8", "float32"] = "uint8"
    divide_by: float = Field(255.0, gt=0, strict=False)
    mean: list[_Number] = Field([0.0], min_length=1)
    std: list[_Positive] = Field([1.0], min_length=1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        channels = 3 if self.colour == "rgb" else 1
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in {1, channels}:
                raise ValueError(f"{name} needs one number, or one for each of the {channels} channels")
        scaled = self.model_fields_set & {"divide_by", "mean", "std"}
        if self.dtype == "uint8" and scaled:
            raise ValueError(f"{', '.join(sorted(scaled))}: only float32 is scaled here; uint8 is sent as it is")
        return self


class VersionPolicy(_Strict):
    """One version: its share of the requests in percent, and what it has of its own."""

    weight: int = Field(ge=0, le=100)
    temperature: float | None = Field(None, gt=0, le=100, strict=False)
    uncertain_below: float | None = Field(None, ge=0, le=1, strict=False)


class ShadowPolicy(_Strict):
    """A version that is given copies of so many percent of the requests, and whose answers nobody is given."""

    version: Version
    share: int = Field(ge=1, le=100)


class DetectionPolicy(_Strict):
    """What of a detector's boxes is said; see ``DetectionSpec``."""

    confidence_threshold: float = Field(0.25, ge=0.01, le=1, strict=False)
    iou_threshold: float = Field(0.45, gt=0, le=1, strict=False)
    max_detections: int = Field(100, ge=1, le=300)


class ModelPolicy(_Strict):
    """One model; see ``ModelSpec``."""

    task: Task = "classification"
    versions: dict[Version, VersionPolicy] = Field(min_length=1)
    shadow: ShadowPolicy | None = None
    modalities: list[Modality]
    on_other_modality: Literal["refuse", "warn"]
    body_parts: list[BodyPart] = []
    on_other_body_part: Literal["refuse", "warn"] = "warn"
    temperature: float = Field(1.0, gt=0, le=100, strict=False)
    uncertain_below: float = Field(0.0, ge=0, le=1, strict=False)
    detection: DetectionPolicy = DetectionPolicy()
    input: InputPolicy

    @field_validator("versions", mode="before")
    @classmethod
    def _as_text(cls, versions: object) -> object:
        """A version is a folder's name; YAML reads one without quotes as a number."""
        if not isinstance(versions, dict):
            return versions
        return {str(key) if type(key) is int else key: value for key, value in versions.items()}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        together = sum(version.weight for version in self.versions.values())
        if together != 100:
            raise ValueError(f"the weights of the versions must be 100 together, and are {together}")
        if self.shadow is not None and self.shadow.version not in self.versions:
            raise ValueError(f"shadow: version {self.shadow.version} is not among the versions")
        if self.task == "detection" and (self.temperature != 1 or self.uncertain_below):
            raise ValueError("a detector has no temperature and no uncertain_below, but a confidence_threshold")
        if self.task != "detection" and "detection" in self.model_fields_set:
            raise ValueError("detection: the task is another")
        return self


class ModelsPolicy(_Strict):
    """The whole file."""

    default: str
    models: dict[str, ModelPolicy] = Field(min_length=1)


def read_policy(path: Path) -> tuple[ModelsPolicy, Lines]:
    """Read the file; the lines are for what is found wrong later.

    Raises:
        ValueError: It cannot be read or does not fit; names the file, the line and the field of each fault.
    """
    try:
        lines = Lines.of(path, path.read_bytes())
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    try:
        rules = ModelsPolicy.model_validate(lines.document)
    except ValidationError as error:
        raise ValueError(lines.problems(error)) from None
    if rules.default not in rules.models:
        raise fault(lines, ("default",), f"{rules.default} is not among the models")
    return rules, lines


def fault(lines: Lines, field: tuple[str | int, ...], message: str) -> ValueError:
    """What is wrong with a field, with its file and line."""
    at = field
    while at and at not in lines.at:
        at = at[:-1]
    return ValueError(f"{lines.path} line {lines.at.get(at, 1)}: {'.'.join(map(str, field))}: {message}")
