"""Beside the steps: reads a checkpoint's tensors without running anything that is in it.

A ``.pth`` file is a pickle, and unpickling runs whatever the file names. Here only what a plain state dict needs is
known by name (torch's tensor rebuilders, its storages, OrderedDict); anything else is refused. Layout: PyTorch's zip
archive, ``<root>/data.pkl`` with ``<root>/data/<key>`` for each storage.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

MAX_STORAGE_BYTES = 2**31
_STORAGES: dict[str, np.dtype[Any]] = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype("<u2"),  # widened by hand: NumPy has no bfloat16
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
}


def read_state_dict(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Tensor name to array, from ``.safetensors`` or a zip-format ``.pth``/``.pt``.

    A state dict wrapped as ``state_dict`` or ``model``, or with DataParallel's ``module.`` prefix, is unwrapped.

    Raises:
        ValueError: Not such a file, damaged, or holding more than tensors; says what.
    """
    if path.suffix == ".safetensors":
        tensors = _read_safetensors(path)
    elif path.suffix in {".pth", ".pt"}:
        tensors = _read_pth(path)
    else:
        raise ValueError(f"{path.name}: weights are .safetensors, .pth or .pt")
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}


def _read_safetensors(path: Path) -> dict[str, npt.NDArray[Any]]:
    from safetensors import SafetensorError  # noqa: PLC0415 - an optional dependency
    from safetensors.numpy import load_file  # noqa: PLC0415

    try:
        return load_file(path)
    except (SafetensorError, TypeError, KeyError):
        raise ValueError(f"{path.name}: not a safetensors file, or with a dtype that NumPy lacks") from None


def _read_pth(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        with zipfile.ZipFile(path) as archive:
            found = _Unpickler.read(archive)
    except zipfile.BadZipFile:
        raise ValueError(f"{path.name}: not a zip-format checkpoint; save it with PyTorch 1.6 or newer") from None
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path.name}: {error}") from None
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, EOFError) as error:
        raise ValueError(f"{path.name}: damaged, or not a state dict ({type(error).__name__})") from None
    for wrapper in ("state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
    if not isinstance(found, Mapping) or not found:
        raise ValueError(f"{path.name}: holds no state dict")
    tensors = {name: value for name, value in found.items() if isinstance(value, np.ndarray)}
    if len(tensors) < len(found):
        raise ValueError(f"{path.name}: the state dict holds things that are not tensors")
    return tensors


class _Storage:
    """Stands for a torch storage class inside the unpickler."""

    def __init__(self, name: str) -> None:
        self.dtype = _STORAGES[name]
        self.bfloat16 = name == "BFloat16Storage"

    def decode(self, raw: bytes, count: int) -> npt.NDArray[Any]:
        flat: npt.NDArray[Any] = np.frombuffer(raw, self.dtype, count)
        return (flat.astype(np.uint32) << 16).view(np.float32) if self.bfloat16 else flat


class _Unpickler(pickle.Unpickler):
    """Knows the six names that a state dict needs, and no others."""

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(archive.open(f"{root}data.pkl"))
        self._archive = archive
        self._root = root

    @classmethod
    def read(cls, archive: zipfile.ZipFile) -> Any:
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl") or name == "data.pkl"]
        if len(pickles) != 1:
            raise pickle.UnpicklingError("no data.pkl in the archive")
        root = pickles[0].removesuffix("data.pkl")
        if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
            raise pickle.UnpicklingError("saved on a big-endian machine")
        return cls(archive, root).load()

    def find_class(self, module: str, name: str) -> Any:
        match module, name:
            case "collections", "OrderedDict":
                return OrderedDict
            case "torch._utils", "_rebuild_tensor_v2":
                return _tensor
            case "torch._utils", "_rebuild_parameter":
                return lambda tensor, _requires_grad, _hooks: tensor
            case "torch", _ if name in _STORAGES:
                return _Storage(name)
        raise pickle.UnpicklingError(f"holds more than tensors ({module}.{name}); save model.state_dict() alone")

    def persistent_load(self, pid: Any) -> npt.NDArray[Any]:
        kind, storage, key, _device, count = pid
        if kind != "storage" or not isinstance(storage, _Storage):
            raise pickle.UnpicklingError("holds a reference that is not a tensor's storage")
        entry = self._archive.getinfo(f"{self._root}data/{key}")
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > MAX_STORAGE_BYTES:
            raise pickle.UnpicklingError("a storage is compressed or too large; PyTorch writes neither")
        return storage.decode(self._archive.read(entry), count)


def _tensor(
    storage: npt.NDArray[Any], offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_ignored: Any
) -> npt.NDArray[Any]:
    """``torch._utils._rebuild_tensor_v2``: a strided view of a storage, copied, and never beyond its end."""
    reach = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True)) + 1
    if offset < 0 or min((*size, *stride, 0)) < 0 or (0 not in size and reach > storage.size):
        raise pickle.UnpicklingError("a tensor reaches beyond its storage")
    strides = tuple(step * storage.itemsize for step in stride)
    return np.lib.stride_tricks.as_strided(storage[offset:], size, strides, writeable=False).copy()
