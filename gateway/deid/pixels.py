"""Step 3 of 7: frames with their burned-in text masked in black. Equal frames are looked at once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from math import ceil
from time import perf_counter
from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np

from gateway.deid.look import Look, covered
from gateway.deid.pixel_policy import Looks
from gateway.errors import NotSanitizable

if TYPE_CHECKING:
    from gateway.deid.pixel_policy import PixelPolicy
    from gateway.deid.regions import TextRegion
    from gateway.ingest.image import DisplayFrame, IdentifiableImage
    from gateway.ingest.mask import Cover


LEAVES = 224
"""Pixels of the longer side of what leaves for the model, for which a policy states its looks."""

Outline: TypeAlias = tuple[tuple[int, int], ...]
"""The corners of an area, x and y in pixels of a frame, in order."""
_CORNER = 1.0
"""Pixels by which an outline may lie beside its area: a slanting edge has few corners then."""


@dataclass(frozen=True, slots=True)
class MaskedFrames:
    """What became of the selected frames.

    Attributes:
        frames: In the order of their numbers; uint8 [height, width] or [height, width, 3].
        looked_at: Distinct frames that the detector saw.
        regions: Text regions masked in them.
        share: Largest share of one frame that was masked, 0 to 1.
        seconds: Time of the looks.
        frames_masked: Frames with a mask.
        masks: The outlines of each frame's masks; as many as there are frames, or none at all.
    """

    frames: tuple[DisplayFrame, ...] = field(repr=False)
    looked_at: int = 0
    regions: int = 0
    share: float = 0.0
    seconds: float = 0.0
    frames_masked: int = 0
    masks: tuple[tuple[Outline, ...], ...] = ()


class PixelMasker:
    """Masks by one policy."""

    def __init__(self, policy: PixelPolicy, look: Look) -> None:
        self._policy = policy
        self._look = look

    def mask(self, image: IdentifiableImage, leaves: int = LEAVES) -> MaskedFrames:
        """Decode every selected frame and mask the text in it.

        Args:
            image: What ingest decoded.
            leaves: The longer side of what leaves for the model, pixels.

        Raises:
            NotSanitizable: Over the share cap, or the detector failed.
            Unreadable: From the decoder.
        """
        policy = self._policy
        if not policy.look:
            return MaskedFrames(tuple(frame for _, frame in image.frames()))
        signed = policy.single_frame if len(image.frame_numbers) == 1 else policy.multi_frame
        looks = _closer(signed, leaves)
        done: dict[bytes, tuple[DisplayFrame, tuple[Outline, ...]]] = {}
        frames, masks, regions, share, seconds, changed = [], [], 0, 0.0, 0.0, 0
        for _, frame in image.frames():
            said = hashlib.sha256(repr(frame.shape).encode())
            said.update(np.ascontiguousarray(frame).data)
            key = said.digest()
            if key not in done:
                began = perf_counter()
                found = self._look.regions(frame, looks.upright, looks.turned)
                seconds += perf_counter() - began
                clean, outlines, masked = _masked(frame, found, policy.pad, looks.upright)
                done[key] = clean, outlines
                regions += len(found)
                share = max(share, masked)
                if share > policy.share_cap:
                    raise NotSanitizable(
                        f"Text covers more of a frame than the policy's cap of {policy.share_cap:.0%} lets be masked"
                    )
            clean, outlines = done[key]
            frames.append(clean)
            masks.append(outlines)
            changed += clean is not frame
        return MaskedFrames(tuple(frames), len(done), regions, share, seconds, changed, tuple(masks))


def _closer(signed: Looks, leaves: int) -> Looks:
    """The policy's looks, as many times as large as what leaves is larger than what they were measured for."""
    if leaves <= LEAVES:
        return signed
    turned = None if signed.turned is None else ceil(signed.turned * leaves / LEAVES)
    return Looks.model_construct(upright=ceil(signed.upright * leaves / LEAVES), turned=turned)


def _masked(
    frame: DisplayFrame, regions: list[TextRegion], pad: int, side: int
) -> tuple[DisplayFrame, tuple[Outline, ...], float]:
    """The frame with its regions black, their outlines and their share of its area. The one given is not changed."""
    if not regions:
        return frame, (), 0.0
    scale = max(max(frame.shape[:2]) / side, 0.5)
    cover = covered(frame.shape, regions, pad * scale)
    clean = frame.copy()
    clean[cover] = 0
    return clean, _outlines(cover), float(cover.mean())


def _outlines(cover: Cover) -> tuple[Outline, ...]:
    around, _ = cv2.findContours(cover.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    corners = (cv2.approxPolyDP(contour, _CORNER, closed=True)[:, 0].tolist() for contour in around)
    return tuple(tuple((x, y) for x, y in each) for each in corners)
