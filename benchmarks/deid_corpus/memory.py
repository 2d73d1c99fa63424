"""De-identification benchmark: peak memory and time of whole large objects, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import zlib
from ctypes import CDLL
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from imagecodecs import htj2k_encode, jpeg2k_encode, jpeg8_encode
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from benchmarks.deid_corpus.pixels import write_line

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Shape:
    """A large object.

    Attributes:
        sop_class: What it is.
        frames, rows, columns, samples, bits: Of its pixels.
        syntax: UID of its transfer syntax.
        look: Look for burned-in text, too.
        text: Whether a line of it is there.
    """

    sop_class: str
    frames: int
    rows: int
    columns: int
    samples: int
    bits: int
    syntax: str
    look: bool
    text: bool = True

    @property
    def decoded(self) -> int:
        """Bytes of all frames, decoded."""
        return self.frames * self.rows * self.columns * self.samples * self.bits // 8


DEFLATED_FRAME = "1.2.840.10008.1.2.8.1"
"""Deflated Image Frame Compression, which pydicom has no name for."""
_US, _EMR, _MG = "1.2.840.10008.5.1.4.1.1.3.1", "1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.1.2"
_SYNTAXES = {
    "native": ExplicitVRLittleEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "RLE": RLELossless,
    "JPEG lossless": JPEGLosslessSV1,
    "JPEG-LS": JPEGLSLossless,
    "JPEG 2000": JPEG2000Lossless,
    "HTJ2K": HTJ2KLossless,
}
_MR = {name: Shape(_EMR, 100, 512, 512, 1, 16, syntax, look=False) for name, syntax in _SYNTAXES.items()}
_SEEN = {name: Shape(_EMR, 40, 512, 512, 1, 16, syntax, look=True) for name, syntax in _SYNTAXES.items()}
SHAPES: Mapping[str, Shape] = {
    **{f"100 MR frames, {name}": shape for name, shape in _MR.items()},
    "120 ultrasound frames, native": Shape(_US, 120, 600, 800, 3, 8, ExplicitVRLittleEndian, look=False),
    "120 ultrasound frames, RLE": Shape(_US, 120, 600, 800, 3, 8, RLELossless, look=False),
    "120 ultrasound frames, JPEG": Shape(_US, 120, 600, 800, 3, 8, JPEGBaseline8Bit, look=False),
    "mammogram, native": Shape(_MG, 1, 4096, 3328, 1, 16, ExplicitVRLittleEndian, look=False),
    **{f"40 MR frames, {name}, looked at": shape for name, shape in _SEEN.items()},
    "40 ultrasound frames, RLE, looked at": Shape(_US, 40, 600, 800, 3, 8, RLELossless, look=True),
    "40 ultrasound frames, JPEG, looked at": Shape(_US, 40, 600, 800, 3, 8, JPEGBaseline8Bit, look=True),
    "mammogram, native, looked at": Shape(_MG, 1, 4096, 3328, 1, 16, ExplicitVRLittleEndian, look=True),
    "mammogram, JPEG lossless, looked at": Shape(_MG, 1, 4096, 3328, 1, 16, JPEGLosslessSV1, look=True),
    "mammogram, JPEG-LS, looked at": Shape(_MG, 1, 4096, 3328, 1, 16, JPEGLSLossless, look=True),
    "mammogram, JPEG 2000, looked at": Shape(_MG, 1, 4096, 3328, 1, 16, JPEG2000Lossless, look=True),
}
SMALL = Shape(_MG, 1, 256, 256, 1, 16, ExplicitVRLittleEndian, look=False)
"""Without text, so that it comes through; the detector is loaded with it, for every shape."""
BLANK = Shape(_MG, 1, 3072, 2496, 1, 16, ExplicitVRLittleEndian, look=False)
"""Looked at in tiles: after it the detector's working memory is as large as it gets."""
GOAL = 3.0


