"""Step 2 of 7: the transfer syntaxes that are read (PS3.5 §10, PS3.6 Annex A), from data/transfer_syntaxes.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from gateway.errors import UnsupportedTransferSyntax

Codec = Literal["native", "jpeg", "jpeg-ls", "jpeg-2000", "rle", "deflated-frame"]


@dataclass(frozen=True, slots=True)
class TransferSyntax:
    """How a data set and its pixels are encoded.

    Attributes:
        uid: Its UID.
        name: Its name in PS3.6.
        codec: What decodes its pixels.
        little_endian: Byte order.
        deflated: Whether the whole data set is deflated.
    """

    uid: str
    name: str
    codec: Codec
    little_endian: bool = True
    deflated: bool = False

    @property
    def encapsulated(self) -> bool:
        """Whether Pixel Data is a sequence of fragments (PS3.5 A.4)."""
        return self.codec != "native"


@cache
def _table() -> dict[str, TransferSyntax]:
    text = (files("gateway.ingest") / "data" / "transfer_syntaxes.json").read_text(encoding="utf-8")
    return {row["uid"]: TransferSyntax(**row) for row in json.loads(text)}


def transfer_syntax(uid: str) -> TransferSyntax:
    """The transfer syntax of that UID. Raises UnsupportedTransferSyntax; the detail does not repeat the UID."""
    found = _table().get(uid)
    if found is None:
        raise UnsupportedTransferSyntax("No decoder is offered for the transfer syntax named in (0002,0010)")
    return found
