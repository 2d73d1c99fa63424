"""The comparable stack: a FastAPI route as tutorials write it. No callers are known, limited, de-identified or audited.

``UploadFile``, Pillow at full size, a float32 tensor, ``tritonclient.http``. Started by ``uvicorn`` in an environment
of its own (``peer-requirements.txt``). TRITON_HTTP names the server.
"""

from __future__ import annotations

import os
from io import BytesIO
from typing import Any

import numpy as np
from fastapi import FastAPI, UploadFile
from PIL import Image
from tritonclient.http import InferenceServerClient, InferInput

SIDE = 224

app = FastAPI()
triton = InferenceServerClient(os.environ["TRITON_HTTP"])


@app.post("/predict")
async def predict(image: UploadFile) -> dict[str, Any]:
    """One connection, asked from the event loop: with one process that costs the least."""
    picture = Image.open(BytesIO(await image.read())).convert("RGB").resize((SIDE, SIDE))
    array = (np.asarray(picture, dtype=np.float32) / 255).transpose(2, 0, 1)[None]
    tensor = InferInput("image", list(array.shape), "FP32")
    tensor.set_data_from_numpy(np.ascontiguousarray(array))
    logits = triton.infer("null_fp32", [tensor]).as_numpy("logits")[0]
    chances = np.exp(logits - logits.max())
    chances /= chances.sum()
    return {"prediction": int(chances.argmax()), "confidence": float(chances.max()), "logits": logits.tolist()}
