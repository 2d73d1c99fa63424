"""Step 3 of 7: frames with their burned-in text masked in black. Equal frames are looked at once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from gateway.deid.text import TextDetector, TextRegion
from gateway.errors import GatewayError, NotSanitizable

if TYPE_CHECKING:
    from gateway.deid.pixel_policy import Looks, PixelPolicy
    from gateway.ingest.image import DisplayFrame, IdentifiableImage


@dataclass(frozen=True, slots=True)
class MaskedFrames:
    """What became of the selected frames.

    Attributes:
        frames: In the order of their numbers; uint8 [height, width] or [height, width, 3].
        looked_at: Distinct frames that the detector saw.
        regions: Text regions masked in them.
        share: Largest share of one frame that was masked, 0 to 1.
        seconds: Time of the looks.
    """

    frames: tuple[DisplayFrame, ...] = field(repr=False)
    looked_at: int = 0
    regions: int = 0
    share: float = 0.0
    seconds: float = 0.0


class PixelMasker:
    """Masks by one policy. The detector is loaded at the first look and kept."""

    def __init__(self, policy: PixelPolicy) -> None:
        self._policy = policy
        self._detector: TextDetector | None = None

    def mask(self, image: IdentifiableImage) -> MaskedFrames:
        """Decode every selected frame and mask the text in it.

        Raises:
            NotSanitizable: Over the share cap, or the detector failed.
            Unreadable: From the decoder.
        """
        policy = self._policy
        if not policy.look:
            return MaskedFrames(tuple(frame for _, frame in image.frames()))
        looks = policy.single_frame if len(image.frame_numbers) == 1 else policy.multi_frame
        done: dict[bytes, DisplayFrame] = {}
        frames, regions, share, seconds = [], 0, 0.0, 0.0
        for _, frame in image.frames():
            key = hashlib.sha256(repr(frame.shape).encode() + np.ascontiguousarray(frame).tobytes()).digest()
            if key not in done:
                began = perf_counter()
                found = self._look(frame, looks)
                seconds += perf_counter() - began
                done[key], masked = _masked(frame, found, policy.pad, looks.upright)
                regions += len(found)
                share = max(share, masked)
                if share > policy.share_cap:
                    raise NotSanitizable(
                        f"Text covers more of a frame than the policy's cap of {policy.share_cap:.0%} lets be masked"
                    )
            frames.append(done[key])
        return MaskedFrames(tuple(frames), len(done), regions, share, seconds)

    def _look(self, frame: DisplayFrame, looks: Looks) -> list[TextRegion]:
        try:
            if self._detector is None:
                self._detector = TextDetector()
            return self._detector.regions(frame, looks.upright, looks.turned)
        except (GatewayError, MemoryError):
            raise
        except Exception as error:
            raise NotSanitizable("The text detector failed, and the policy is to refuse then") from error


def _masked(frame: DisplayFrame, regions: list[TextRegion], pad: int, side: int) -> tuple[DisplayFrame, float]:
    """The frame with its regions filled black, and their share of its area. The frame given is not changed."""
    if not regions:
        return frame, 0.0
    scale = max(max(frame.shape[:2]) / side, 0.5)
    cover: npt.NDArray[np.uint8] = np.zeros(frame.shape[:2], np.uint8)
    for region in regions:
        cv2.fillPoly(cover, [np.rint(region.corners(pad * scale)).astype(np.int32)], 1)
    clean = frame.copy()
    clean[cover > 0] = 0
    return clean, float(cover.mean())
