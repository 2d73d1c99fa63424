"""Step 4 of 7: whether the model was made for images of this kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import WrongBodyPart, WrongModality

if TYPE_CHECKING:
    from typing import Literal

    from gateway.errors import CallerError
    from gateway.models.spec import ModelSpec


def check_fitness(modality: str | None, body_part: str | None, model: ModelSpec) -> tuple[str, ...]:
    """Compare Modality (0008,0060) and Body Part Examined (0018,0015) with what the model takes.

    Args:
        modality: A Defined Term of PS3.3 C.7.3.1.1.1; None if the image does not say (JPEG and PNG never do).
        body_part: What the image says; None if nothing. Not repeated in any answer.
        model: The model asked for.

    Returns:
        Warnings for the answer; none if the image fits or the model takes all.

    Raises:
        WrongModality: The image is of another modality and the model's policy is to refuse.
        WrongBodyPart: Likewise for the part of the body.
    """
    return (
        *_check("modality", modality, model.modalities, model.on_other_modality, WrongModality, model.name),
        *_check("body part", body_part, model.body_parts, model.on_other_body_part, WrongBodyPart, model.name),
    )


def _check(  # noqa: PLR0917 - one sentence, six words of it
    what: str,
    found: str | None,
    taken: frozenset[str],
    other: Literal["refuse", "warn"],
    error: type[CallerError],
    model: str,
) -> tuple[str, ...]:
    if not taken or found in taken:
        return ()
    takes = ", ".join(sorted(taken))
    if found is None:
        return (f"The image does not say its {what}; the model {model} was made for {takes}",)
    if other == "refuse":
        raise error(f"The model {model} takes images of {what} {takes} only")
    return (f"The image is of another {what} than {takes}, for which the model {model} was made",)
