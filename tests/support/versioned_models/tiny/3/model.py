"""Says which version it is, whatever it is shown. Runs in Triton's Python backend and needs NumPy alone.

Version 1 says "one", version 2 "two". Version 3 is the one on trial that fails: a bright image makes it hang for a
second, any other one makes it raise.
"""

import os
import sys
import time
from typing import Any

sys.path[:0] = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]

import numpy as np  # noqa: E402 - needs the path above
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found] # noqa: E402

BRIGHT, HANGS_SECONDS = 200, 1.2
BY_DLPACK = int(np.__version__.split(".")[0]) >= 2
"""See the shipped model's own model.py."""


class TritonPythonModel:
    """Triton calls the two methods below, never two at a time."""

    def initialize(self, args: dict[str, str]) -> None:
        """Learn which version this is."""
        self._version = int(args["model_version"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """One answer a request."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        tensor = pb_utils.get_input_tensor_by_name(request, "image")
        images = np.from_dlpack(tensor) if BY_DLPACK else tensor.as_numpy()
        if self._version == 3:
            if images.mean() > BRIGHT:
                time.sleep(HANGS_SECONDS)
            return pb_utils.InferenceResponse([], pb_utils.TritonError("version 3 always fails"))
        logits = np.zeros((len(images), 2), np.float32)
        logits[:, self._version - 1] = 5.0
        made = pb_utils.Tensor.from_dlpack("logits", logits) if BY_DLPACK else pb_utils.Tensor("logits", logits)
        return pb_utils.InferenceResponse([made])


VERSION = 3
