"""Step 4 of 7: whether the model was made for images of this kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import WrongModality

if TYPE_CHECKING:
    from gateway.catalog import ModelSpec


def check_modality(modality: str | None, model: ModelSpec) -> tuple[str, ...]:
    """Compare Modality (0008,0060) with what the model takes.

    Args:
        modality: A Defined Term of PS3.3 C.7.3.1.1.1; None if the image does not say (JPEG and PNG never do).
        model: The model asked for.

    Returns:
        Warnings for the answer; none if the modality fits or the model takes all.

    Raises:
        WrongModality: The image is of another modality and the model's policy is to refuse.
    """
    if not model.modalities or modality in model.modalities:
        return ()
    takes = ", ".join(sorted(model.modalities))
    if modality is None:
        return (f"The image does not say its modality; the model {model.name} was made for {takes}",)
    if model.on_other_modality == "refuse":
        raise WrongModality(f"The model {model.name} takes images of modality {takes} only")
    return (f"The image is of another modality than {takes}, for which the model {model.name} was made",)
