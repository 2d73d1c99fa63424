"""Step 2 of 7: of what kind an image is. The modality counts if the standard knows it: free text could be a name."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from gateway.ingest.values import first

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


@cache
def defined_terms() -> frozenset[str]:
    """The Defined Terms of Modality (0008,0060), PS3.3 C.7.3.1.1.1, retired ones included."""
    lines = (files("gateway.ingest") / "data" / "modalities.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(term for line in lines if not line.startswith("#") for term in line.split())


def modality(dataset: Dataset) -> str | None:
    """Modality if it is a Defined Term, else None."""
    value = first(dataset, 0x00080060)
    return value if isinstance(value, str) and value in defined_terms() else None


def body_part(dataset: Dataset) -> str | None:
    """Body Part Examined (0018,0015) as it is there, in capitals; None if it says nothing."""
    value = first(dataset, 0x00180015)
    return value.strip().upper() or None if isinstance(value, str) else None
