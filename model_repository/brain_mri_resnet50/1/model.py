"""Runs this folder's ``model.onnx`` or ``model.xml`` on the CPU with OpenVINO, in Triton's Python backend.

Parameters of the configuration:
    precision: ``auto`` computes in BF16 where the CPU does and the model classifies, else in FP32; ``f32`` and ``bf16``
        are just that. What is quantized in the graph is computed in INT8 under each of them.

Environment:
    MODEL_CACHE_DIR: Where OpenVINO keeps the compiled model, so that the next start takes a second. Must be writable by
        Triton's user alone, for what is in it is executed. Empty: compile at every start.
"""

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

# Triton's stub starts an isolated interpreter, which ignores PYTHONPATH: without this line only the standard library
# and the system's packages would be found, never the environment that Triton was started with.
sys.path[:0] = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]

# OpenVINO tells its maker that it was started, by a process that it forks while threads run. Nothing here calls anyone
# outside, and such a fork can hang for ever, and the model's start with it: the module is not to be had.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

import numpy as np  # noqa: E402 - needs the path above
import openvino as ov  # noqa: E402
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found] # noqa: E402 - exists inside Triton alone
from openvino.preprocess import PrePostProcessor  # noqa: E402


class TritonPythonModel:
    """One instance of the model. Triton calls the three methods below, never two at a time."""

    def initialize(self, args: dict[str, str]) -> None:
        """Check the weights against the manifest, then compile them. Raising keeps the model from being loaded."""
        folder, version = Path(args["model_repository"]), args["model_version"]
        weights, sha256 = verified_weights(folder, version)
        config = json.loads(args["model_config"])
        precision = config.get("parameters", {}).get("precision", {}).get("string_value", "auto")
        self._output = config["output"][0]["name"]
        detects = len(config["output"][0]["dims"]) > 1

        core = ov.Core()
        if precision == "auto":
            # BF16 where the CPU computes in it: half the time, and the same classes. Elsewhere it would be emulated.
            # Not for boxes: its eight bits place one in 640 pixels to no better than two.
            native = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
            precision = "bf16" if native and not detects else "f32"
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
        cache = os.environ.get("MODEL_CACHE_DIR", "")
        if cache:
            # OpenVINO finds a cached model by path and time stamp. A folder named by the digest keeps it from serving
            # yesterday's weights after an update that kept both, as container image layers do.
            settings["CACHE_DIR"] = str(Path(cache) / sha256)
        self._request = core.compile_model(with_uint8_input(core, weights), "CPU", settings).create_infer_request()
        pb_utils.Logger.log_info(
            f"{args['model_name']} {version}: OpenVINO {ov.__version__}, {weights.name}, {precision}"
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer one batch: the requests that Triton gathered, computed together, answered in their order."""
        images = [to_array(pb_utils.get_input_tensor_by_name(request, "image")) for request in requests]
        batch = images[0] if len(images) == 1 else np.concatenate(images)
        output = self._request.infer({0: batch})[0]
        ends = np.cumsum([len(part) for part in images])[:-1]
        return [
            pb_utils.InferenceResponse([to_tensor(self._output, np.ascontiguousarray(part))])
            for part in np.split(output, ends)
        ]

    def finalize(self) -> None:
        """Let go of the model."""
        self._request = None


# The stub reads and makes arrays by NumPy 1's memory layout. Under NumPy 2, which Python 3.13 needs, it does so wrongly
# and without an error (inputs of garbage, empty outputs). DLPack does not depend on that layout; the stub's support of
# it in turn ends the stub under NumPy 1.
BY_DLPACK = int(np.__version__.split(".")[0]) >= 2


def to_array(tensor: Any) -> "np.ndarray[Any, Any]":
    """The array in one of Triton's tensors."""
    return np.from_dlpack(tensor) if BY_DLPACK else tensor.as_numpy()


def to_tensor(name: str, array: "np.ndarray[Any, Any]") -> Any:
    """One of Triton's tensors with this array in it."""
    return pb_utils.Tensor.from_dlpack(name, array) if BY_DLPACK else pb_utils.Tensor(name, array)


def with_uint8_input(core: "ov.Core", weights: Path) -> "ov.Model | str":
    """The graph, its input uint8 [batch, height, width, 3]: one that takes float32 channels in [0, 1] gets a front."""
    if weights.suffix == ".onnx":  # has its own, see modelkit/front.py; by its path it is found in the cache at once
        return str(weights)
    model = core.read_model(str(weights))
    if model.input(0).element_type == ov.Type.u8:
        return model
    front = PrePostProcessor(model)
    image = front.input(0)
    image.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    image.model().set_layout(ov.Layout("NCHW"))
    image.preprocess().convert_element_type(ov.Type.f32).scale(255.0)
    return front.build()


def verified_weights(folder: Path, version: str) -> tuple[Path, str]:
    """The version's graph, and a SHA-256 of all that it is made of, if each file is the one that the manifest lists.

    Raises RuntimeError otherwise.
    """
    listed = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["files"]
    files = {name: file["sha256"] for name, file in listed.items() if name.split("/")[0] == version}
    for name, promised in files.items():
        with (folder / name).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != promised:
            raise RuntimeError(f"{name}: not the file that manifest.json lists (SHA-256 differs)")
    graphs = [name for name in files if name.endswith((".onnx", ".xml"))]
    if len(graphs) != 1:
        raise RuntimeError(f"manifest.json lists {len(graphs)} graphs for version {version}, not one")
    return folder / graphs[0], hashlib.sha256("".join(sorted(files.values())).encode()).hexdigest()
