"""``model.onnx`` on ONNX Runtime, on CUDA or the CPU: in Triton's Python backend, and alone for what the device can do.

    python model.py MODEL.onnx cuda 1,16,64 3.0 [FOLDER:FOLDER]

As a program it takes batches of each size as fast as it can for so many seconds and prints images a second as JSON.
In Triton the configuration's parameters say ``device`` and ``libraries``: folders in which the driver's libraries lie,
for Triton is started without the environment of whoever started it.
"""

import ctypes
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

# Triton's stub starts an isolated interpreter, which ignores PYTHONPATH.
sys.path[:0] = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]

import numpy as np
import onnxruntime as ort

SIDE = 224
PROVIDERS = {"cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}
DRIVER = "libcuda.so.1"


def session(model: Path, device: str, libraries: str) -> Any:
    """Ready to be run. Raises RuntimeError if it would run elsewhere than on the device."""
    if device == "cuda":
        for folder in filter(None, libraries.split(os.pathsep)):
            if (Path(folder) / DRIVER).exists():
                ctypes.CDLL(str(Path(folder) / DRIVER), mode=ctypes.RTLD_GLOBAL)
                break
        ort.preload_dlls(directory="")  # CUDA and cuDNN out of the nvidia-* wheels
    made = ort.InferenceSession(str(model), providers=[PROVIDERS[device]])
    if PROVIDERS[device] not in made.get_providers():
        raise RuntimeError(f"ONNX Runtime does not run on {device}: {made.get_providers()}")
    return made


class TritonPythonModel:
    """One instance of the model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the weights onto the device."""
        parameters = json.loads(args["model_config"])["parameters"]
        device, libraries = (parameters[name]["string_value"] for name in ("device", "libraries"))
        folder = Path(args["model_repository"]) / args["model_version"]
        self._session = session(folder / "model.onnx", device, libraries)

    def execute(self, requests: list[Any]) -> list[Any]:
        """One batch: the requests that Triton gathered, computed together, answered in their order."""
        import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found] # noqa: PLC0415 - in Triton alone

        images = [pb_utils.get_input_tensor_by_name(request, "image").as_numpy() for request in requests]
        logits = self._session.run(None, {"image": images[0] if len(images) == 1 else np.concatenate(images)})[0]
        ends = np.cumsum([len(part) for part in images])[:-1]
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("logits", np.ascontiguousarray(part))])
            for part in np.split(logits, ends)
        ]


def alone(model: Path, device: str, sizes: list[int], seconds: float, libraries: str) -> dict[int, float]:
    """Batch size to images a second; copies to the device and back are in it."""
    made = session(model, device, libraries)
    rates = {}
    for size in sizes:
        images = np.random.default_rng(1).integers(0, 256, (size, SIDE, SIDE, 3), np.uint8)
        for _ in range(3):
            made.run(None, {"image": images})
        done, begun = 0, time.perf_counter()
        while (passed := time.perf_counter() - begun) < seconds:
            made.run(None, {"image": images})
            done += size
        rates[size] = done / passed
    return rates


if __name__ == "__main__":
    path, where, batches, long, *rest = sys.argv[1:]
    print(json.dumps(alone(Path(path), where, [int(size) for size in batches.split(",")], float(long), "".join(rest))))
