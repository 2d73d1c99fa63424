"""The simplest way to serve a model: FastAPI, Pillow, and ONNX Runtime in the same process. No promises of any kind.

The route is no coroutine, so FastAPI runs it in a thread of its pool and the event loop stays free; ONNX Runtime lets
go of the interpreter while it computes. It computes in FP32, as it does unless told otherwise. MODEL names the file.
"""

from __future__ import annotations

import os
from io import BytesIO
from typing import Any

import numpy as np
import onnxruntime as ort
from fastapi import FastAPI, UploadFile
from PIL import Image

SIDE = 224

app = FastAPI()
session = ort.InferenceSession(os.environ["MODEL"], providers=["CPUExecutionProvider"])
session.run(None, {"image": np.zeros((1, SIDE, SIDE, 3), np.uint8)})


@app.post("/predict")
def predict(image: UploadFile) -> dict[str, Any]:
    """One picture at a time: nothing gathers batches."""
    picture = Image.open(BytesIO(image.file.read())).convert("RGB").resize((SIDE, SIDE))
    logits = session.run(None, {"image": np.asarray(picture)[None]})[0][0]
    chances = np.exp(logits - logits.max())
    chances /= chances.sum()
    return {"prediction": int(chances.argmax()), "confidence": float(chances.max())}
