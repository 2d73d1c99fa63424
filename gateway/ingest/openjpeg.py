"""Step 2 of 7: large JPEG 2000 frames, some rows at a time, by OpenJPEG's own decoding of areas.

A frame decoded at once takes 32 bits a sample, and the result beside them: three and a half times a frame of 16 bits.
No Python package that we have offers areas, but the OpenJPEG that imagecodecs brings does: its functions are called
here. Their C interface (openjpeg.h, the same since 2.3) is declared below. Runs in worker processes alone, as every
decoder does; where the library or a function of it is not found, frames are decoded at once.
"""

from __future__ import annotations

import ctypes
from contextlib import ExitStack
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_int,
    c_int32,
    c_int64,
    c_size_t,
    c_uint16,
    c_uint32,
    c_uint64,
    c_void_p,
)
from functools import cache
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from gateway.ingest.memory import give_back

if TYPE_CHECKING:
    from gateway.ingest.codecs import Stored
    from gateway.ingest.tiles import Layout

_CODESTREAM = 0  # OPJ_CODEC_J2K: not in a JP2 file
_BUFFER = 2**16
_PARAMETERS = 2**14  # more than sizeof(opj_dparameters_t), which OpenJPEG fills itself
_END = c_size_t(-1).value
_SAMPLES = 2**19  # decoded at a time: 32 bits each, and the wavelet's working memory of four times that
_ROWS = 64  # of a code block: fewer at a time would decode each twice
_CALLS = 12  # with one decoder: each leaves some memory behind until its end


_COMPONENT = ("dx", "dy", "w", "h", "x0", "y0", "prec", "bpp", "sgnd", "resno_decoded", "factor")
_IMAGE = ("x0", "y0", "x1", "y1", "numcomps")


class _Component(Structure):
    _fields_ = (
        *((name, c_uint32) for name in _COMPONENT),
        ("data", POINTER(c_int32)),
        ("alpha", c_uint16),
    )


class _Image(Structure):
    _fields_ = (
        *((name, c_uint32) for name in _IMAGE),
        ("color_space", c_int),
        ("comps", POINTER(_Component)),
        ("icc_profile_buf", c_void_p),
        ("icc_profile_len", c_uint32),
    )


_READ = CFUNCTYPE(c_size_t, c_void_p, c_size_t, c_void_p)
_SKIP = CFUNCTYPE(c_int64, c_int64, c_void_p)
_SEEK = CFUNCTYPE(c_int, c_int64, c_void_p)
_FUNCTIONS: dict[str, tuple[Any, ...]] = {  # what it gives, what it takes
    "opj_stream_create": (c_void_p, c_size_t, c_int),
    "opj_stream_destroy": (None, c_void_p),
    "opj_stream_set_read_function": (None, c_void_p, _READ),
    "opj_stream_set_skip_function": (None, c_void_p, _SKIP),
    "opj_stream_set_seek_function": (None, c_void_p, _SEEK),
    "opj_stream_set_user_data": (None, c_void_p, c_void_p, c_void_p),
    "opj_stream_set_user_data_length": (None, c_void_p, c_uint64),
    "opj_create_decompress": (c_void_p, c_int),
    "opj_destroy_codec": (None, c_void_p),
    "opj_set_default_decoder_parameters": (None, c_void_p),
    "opj_setup_decoder": (c_int, c_void_p, c_void_p),
    "opj_read_header": (c_int, c_void_p, c_void_p, POINTER(POINTER(_Image))),
    "opj_set_decode_area": (c_int, c_void_p, POINTER(_Image), c_int32, c_int32, c_int32, c_int32),
    "opj_decode": (c_int, c_void_p, c_void_p, POINTER(_Image)),
    "opj_image_destroy": (None, POINTER(_Image)),
}


@cache
def _library() -> Any:
    """OpenJPEG, with its functions declared; None where it is not found."""
    try:
        from imagecodecs import _jpeg2k  # noqa: PLC0415 - brings the library, and is seldom needed

        library = ctypes.CDLL(_jpeg2k.__file__)  # a symbol is looked for in what that depends on, too
        for name, (gives, *takes) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = gives, takes
    except (ImportError, OSError, AttributeError):
        return None
    return library


