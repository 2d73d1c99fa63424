"""Step 3 of 7: where each frame of an object is to be masked: text on every frame that differs, templates, regions."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gateway.deid.canvas import ONE_LOOK, Pair, both
from gateway.deid.fill import without_unused
from gateway.errors import NotSanitizable
from gateway.ingest.mask import Mask

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway.deid.canvas import Picture
    from gateway.deid.look import Look
    from gateway.deid.pixel_policy import ClassLooks, PixelPolicy
    from gateway.ingest.codecs import Stored
    from gateway.ingest.patch import Patch
    from gateway.ingest.stored import StoredPixels

_RECURS = 0.3
"""Share of the frames that differ in which the same place must hold text for it to be masked in all: what stands still
in a cine was overlooked where it was not found."""


@dataclass(slots=True)
class Tally:
    """What was looked at and masked, for the report. Grows while the object is written.

    Attributes:
        looked_at: Distinct frames that the detector saw.
        regions: Text regions found in them.
        frames_masked: Frames with a mask.
        share: Largest share of one frame that was masked, 0 to 1.
        seconds: Time of the looks.
    """

    looked_at: int = 0
    regions: int = 0
    frames_masked: int = 0
    share: float = 0.0
    seconds: float = 0.0


@dataclass(slots=True)
class Survey:
    """The first look at an object.

    Attributes:
        photometric: What decoded frames are.
        always: What is masked in every frame.
        masks: What else is masked, by frame number; frames that are equal share theirs.
        unused: Whether bits above Bits Stored hold something.
    """

    photometric: str = ""
    always: Mask | None = None
    masks: dict[int, Mask] = field(default_factory=dict)
    unused: bool = False

    @property
    def changes(self) -> bool:
        """Whether any stored value has to change."""
        return self.unused or self.always is not None or bool(self.masks)

    def mask(self, number: int) -> Mask | None:
        """What is masked in one frame; None for nothing."""
        own = self.masks.get(number)
        if own is None or self.always is None:
            return self.always if own is None else own
        return own | self.always


class Surveyor:
    """Looks at objects under one policy."""

    def __init__(self, policy: PixelPolicy, look: Look) -> None:
        self._policy = policy
        self._look = look

    def survey(self, pixels: StoredPixels, looks: ClassLooks, always: Mask | None, tally: Tally) -> Survey:
        """Look at every frame that differs from all before.

        Args:
            pixels: Of the object.
            looks: How closely.
            always: What is masked whatever is found.
            tally: Counted in.

        Raises:
            NotSanitizable: Text covers more of a frame than the policy lets be masked, or the detector failed.
            Unreadable: A frame cannot be decoded.
        """
        header = pixels.source.header
        survey = Survey(always=always)
        done: dict[bytes, Mask | None] = {}
        key = b""
        times: npt.NDArray[np.uint16] | None = None
        for number, decoded, photometric in pixels.decoded():
            survey.photometric = photometric
            stored = without_unused(decoded, header)
            # Decoding native samples clears those bits, so they are looked for where they stand.
            raw = pixels.source.samples(number)
            survey.unused |= stored is not decoded or (raw is not None and without_unused(raw, header) is not raw)
            pictures: Iterable[Picture] = renderings(pixels, number, stored, photometric, looks)
            if header.frames > 1:  # else one rendering is in memory at a time
                pictures = looked = [picture[:, :] for picture in pictures]
                key = digest(stored, *looked)
            del decoded, stored, raw  # of a large frame no more is in memory than is looked at
            if key not in done:
                mask = done[key] = self.mask(pictures, looks, tally)
                tally.looked_at += 1
                if mask is not None and header.frames > 1:
                    times = np.zeros(mask.shape, np.uint16) if times is None else times
                    times += mask.whole() & (times < np.iinfo(np.uint16).max)
            if (found := done[key]) is not None:
                survey.masks[number] = found
        if times is not None and (still := times >= max(2.0, _RECURS * len(done))).any():
            survey.always = Mask.of(still) if always is None else Mask.of(still) | always
        return survey

    def mask(
        self, pictures: Iterable[Picture], looks: ClassLooks, tally: Tally, *, masked: Mask | None = None
    ) -> Mask | None:
        """The text in one frame, by its renderings; ``masked`` as in ``Look.cover``."""
        began = perf_counter()
        cover, regions = self._look.cover(pictures, looks, self._policy.pad, masked=masked)
        tally.seconds += perf_counter() - began
        tally.regions += regions
        if cover is not None and cover.mean() > self._policy.share_cap:
            raise NotSanitizable(
                f"Text covers more of a frame than the policy's cap of {self._policy.share_cap:.0%} lets be masked"
            )
        return None if cover is None else Mask.of(cover)


def renderings(
    pixels: StoredPixels,
    number: int,
    stored: Stored,
    photometric: str,
    looks: ClassLooks,
    *,
    patch: Patch | None = None,
) -> Iterator[Picture]:
    """What is looked at, in one look: the frame as a person would see it, and all its values if the policy says so.

    ``patch`` is as in ``StoredPixels.show``. A large frame that is the only one is rendered while it is looked at.
    """
    header = pixels.source.header
    large = header.frames == 1 and header.rows * header.columns > ONE_LOOK
    every = pixels.show_all(number, stored, photometric, patch) if looks.full_range else None
    if large:
        shown = pixels.piecewise(number, stored, photometric, patch)
        picture: list[Picture] = [shown if every is None else Pair(shown, every)]
        del shown, stored, every
        yield picture.pop()  # and no longer held here
    else:
        small = pixels.show(number, stored, photometric, patch)
        yield small if every is None else both(small, every.whole())


def digest(*arrays: npt.NDArray[Any]) -> bytes:
    """One digest of several arrays, whose types and shapes are those of one object's frames."""
    each = b"".join(hashlib.sha256(np.ascontiguousarray(array).data).digest() for array in arrays)
    return hashlib.sha256(each).digest()