def measure(policy: Path, scratch: Path) -> tuple[str, bool]:
    """A table, and whether all of it is below the goal.

    Each object has a process of its own. What this holds at rest, once it has read the tables, loaded the detector and
    made the largest look there is, is the same whatever object comes: it is printed apart. All above it counts, the
    file that came and the file that goes included. The last column counts the detector's working memory too, as in a
    process that has looked at nothing large before.

    Args:
        policy: One of ``policies/deid/``.
        scratch: Folder for the objects.
    """
    lines = [
        f"{'object':40s}{'decoded':>10s}{'file':>10s}{'peak':>10s}{'peak/decoded':>14s}{'CPU':>9s}{'MB/s':>8s}{'first':>9s}"
    ]
    rest: dict[str, float] = {}
    below = True
    for name, shape in SHAPES.items():
        file = scratch / "large"
        file.write_bytes(large_object(shape))
        command = [sys.executable, __file__, str(file), str(policy), str(scratch), str(int(shape.look))]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=900)
        seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        file.unlink()
        if "refused" in seen:
            lines.append(f"{name:40s} refused: {seen['refused']}")
            below = False
            continue
        size = shape.decoded / 1e6
        share = seen["peak"] / shape.decoded
        below &= share < GOAL
        rest |= seen["rest"]
        lines.append(
            f"{name:40s}{size:7.0f} MB{seen['file'] / 1e6:7.0f} MB{seen['peak'] / 1e6:7.0f} MB"
            f"{share:13.2f}x{seen['seconds']:7.1f} s{size / max(seen['seconds'], 0.001):8.0f}"
            f"{(seen['peak'] + seen['grown']) / shape.decoded:8.2f}x"
        )
    held = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in rest.items())
    lines += [
        f"at rest, whatever comes: {held}",
        f"goal: under {GOAL:.0f} times the decoded object: {'met' if below else 'NOT met'}",
    ]
    return "\n".join(lines), below


def large_object(shape: Shape) -> bytes:
    """A file with soft noise in its pixels, and lines of burned-in text on every frame where they are looked for."""
    roll = np.random.default_rng(1)
    size = (shape.rows, shape.columns)
    y, x = np.mgrid[-1 : 1 : size[0] * 1j, -1 : 1 : size[1] * 1j]
    base = 0.4 * (x**2 + y**2 < 0.8)
    frames = []
    for number in range(shape.frames):
        grey = np.clip(base + roll.normal(0, 0.01, size), 0, 0.7)
        if shape.look and shape.text:
            write_line(grey, f"OSTRANDER LEONORA {number:03d}", 10, 12)
        top = 255 if shape.bits == 8 else 4095
        stored = (grey * top).astype(np.uint8 if shape.bits == 8 else np.uint16)
        frames.append(np.repeat(stored[..., None], 3, axis=-1) if shape.samples == 3 else stored)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = shape.sop_class, "1.2.840.999999.7.1"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.840.999999.7.2", "1.2.840.999999.7.3"
    dataset.PatientName, dataset.PatientID = "Ostrander^Leonora", "MRN-311207"
    dataset.Modality = {_EMR: "MR", _MG: "MG"}.get(shape.sop_class, "US")
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = shape.rows, shape.columns, shape.samples
    dataset.NumberOfFrames = shape.frames
    dataset.PhotometricInterpretation = "RGB" if shape.samples == 3 else "MONOCHROME2"
    if shape.samples == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated, dataset.PixelRepresentation = shape.bits, 0
    dataset.BitsStored = 8 if shape.bits == 8 else 12
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelData = np.stack(frames).tobytes()
    dataset["PixelData"].VR = "OB" if shape.bits == 8 else "OW"
    _compress(dataset, frames, shape.syntax)
    buffer = BytesIO()
    if shape.syntax == DEFLATED_FRAME:  # which pydicom does not write: under a stand-in of the same length
        dataset.file_meta.TransferSyntaxUID = HTJ2KLossless
    little_endian = shape.syntax != ExplicitVRBigEndian
    dataset.save_as(buffer, implicit_vr=False, little_endian=little_endian, enforce_file_format=True)
    if shape.syntax == DEFLATED_FRAME:
        stand_in = HTJ2KLossless.encode()
        return buffer.getvalue().replace(stand_in, DEFLATED_FRAME.encode().ljust(len(stand_in), b"\0"), 1)
    return buffer.getvalue()


