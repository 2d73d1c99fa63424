"""Pictures to be classified: drawn heads as JPEG, in three channels as most exported ones are, with EXIF that names."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from gateway.embedded.phantom import burn_in, head

if TYPE_CHECKING:
    from pathlib import Path

SIZES = ((1130, 1200), (512, 512), (224, 224))
"""Width and height. The first is that of many a photographed or exported film; the last is the model's own."""
_QUALITY = 90


@dataclass(frozen=True, slots=True)
class Picture:
    """One JPEG.

    Attributes:
        name: Its size, as tables name it.
        data: The file.
        path: Where it lies, for a script that reads it.
    """

    name: str
    data: bytes = field(repr=False)
    path: Path

    @property
    def form(self) -> tuple[bytes, str]:
        """A multipart/form-data body with it (RFC 7578), and its Content-Type."""
        head_of_part = (
            b'--cordonboundary\r\nContent-Disposition: form-data; name="image"; filename="picture.jpg"\r\n'
            b"Content-Type: image/jpeg\r\n\r\n"
        )
        return (
            head_of_part + self.data + b"\r\n--cordonboundary--\r\n",
            "multipart/form-data; boundary=cordonboundary",
        )


def pictures(folder: Path, *, burned_in: bool = False) -> list[Picture]:
    """One of each size, the same bytes each time.

    Args:
        folder: Where to write them.
        burned_in: Whether a name stands in the pixels too.
    """
    return [_picture(folder, *size, burned_in=burned_in) for size in SIZES]


def _picture(folder: Path, width: int, height: int, *, burned_in: bool) -> Picture:
    side = max(width, height)
    drawn = head(side)[:height, (side - width) // 2 :][:, :width]
    if burned_in:
        drawn = burn_in(drawn, [("EXAMPLE MARIA", side // 22), ("ID MRN-4471902", side // 26)])
    grey = Image.fromarray((drawn * 255).round().astype(np.uint8))
    exif = Image.Exif()
    exif[0x013B], exif[0x0131] = "Example Maria", "Exporter 4.2"  # Artist, Software
    output = io.BytesIO()
    grey.convert("RGB").save(output, "JPEG", quality=_QUALITY, exif=exif)
    name = f"{width}x{height}"
    path = folder / f"{name}.jpg"
    path.write_bytes(output.getvalue())
    return Picture(name, output.getvalue(), path)
