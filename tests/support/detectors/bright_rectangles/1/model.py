"""Finds bright rectangles in the pixels it is given, and answers in the YOLO output layout, [84, 8400] an image.

Runs in Triton's Python backend. Each rectangle is said three times, as a trained detector would: once well, once a
little beside it, once under another label; and there are boxes of hardly any score.
"""

import os
import sys
from typing import Any

sys.path[:0] = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]

import numpy as np  # noqa: E402 - needs the path above
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found] # noqa: E402

ANCHORS, BRIGHT, VERY_BRIGHT = 8400, 170, 235
BY_DLPACK = int(np.__version__.split(".")[0]) >= 2
"""See the shipped model's own model.py."""


class TritonPythonModel:
    """Triton calls ``execute``."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """One answer a request."""
        answers = []
        for request in requests:
            tensor = pb_utils.get_input_tensor_by_name(request, "image")
            images = np.from_dlpack(tensor) if BY_DLPACK else tensor.as_numpy()
            output = np.stack([said(image[:, :, 0]) for image in images])
            made = pb_utils.Tensor.from_dlpack("boxes", output) if BY_DLPACK else pb_utils.Tensor("boxes", output)
            answers.append(pb_utils.InferenceResponse([made]))
        return answers


def rectangles(grey: np.ndarray[Any, Any]) -> list[tuple[int, int, int, int]]:
    """Left, top, right, bottom of every filled bright rectangle; the last two exclusive."""
    bright = grey > BRIGHT
    found = []
    while bright.any():
        top, left = divmod(int(bright.argmax()), bright.shape[1])
        across, down = bright[top, left:], bright[top:, left]
        right = left + (len(across) if across.all() else int(across.argmin()))
        bottom = top + (len(down) if down.all() else int(down.argmin()))
        found.append((left, top, right, bottom))
        bright[max(0, top - 2) : bottom + 2, max(0, left - 2) : right + 2] = False
    return [box for box in found if box[2] - box[0] > 4 and box[3] - box[1] > 4]


def said(grey: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """One image's output."""
    output = np.zeros((84, ANCHORS), np.float32)
    output[:4] = 20.0
    output[4:, ::7] = 0.01
    for number, (left, top, right, bottom) in enumerate(rectangles(grey)):
        label = 79 if grey[(top + bottom) // 2, (left + right) // 2] > VERY_BRIGHT else 0
        place = [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
        for anchor, (beside, of, score) in enumerate([(1.5, label, 0.7), (0.0, label, 0.9), (0.0, 40, 0.3)]):
            column = 1000 * (number + 1) + anchor
            output[:4, column] = place
            output[:2, column] += beside
            output[4 + of, column] = score
    return output