def _compress(dataset: Dataset, frames: list[np.ndarray[Any, Any]], syntax: str) -> None:
    """pydicom's encoders where it has one, else imagecodecs'."""
    if syntax in {RLELossless, JPEGLSLossless, JPEG2000Lossless}:
        dataset.compress(syntax, generate_instance_uid=False)
        return
    dataset.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = np.stack(frames).astype(f">u{frames[0].itemsize}").tobytes()
    raw = {"colorspace": "rgb", "outcolorspace": "rgb"} if dataset.SamplesPerPixel == 3 else {}
    encode = {
        JPEGBaseline8Bit: partial(jpeg8_encode, level=90, subsampling="444", colorspace="RGB", outcolorspace="YCBCR"),
        JPEGExtended12Bit: partial(jpeg8_encode, level=90, bitspersample=12),
        JPEGLosslessSV1: partial(jpeg8_encode, lossless=True, predictor=1, bitspersample=dataset.BitsStored, **raw),
        JPEG2000: partial(jpeg2k_encode, level=50, codecformat="j2k", reversible=False, mct=False),
        HTJ2KLossless: partial(htj2k_encode, reversible=True),
        HTJ2K: partial(htj2k_encode, level=0.01, reversible=False),
        DEFLATED_FRAME: _deflate,
    }.get(syntax)
    if encode is None:
        return
    if syntax == JPEGBaseline8Bit:
        dataset.PhotometricInterpretation = "YBR_FULL"
    dataset.PixelData = encapsulate([bytes(encode(frame)) for frame in frames])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True


def _deflate(frame: np.ndarray[Any, Any]) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(frame.tobytes()) + stream.flush()


def status(field: str) -> int:
    """Bytes, of a field of /proc/self/status: VmRSS is now, VmHWM the most since the mark was reset (proc(5))."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field + ":"))


def _one(file: Path, policy: Path, scratch: Path, *, look: bool) -> dict[str, Any]:
    """Measured in this process, which has done nothing else but small objects before."""
    from benchmarks.deid_corpus.adapters import Ours  # noqa: PLC0415 - imports the engine: for the measured process alone
    from gateway.errors import GatewayError  # noqa: PLC0415 - as above
    from gateway.isolation import give_memory_back  # noqa: PLC0415 - as above

    give_memory_back()  # as every worker process does

    engine = Ours.load(policy, scratch, pixels=look)
    engine.limits = engine.limits.model_copy(update={"max_total_pixels": 10**9, "max_frames": 10**4})
    blank, small = large_object(BLANK), large_object(SMALL)
    start = status("VmRSS")
    engine.file(small)
    loaded = status("VmRSS")
    if look:
        engine.file(blank)
    del blank
    rest = {"gateway, tables, interpreter": start}
    if look:
        malloc_trim()
        rest |= {"detector": loaded - start, "its working memory": max(0, status("VmRSS") - loaded)}
    data = file.read_bytes()
    Path("/proc/self/clear_refs").write_text("5", "ascii")
    before, begin = status("VmRSS") - len(data), time.process_time()
    try:
        engine.file(data)
    except GatewayError as error:
        return {"refused": f"{type(error).__name__}: {error.detail}"}
    peak, seconds = status("VmHWM") - before, time.process_time() - begin
    grown = rest.get("its working memory", 0)
    return {"file": len(data), "peak": peak, "seconds": seconds, "rest": rest, "grown": grown}


def malloc_trim() -> None:
    """Give back to the system what the C library holds of freed memory: it is nobody's."""
    CDLL("libc.so.6").malloc_trim(0)


if __name__ == "__main__":
    seen = _one(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), look=sys.argv[4] == "1")
    print(json.dumps(seen))
