"""Step 2 of 7: which frames of a multi-frame object are wanted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, Self

from gateway.errors import ImageTooLarge, InvalidParameter

MAX_TEXT = 256
_LIST = re.compile(r"[1-9][0-9]{0,5}(?:,[1-9][0-9]{0,5})*", re.ASCII)


@dataclass(frozen=True)
class FrameSelection:
    """A wish, made before the number of frames is known.

    Attributes:
        kind: ``all``, ``middle`` or ``list``.
        numbers: Frame numbers for ``list``, 1-based as in DICOM, sorted and unique.
    """

    kind: Literal["all", "middle", "list"] = "all"
    numbers: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """``all`` (also when absent), ``middle``, or frame numbers such as ``1,5,9``.

        Raises:
            InvalidParameter: Anything else, or longer than 256 characters.
        """
        if text is None or text == "all":
            return cls()
        if text == "middle":
            return cls("middle")
        if len(text) <= MAX_TEXT and _LIST.fullmatch(text):
            return cls("list", tuple(sorted({int(number) for number in text.split(",")})))
        raise InvalidParameter("frames takes: all, middle, or frame numbers from 1 such as 1,5,9", parameter="frames")

    def resolve(self, total: int, limit: int) -> tuple[int, ...]:
        """The frame numbers for an object of ``total`` frames, 1-based and ascending.

        Of an even number of frames, ``middle`` is the earlier of the two in the middle.

        Raises:
            InvalidParameter: A number is beyond the last frame.
            ImageTooLarge: More than ``limit`` frames.
        """
        if self.kind == "middle":
            return ((total + 1) // 2,)
        if self.kind == "all":
            if total > limit:
                raise ImageTooLarge(
                    f"The object has more than the {limit} frames that are taken at once;"
                    " choose some with frames=middle or frames=1,5,9",
                    limit=limit,
                )
            return tuple(range(1, total + 1))
        if len(self.numbers) > limit:
            raise ImageTooLarge(f"frames names more than the {limit} frames that are taken at once", limit=limit)
        if self.numbers[-1] > total:
            raise InvalidParameter("frames goes beyond the object's last frame", parameter="frames")
        return self.numbers
