"""Step 3 of 7: JPEG-LS by CharLS's own encoder, which needs little more than the result.

imagecodecs brings CharLS, but encodes as if every sample had all of its 8 or 16 bits; pyjpegls takes five times the
frame. So CharLS's C interface (charls_jpegls_encoder.h, the same since 2.1) is called here. It encodes what the gateway
decoded: no hostile bytes come near it.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, byref, c_int32, c_size_t, c_uint32, c_void_p
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from gateway.ingest.codecs import Stored

_BY_SAMPLE = 2  # CHARLS_INTERLEAVE_MODE_SAMPLE
_SPARE = 2**12  # for the headers of a frame of a few pixels


class _FrameInfo(Structure):
    _fields_ = (
        ("width", c_uint32),
        ("height", c_uint32),
        ("bits_per_sample", c_int32),
        ("component_count", c_int32),
    )


_FUNCTIONS: dict[str, tuple[Any, ...]] = {  # what it gives, what it takes
    "create": (c_void_p,),
    "destroy": (None, c_void_p),
    "set_frame_info": (c_int32, c_void_p, POINTER(_FrameInfo)),
    "set_interleave_mode": (c_int32, c_void_p, c_int32),
    "get_estimated_destination_size": (c_int32, c_void_p, POINTER(c_size_t)),
    "set_destination_buffer": (c_int32, c_void_p, c_void_p, c_size_t),
    "encode_from_buffer": (c_int32, c_void_p, c_void_p, c_size_t, c_uint32),
    "get_bytes_written": (c_int32, c_void_p, POINTER(c_size_t)),
}


@cache
def _encoder() -> dict[str, Any]:
    """The encoder's functions. Raises OSError or AttributeError where CharLS is not found."""
    from imagecodecs import _jpegls  # noqa: PLC0415 - brings the library, and is seldom needed

    library = ctypes.CDLL(_jpegls.__file__)  # a symbol is looked for in what that depends on, too
    functions = {}
    for name, (gives, *takes) in _FUNCTIONS.items():
        function = functions[name] = getattr(library, f"charls_jpegls_encoder_{name}")
        function.restype, function.argtypes = gives, takes
    return functions


def encode(samples: Stored, bits: int) -> memoryview:
    """A lossless JPEG-LS codestream (ITU-T T.87), samples of a pixel beside each other.

    Args:
        samples: Unsigned, [rows, columns] or [rows, columns, 3], none above ``bits``.
        bits: Of a sample, 2 to 16; more than 8 for samples of 16 bits.

    Raises:
        ValueError: CharLS refuses.
    """
    functions = _encoder()
    samples = np.ascontiguousarray(samples)
    components = 1 if samples.ndim == 2 else samples.shape[2]
    encoder = functions["create"]()

    def call(name: str, *arguments: Any) -> None:
        if functions[name](encoder, *arguments):
            raise ValueError("CharLS cannot encode the frame")

    try:
        call("set_frame_info", byref(_FrameInfo(samples.shape[1], samples.shape[0], bits, components)))
        call("set_interleave_mode", _BY_SAMPLE if components > 1 else 0)
        size = c_size_t()
        call("get_estimated_destination_size", byref(size))
        out = np.empty(size.value + _SPARE, np.uint8)  # memory that is not written to is not taken
        call("set_destination_buffer", out.ctypes.data, out.nbytes)
        call("encode_from_buffer", samples.ctypes.data, samples.nbytes, 0)
        call("get_bytes_written", byref(size))
    finally:
        functions["destroy"](encoder)
    return out.data[: size.value]
