"""The batch tool: one frame as it is and as it would leave. Runs in a worker process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from gateway.batch.montage import Box, Picture, rgb
from gateway.batch.work import Task, engine_of, tie_to, upload
from gateway.errors import GatewayError, InvalidParameter, NoPixels
from gateway.ingest.decode import decode_object
from gateway.ingest.upload import Upload

if TYPE_CHECKING:
    from gateway.deid.report import DeidReport
    from gateway.ingest.image import DisplayFrame
    from gateway.ingest.object import IdentifiableObject

_NEAR = 9
"""Pixels: changes closer together than this are shown as one region. A mask changes nothing where it covers black, so
of a line of print only its letters differ."""


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
class Seen:
    """What a worker hands back. Identifying: it holds the original picture.

    Attributes:
        frames: Frames in the object.
        original: The frame as it is.
        result: The frame as it would leave; None if it would not.
        boxes: What is masked in it, from the top.
        share: Part of the frame that is changed, 0 to 1.
        refused: Why it would not leave; empty if it would.
        report: What would be done to the object; None if it would not leave.
    """

    frames: int
    original: Picture = field(repr=False)
    result: Picture | None = field(default=None, repr=False)
    boxes: tuple[Box, ...] = ()
    share: float = 0.0
    refused: str = ""
    report: DeidReport | None = None


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
        raise InvalidParameter(f"The file has {found.total_frames} frames")
    shown, values = _frame(found, number)
    original = rgb(shown)
    try:
        done = engine_of(task.deid).deidentify_object(found, tenant=task.tenant)
    except GatewayError as error:
        return Seen(found.total_frames, original, refused=error.detail or error.title)
    after, after_values = _frame(decode_object(Upload(done.data), task.limits), number)
    same_kind = values.shape == after_values.shape and values.dtype == after_values.dtype
    changed = _differs(values, after_values) if same_kind else _differs(original, rgb(after))
    return Seen(
        frames=found.total_frames,
        original=original,
        result=rgb(after),
        boxes=_boxes(changed),
        share=float(changed.mean()),
        report=done.report,
    )


def _frame(found: IdentifiableObject, number: int) -> tuple[DisplayFrame, npt.NDArray[np.generic]]:
    """As a person would see it, and as it is stored."""
    if found.raster is not None:
        picture = found.raster.decode()
        return picture, picture
    assert found.pixels is not None
    stored, photometric = found.pixels.decode(number)
    return found.pixels.show(number, stored, photometric), stored


def _differs(before: npt.NDArray[np.generic], after: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    differs: npt.NDArray[np.bool_] = before != after
    return np.asarray(differs.any(axis=2)) if differs.ndim == 3 else differs


def _boxes(changed: npt.NDArray[np.bool_]) -> tuple[Box, ...]:
    around = cv2.dilate(changed.astype(np.uint8), np.ones((_NEAR, _NEAR), np.uint8))
    count, labels = cv2.connectedComponents(around)
    boxes = []
    for number in range(1, count):
        rows, columns = np.nonzero((labels == number) & changed)
        left, top = int(columns.min()), int(rows.min())
        boxes.append((left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1))
    return tuple(sorted(boxes, key=lambda box: (box[1], box[0])))
