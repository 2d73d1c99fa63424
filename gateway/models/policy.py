"""Around step 5 of 7: the form of ``policies/models.yaml``, and what is wrong in it by file and line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from gateway.deid.policy_lines import Lines

if TYPE_CHECKING:
    from pathlib import Path

Modality = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9_]{1,16}$")]
"""A Defined Term of Modality (0008,0060), value representation CS."""
BodyPart = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9_ ]{1,16}$")]
"""A term of Body Part Examined (0018,0015), PS3.16 Annex L, value representation CS."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class InputPolicy(_Strict):
    """How a model's tensor is made; see ``InputSpec``."""

    height: int = Field(ge=1, le=4096)
    width: int = Field(ge=1, le=4096)
    resize: Literal["squash"]


class ModelPolicy(_Strict):
    """One model; see ``ModelSpec``."""

    version: str = Field(pattern=r"^[1-9][0-9]*$")
    modalities: list[Modality]
    on_other_modality: Literal["refuse", "warn"]
    body_parts: list[BodyPart] = []
    on_other_body_part: Literal["refuse", "warn"] = "warn"
    temperature: float = Field(1.0, gt=0, le=100, strict=False)
    uncertain_below: float = Field(0.0, ge=0, le=1, strict=False)
    input: InputPolicy


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
