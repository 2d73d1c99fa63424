"""The floor: the least that a script does to have one JPEG classified. No HTTP, no callers, no promises.

Decodes with Pillow at the scale that the codec offers (``draft``), resizes to uint8, sends by gRPC, reads the logits.
Run as a process of its own by ``serving_cost.py``: a line of JSON in asks for work, a line of JSON out says it is done.

    {"path": "a.jpg", "count": 100, "resizing": true, "sending": true}
"""

from __future__ import annotations

import json
import sys
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tritonclient.grpc import InferenceServerClient, InferInput

SIDE = 224


def prepared(data: bytes) -> np.ndarray[Any, Any]:
    """uint8 [1, 224, 224, 3]."""
    image = Image.open(BytesIO(data))
    image.draft("RGB", (SIDE, SIDE))
    return np.asarray(image.convert("RGB").resize((SIDE, SIDE)))[None]


def main() -> None:
    url = sys.argv[1]
    client = InferenceServerClient(url)
    for line in sys.stdin:
        asked = json.loads(line)
        data = Path(asked["path"]).read_bytes()
        logits: list[float] = []
        array = prepared(data)
        begun = time.process_time()
        for _ in range(asked["count"]):
            if asked["resizing"]:
                array = prepared(data)
            if asked["sending"]:
                tensor = InferInput("image", list(array.shape), "UINT8")
                tensor.set_data_from_numpy(array)
                logits = client.infer("null", [tensor]).as_numpy("logits")[0].tolist()
        print(json.dumps({"logits": logits, "cpu": time.process_time() - begun}), flush=True)


if __name__ == "__main__":
    main()
