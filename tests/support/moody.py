"""Models for a real Triton that fail on command: a file beside each says how it feels, another keeps its answers."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

Mood = Literal["well", "nan", "shape", "slow"]
LABELS = "one\ntwo\nthree\n"
SLOW_SECONDS = 2.0

CONFIG = """
name: "{name}"
backend: "python"
default_model_filename: "model.py"
max_batch_size: 4
input [ {{ name: "image" data_type: TYPE_UINT8 dims: [ 32, 32, 3 ] }} ]
output [ {{ name: "logits" data_type: TYPE_FP32 dims: [ {dims} ] }} ]
dynamic_batching {{ default_queue_policy {{ max_queue_size: 64 timeout_action: REJECT allow_timeout_override: true
  default_timeout_microseconds: 5000000 }} }}
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
"""

MODEL = """
import os, sys, time
from pathlib import Path
sys.path[:0] = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
import numpy as np
import triton_python_backend_utils as pb_utils
BY_DLPACK = int(np.__version__.split(".")[0]) >= 2

class TritonPythonModel:
    def initialize(self, args):
        self.folder = Path(args["model_repository"])

    def execute(self, requests):
        mood = (self.folder / "mood").read_text()
        if mood == "slow":
            time.sleep(SECONDS)
        with (self.folder / "ledger").open("a") as ledger:
            ledger.writelines(f"{request.request_id()}\\n" for request in requests)
        return [self.answer(request, mood) for request in requests]

    def answer(self, request, mood):
        tensor = pb_utils.get_input_tensor_by_name(request, "image")
        images = np.from_dlpack(tensor) if BY_DLPACK else tensor.as_numpy()
        width = 5 if mood == "shape" else 3
        logits = np.zeros((len(images), width), np.float32)
        logits[:, 0] = np.nan if mood == "nan" else 4.0
        made = pb_utils.Tensor.from_dlpack("logits", logits) if BY_DLPACK else pb_utils.Tensor("logits", logits)
        return pb_utils.InferenceResponse([made])
""".replace("SECONDS", str(SLOW_SECONDS))


def png_of(side: int) -> bytes:
    """A grey square."""
    buffer = io.BytesIO()
    Image.new("L", (side, side), 99).save(buffer, "PNG")
    return buffer.getvalue()


@dataclass(frozen=True)
class MoodyModel:
    """One of them."""

    folder: Path

    def feels(self, mood: Mood) -> None:
        """From its next batch on."""
        (self.folder / "mood").write_text(mood)

    @property
    def answered(self) -> list[str]:
        """The request IDs of what it computed."""
        return (self.folder / "ledger").read_text().splitlines()


def moody_repository(folder: Path, *names: str) -> tuple[Path, Path, dict[str, MoodyModel]]:
    """A model repository of such models, the policy that offers them, and the models."""
    repository = folder / "models"
    models = {}
    for name in names:
        place = repository / name
        (place / "1").mkdir(parents=True)
        (place / "config.pbtxt").write_text(CONFIG.format(name=name, dims="-1"))
        (place / "1" / "model.py").write_text(MODEL)
        (place / "labels.txt").write_text(LABELS)
        (place / "ledger").touch()
        digest = {"sha256": hashlib.sha256(LABELS.encode()).hexdigest(), "bytes": len(LABELS)}
        nothing = {"sha256": hashlib.sha256(b"none").hexdigest(), "bytes": 4}
        manifest = {
            "name": name,
            "files": {"labels.txt": digest, "1/model.onnx": nothing},
            "source": nothing | {"name": "none"},
            "opset": 17,
            "input": {"name": "image", "dtype": "uint8", "shape": ["batch", 32, 32, 3]},
            "output": {"name": "logits", "dtype": "float32", "shape": ["batch", 3]},
        }
        (place / "manifest.json").write_text(json.dumps(manifest))
        models[name] = MoodyModel(place)
        models[name].feels("well")
    offered = {
        "versions": {"1": {"weight": 100}},
        "modalities": [],
        "on_other_modality": "warn",
        "input": {"height": 32, "width": 32, "resize": "squash"},
    }
    policy = folder / "models.yaml"
    policy.write_text(json.dumps({"default": names[0], "models": dict.fromkeys(names, offered)}))  # JSON is YAML
    return repository, policy, models
