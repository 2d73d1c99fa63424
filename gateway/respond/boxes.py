"""Step 6 of 7: a detector's output becomes boxes: threshold, then non-maximum suppression by class, in bounded work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gateway.errors import BadModelAnswer

if TYPE_CHECKING:
    import numpy.typing as npt

    from gateway.models.spec import DetectionSpec

MOST_CANDIDATES = 3000
"""Boxes a frame, the surest, that are compared with each other. A threshold that lets more pass says nothing."""
_ROUNDING = 1e-3
"""By which a score computed in half precision may be beyond 0 or 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """What was found in one frame, the surest first.

    Attributes:
        corners: float64 [n, 4]: x and y of the top left and of the bottom right corner, in pixels of the tensor.
        labels: [n]: index of each box's label.
        scores: float64 [n], 0 to 1.
    """

    corners: npt.NDArray[np.float64]
    labels: npt.NDArray[np.intp]
    scores: npt.NDArray[np.float64]


def boxes(output: npt.NDArray[np.float32], rule: DetectionSpec) -> Boxes:
    """The boxes that one frame's output says, one label each: its best.

    Args:
        output: [4 + labels, anchors], finite: centre x, centre y, width, height, then a score a label.
        rule: Which of them count.

    Returns:
        At most ``max_detections``, in falling order of their scores; of equal ones the first in the output.

    Raises:
        BadModelAnswer: Scores that are no scores: the model gives logits, or lays its output out in another way.
    """
    scores = output[4:]
    if scores.min() < -_ROUNDING or scores.max() > 1 + _ROUNDING:
        raise BadModelAnswer("The detector's scores are not between 0 and 1")
    best = scores.max(axis=0)
    passed = np.flatnonzero(best >= rule.confidence_threshold)
    order = passed[np.argsort(-best[passed], kind="stable")][:MOST_CANDIDATES]
    centre, size = output[:2, order].T.astype(np.float64), output[2:4, order].T.astype(np.float64)
    corners = np.concatenate([centre - size / 2, centre + size / 2], axis=1)
    labels = scores[:, order].argmax(axis=0)
    real = (size > 0).all(axis=1)
    corners, labels, order = corners[real], labels[real], order[real]
    kept = _suppress(corners, labels, rule)
    return Boxes(corners[kept], labels[kept], np.clip(best[order][kept].astype(np.float64), 0, 1))


def _suppress(
    corners: npt.NDArray[np.float64], labels: npt.NDArray[np.intp], rule: DetectionSpec
) -> npt.NDArray[np.intp]:
    """Which boxes stay, by index. Greedy: the surest stays, and what overlaps it too much under the same label goes.

    One comparison of a box with all others for each that stays: at most ``max_detections`` times the candidates.
    """
    areas = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    left: npt.NDArray[np.intp] = np.arange(len(corners))
    kept: list[int] = []
    while len(left) and len(kept) < rule.max_detections:
        surest, others = int(left[0]), left[1:]
        kept.append(surest)
        low = np.maximum(corners[surest, :2], corners[others, :2])
        high = np.minimum(corners[surest, 2:], corners[others, 2:])
        common = np.clip(high - low, 0, None).prod(axis=1)
        same = common > rule.iou_threshold * (areas[surest] + areas[others] - common)
        left = others[~(same & (labels[others] == labels[surest]))]
    return np.asarray(kept, np.intp)