def decode(frame: bytes | memoryview, layout: Layout, kind: np.dtype[Any]) -> Stored | None:
    """The samples of a codestream, [rows, columns] or [rows, columns, components]; None without the library.

    Args:
        frame: A bare codestream.
        layout: What it declares; without High-Throughput blocks, of which OpenJPEG decodes areas wrongly.
        kind: Type of the result, wide enough for the precision that it declares.

    Raises:
        ValueError: It cannot be decoded.
    """
    library = _library()
    if library is None:
        return None
    out = np.empty((layout.rows, layout.columns, layout.components), kind)
    areas = list(_areas(layout))
    calls = _CALLS if layout.one_tile else 1  # several areas with one decoder are for one tile
    for first in range(0, len(areas), calls):
        with _Decoder(library, frame, layout) as decoder:
            for area in areas[first : first + calls]:
                decoder.area(area, out)
    give_back()
    return out[:, :, 0] if layout.components == 1 else out


def _areas(layout: Layout) -> list[tuple[slice, slice]]:
    """Rows and columns of what is decoded at a time: some rows of one tile, or whole tiles."""
    if layout.one_tile:
        rows = max(1, _SAMPLES // (layout.columns * layout.components) // _ROWS) * _ROWS
        columns = layout.columns
    else:
        rows = layout.tile_rows
        columns = max(1, _SAMPLES // (rows * layout.tile_columns * layout.components)) * layout.tile_columns
    return [
        (slice(top, min(top + rows, layout.rows)), slice(left, min(left + columns, layout.columns)))
        for top in range(0, layout.rows, rows)
        for left in range(0, layout.columns, columns)
    ]


class _Decoder(ExitStack):
    """One decoder over a frame in memory. Everything that it holds of OpenJPEG's is freed at its end."""

    def __init__(self, library: Any, frame: bytes | memoryview, layout: Layout) -> None:
        super().__init__()
        self._library = library
        self._layout = layout
        self._frame = np.frombuffer(frame, np.uint8)
        self._at = 0
        self._callbacks = (_READ(self._read), _SKIP(self._skip), _SEEK(self._seek))  # as long as the stream lives

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        return self

    def _open(self) -> None:
        library = self._library
        self._stream = self._held(library.opj_stream_create(_BUFFER, 1), library.opj_stream_destroy)
        library.opj_stream_set_read_function(self._stream, self._callbacks[0])
        library.opj_stream_set_skip_function(self._stream, self._callbacks[1])
        library.opj_stream_set_seek_function(self._stream, self._callbacks[2])
        library.opj_stream_set_user_data(self._stream, None, None)
        library.opj_stream_set_user_data_length(self._stream, len(self._frame))
        self._codec = self._held(library.opj_create_decompress(_CODESTREAM), library.opj_destroy_codec)
        parameters = ctypes.create_string_buffer(_PARAMETERS)
        library.opj_set_default_decoder_parameters(parameters)
        _check(library.opj_setup_decoder(self._codec, parameters))
        self._image: Any = POINTER(_Image)()
        done = library.opj_read_header(self._stream, self._codec, ctypes.byref(self._image))
        if made := bool(self._image):  # not a null pointer
            self.callback(library.opj_image_destroy, self._image)
        _check(done and made)

    def _held(self, pointer: int | None, free: Any) -> int:
        if not pointer:
            raise MemoryError
        self.callback(free, pointer)
        return pointer

    def area(self, area: tuple[slice, slice], out: Stored) -> None:
        """Decode one area into its place."""
        rows, columns = area
        ends = (columns.start, rows.start, columns.stop, rows.stop)
        _check(self._library.opj_set_decode_area(self._codec, self._image, *ends))
        _check(self._library.opj_decode(self._codec, self._stream, self._image))
        image = self._image.contents
        _check(image.numcomps == self._layout.components)
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        for number in range(image.numcomps):
            component = image.comps[number]
            _check((component.h, component.w) == shape and component.data)
            out[rows, columns, number] = np.ctypeslib.as_array(component.data, shape)

    def _read(self, target: int, size: int, _: int | None) -> int:
        count = min(size, len(self._frame) - self._at)
        if count <= 0:
            return _END
        ctypes.memmove(target, self._frame.ctypes.data + self._at, count)
        self._at += count
        return count

    def _skip(self, size: int, _: int | None) -> int:
        start = self._at
        self._at = max(0, min(start + size, len(self._frame)))
        return self._at - start

    def _seek(self, place: int, _: int | None) -> int:
        if not 0 <= place <= len(self._frame):
            return 0
        self._at = place
        return 1


def _check(done: Any) -> None:
    if not done:
        raise ValueError("OpenJPEG cannot decode the codestream")
