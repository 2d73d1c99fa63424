"""The batch tool: one frame as it is and as it would leave. Runs in a worker process.

What is masked is what differs between the two, so the picture cannot differ from what the tool does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from gateway.batch.montage import Box, Picture, rgb
from gateway.batch.work import Task, engine_of, tie_to, upload
from gateway.deid.fill import without_unused
from gateway.deid.templates import Templates, ultrasound_regions
from gateway.errors import GatewayError, InvalidParameter, NoPixels
from gateway.ingest.decode import decode_object
from gateway.ingest.spread import spread
from gateway.ingest.upload import Upload

if TYPE_CHECKING:
    from gateway.deid.report import DeidReport
    from gateway.ingest.image import DisplayFrame
    from gateway.ingest.object import IdentifiableObject

_NEAR = 9
"""Pixels: changes closer together than this are shown as one region. A mask changes nothing where it covers black, so
of a line of print only its letters differ."""

_ULTRASOUND = "outside-ultrasound-regions"
"""As the report calls it."""


@dataclass(frozen=True, slots=True)
class Look:
    """What to look at.

    Attributes:
        task: The file.
        frame: Number of the frame, from 1.
    """

    task: Task
    frame: int


@dataclass(frozen=True, slots=True)
class Region:
    """One region that is masked.

    Attributes:
        source: ``text`` that was found, ``template`` of the device, or ``ultrasound``: beside the regions that the
            object declares.
        box: Where.
    """

    source: str
    box: Box


@dataclass(frozen=True, slots=True)
class Seen:
    """What a worker hands back. Identifying: it holds the original picture.

    Attributes:
        frames: Frames in the object.
        original: The frame as it is.
        result: The frame as it would leave; None if it would not.
        regions: What is masked in it, from the top.
        share: Part of the frame that is changed, 0 to 1.
        refused: Why it would not leave; empty if it would.
        report: What would be done to the object; None if it would not leave.
    """

    frames: int
    original: Picture = field(repr=False)
    result: Picture | None = field(default=None, repr=False)
    regions: tuple[Region, ...] = ()
    share: float = 0.0
    refused: str = ""
    report: DeidReport | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    """One frame as a person would see it, and as it is stored."""

    shown: DisplayFrame
    stored: npt.NDArray[np.generic]
    photometric: str


def look(wanted: Look) -> Seen:
    """De-identify a file, and show one frame before and after.

    Raises:
        NoPixels: It has no picture.
        InvalidParameter: It has fewer frames.
        CallerError: As by ``decode_object``.
    """
    task, number = wanted.task, wanted.frame
    tie_to(task.parent)
    found = decode_object(upload(task), task.limits)
    if not found.total_frames:
        raise NoPixels("The file holds no picture")
    if number > found.total_frames:
        raise InvalidParameter(f"The file has no frame of that number; it has {found.total_frames}")
    before = _frame(found, number)
    original = rgb(before.shown)
    engine = engine_of(task.deid)
    try:
        done = engine.deidentify_object(found, tenant=task.tenant)
    except GatewayError as error:
        return Seen(found.total_frames, original, refused=error.detail or error.title)
    after = _frame(decode_object(Upload(done.data), task.limits), number)
    changed = _changed(before, after)
    templates = Templates()
    if done.report.templates:
        templates = Templates.beside(task.deid.policy, engine.policy.pixels.whole.templates)
    return Seen(
        frames=found.total_frames,
        original=original,
        result=rgb(after.shown),
        regions=_regions(changed, found, templates, ultrasound=_ULTRASOUND in done.report.templates),
        share=float(changed.mean()),
        report=done.report,
    )


def _frame(found: IdentifiableObject, number: int) -> _Frame:
    if found.raster is not None:
        picture, _ = found.raster.stored()
        shown = picture.astype(np.uint8, copy=False) if picture.dtype == np.uint8 else spread(picture)
        return _Frame(shown, picture, "")
    assert found.pixels is not None
    stored, photometric = found.pixels.decode(number)
    shown = found.pixels.show(number, stored, photometric)
    return _Frame(shown, without_unused(stored, found.pixels.source.header), photometric)


def _changed(before: _Frame, after: _Frame) -> npt.NDArray[np.bool_]:
    """By stored values where they can be set side by side: what is shown may change with the window."""
    one, other = before.stored, after.stored
    if before.photometric != after.photometric or one.shape != other.shape or one.dtype.kind != other.dtype.kind:
        one, other = rgb(before.shown), rgb(after.shown)
    differs: npt.NDArray[np.bool_] = one != other
    return np.asarray(differs.any(axis=2)) if differs.ndim == 3 else differs


def _regions(
    changed: npt.NDArray[np.bool_], found: IdentifiableObject, templates: Templates, *, ultrasound: bool
) -> tuple[Region, ...]:
    rest = changed.copy()
    regions = []
    if found.dataset is not None:
        height, width = changed.shape
        for left, top, far, low in templates.of(found.dataset)[1]:
            right, bottom = min(far, width), min(low, height)
            if changed[top:bottom, left:right].any():
                regions.append(Region("template", (left, top, right - left, bottom - top)))
                rest[top:bottom, left:right] = False
        if ultrasound:
            outside = np.ones_like(changed)
            for left, top, right, bottom in ultrasound_regions(found.dataset):
                outside[top:bottom, left:right] = False
            regions += [Region("ultrasound", box) for box in _boxes(rest & outside)]
            rest &= ~outside
    regions += [Region("text", box) for box in _boxes(rest)]
    return tuple(sorted(regions, key=lambda region: (region.box[1], region.box[0])))


def _boxes(changed: npt.NDArray[np.bool_]) -> list[Box]:
    around = cv2.dilate(changed.astype(np.uint8), np.ones((_NEAR, _NEAR), np.uint8))
    count, labels = cv2.connectedComponents(around)
    boxes = []
    for number in range(1, count):
        rows, columns = np.nonzero((labels == number) & changed)
        left, top = int(columns.min()), int(rows.min())
        boxes.append((left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1))
    return boxes
