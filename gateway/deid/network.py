"""Step 3 of 7: the networks whose weights ship in the rapidocr wheel, run on ONNX Runtime directly, on one thread.

Nothing here can download a model, fetch a font, write a log line or touch a disk, as the wheel's own classes do in some
configurations. One thread: the same numbers on every worker, and no pool of threads in each.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import onnxruntime


def network(file: str) -> Any:
    """A session of one of the wheel's networks.

    Raises:
        RuntimeError: The package that holds the weights is not installed.
    """
    spec = find_spec("rapidocr")
    if spec is None or spec.origin is None:
        raise RuntimeError("the package rapidocr, which holds the weights, is not installed")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Measured at 1024 x 1024: with a pattern, or without an arena, the peak is 440 MB; so it is 280 MB, and no slower.
    options.enable_mem_pattern = False
    path = Path(spec.origin).parent / "models" / file
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
