"""A torchvision ResNet-50 state dict of random numbers, files that hold one, and the network in NumPy.

The forward pass is written from the architecture's table, block by block, with its batch normalisation apart: it shares
nothing with the exporter.
"""

from __future__ import annotations

import collections
import io
import pickle
import zipfile
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

STAGES = [(64, 256, 3, 1), (128, 512, 4, 2), (256, 1024, 6, 2), (512, 2048, 3, 2)]


def state_dict(classes: int, seed: int = 3) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    state: dict[str, np.ndarray] = {}

    def conv(name: str, out: int, into: int, size: int) -> None:
        spread = (2 / (into * size * size)) ** 0.5
        state[f"{name}.weight"] = (random.standard_normal((out, into, size, size), np.float32) * spread).astype("f4")

    def norm(name: str, width: int, gain: float = 1.0) -> None:
        state[f"{name}.weight"] = (gain * random.uniform(0.7, 1.3, width)).astype("f4")
        state[f"{name}.bias"] = random.normal(0, 0.2, width).astype("f4")
        state[f"{name}.running_mean"] = random.normal(0, 0.2, width).astype("f4")
        state[f"{name}.running_var"] = random.uniform(0.5, 1.5, width).astype("f4")
        state[f"{name}.num_batches_tracked"] = np.array(1000, np.int64)

    conv("conv1", 64, 3, 7)
    norm("bn1", 64)
    into = 64
    for stage, (width, out, blocks, _) in enumerate(STAGES, start=1):
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            for number, (o, i, size) in enumerate([(width, into, 1), (width, width, 3), (out, width, 1)], start=1):
                conv(f"{name}.conv{number}", o, i, size)
                norm(f"{name}.bn{number}", o, 0.3 if number == 3 else 1.0)
            if block == 0:
                conv(f"{name}.downsample.0", out, into, 1)
                norm(f"{name}.downsample.1", out)
            into = out
    state["fc.weight"] = (random.standard_normal((classes, 2048)) * 0.05).astype("f4")
    state["fc.bias"] = random.standard_normal(classes).astype("f4")
    return state


def forward(state: dict[str, np.ndarray], images: np.ndarray) -> np.ndarray:
    """Logits of float32 [N, 3, H, W]."""

    def conv(x: np.ndarray, name: str, stride: int = 1) -> np.ndarray:
        weight = state[f"{name}.weight"]
        size = weight.shape[2]
        pad = size // 2
        x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(2, 3))[:, :, ::stride, ::stride]
        return np.tensordot(windows, weight, axes=([1, 4, 5], [1, 2, 3])).transpose(0, 3, 1, 2)

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        gain, shift = state[f"{name}.weight"], state[f"{name}.bias"]
        column = (slice(None), None, None)
        return (x - mean[column]) / np.sqrt(var[column] + 1e-5) * gain[column] + shift[column]

    x = np.maximum(norm(conv(images, "conv1", 2), "bn1"), 0)
    x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    x = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))[:, :, ::2, ::2].max(axis=(4, 5))
    for stage, (_, _, blocks, step) in enumerate(STAGES, start=1):
        for block in range(blocks):
            name, stride = f"layer{stage}.{block}", step if block == 0 else 1
            y = np.maximum(norm(conv(x, f"{name}.conv1"), f"{name}.bn1"), 0)
            y = np.maximum(norm(conv(y, f"{name}.conv2", stride), f"{name}.bn2"), 0)
            y = norm(conv(y, f"{name}.conv3"), f"{name}.bn3")
            if block == 0:
                x = norm(conv(x, f"{name}.downsample.0", stride), f"{name}.downsample.1")
            x = np.maximum(x + y, 0)
    return x.mean(axis=(2, 3)) @ state["fc.weight"].T + state["fc.bias"]


class _Global:
    """Pickles as a reference to a name in a module that need not be installed."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class _Tensor:
    def __init__(self, array: np.ndarray, key: str) -> None:
        self.array, self.key = array, key


class _TorchPickler(pickle._Pickler):
    """Writes what ``torch.save`` writes (protocol 2, storages by persistent ID)."""

    dispatch: ClassVar[dict[Any, Any]] = dict(pickle._Pickler.dispatch)

    def save_name(self, obj: _Global) -> None:
        self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())

    dispatch[_Global] = save_name

    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, _Storage):
            return ("storage", _Global("torch", obj.kind), obj.key, "cpu", obj.count)
        return None

    def save_tensor(self, obj: _Tensor) -> None:
        array = obj.array
        kind = {"f4": "FloatStorage", "f2": "HalfStorage", "i8": "LongStorage", "f8": "DoubleStorage"}[
            array.dtype.str[1:]
        ]
        stride = tuple(step // array.itemsize for step in array.strides)
        arguments = (_Storage(kind, obj.key, array.size), 0, array.shape, stride, False, collections.OrderedDict())
        self.save(_Global("torch._utils", "_rebuild_tensor_v2"))
        self.save(arguments)
        self.write(pickle.REDUCE)

    dispatch[_Tensor] = save_tensor


class _Storage:
    def __init__(self, kind: str, key: str, count: int) -> None:
        self.kind, self.key, self.count = kind, key, count


def write_pth(path: Path, state: dict[str, Any], *, compress: bool = False, raw: bytes | None = None) -> Path:
    """A ``.pth`` as PyTorch 2 writes it. ``raw`` replaces the pickle."""
    stored: dict[str, np.ndarray] = {}

    def convert(value: Any) -> Any:
        if isinstance(value, dict):
            return collections.OrderedDict((name, convert(each)) for name, each in value.items())
        if isinstance(value, np.ndarray):
            key = str(len(stored))
            stored[key] = value
            return _Tensor(value, key)
        return value

    buffer = io.BytesIO()
    _TorchPickler(buffer, protocol=2).dump(convert(state))
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("archive/data.pkl", buffer.getvalue() if raw is None else raw)
        archive.writestr("archive/byteorder", "little")
        for key, array in stored.items():
            archive.writestr(f"archive/data/{key}", np.asarray(array).tobytes(order="A"))
        archive.writestr("archive/version", "3\n")
    return path
