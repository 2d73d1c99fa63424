"""De-identification benchmark: peak memory and time of whole large objects, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless, RLELossless

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
    """

    sop_class: str
    frames: int
    rows: int
    columns: int
    samples: int
    bits: int
    syntax: str
    look: bool

    @property
    def decoded(self) -> int:
        """Bytes of all frames, decoded."""
        return self.frames * self.rows * self.columns * self.samples * self.bits // 8


_US, _EMR, _MG = "1.2.840.10008.5.1.4.1.1.3.1", "1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.1.2"
SHAPES: Mapping[str, Shape] = {
    "enhanced MR, 16 bit, native": Shape(_EMR, 200, 512, 512, 1, 16, ExplicitVRLittleEndian, look=False),
    "enhanced MR, 16 bit, JPEG-LS": Shape(_EMR, 200, 512, 512, 1, 16, JPEGLSLossless, look=False),
    "ultrasound, RGB, native": Shape(_US, 120, 600, 800, 3, 8, ExplicitVRLittleEndian, look=False),
    "ultrasound, RGB, RLE": Shape(_US, 120, 600, 800, 3, 8, RLELossless, look=False),
    "enhanced MR, 16 bit, native, looked at": Shape(_EMR, 100, 512, 512, 1, 16, ExplicitVRLittleEndian, look=True),
    "ultrasound, RGB, RLE, looked at": Shape(_US, 40, 600, 800, 3, 8, RLELossless, look=True),
    "mammogram, 16 bit, looked at": Shape(_MG, 1, 4096, 3328, 1, 16, ExplicitVRLittleEndian, look=True),
}
SMALL = Shape(_MG, 1, 256, 256, 1, 16, ExplicitVRLittleEndian, look=False)
"""Without text, so that it comes through; the detector is loaded with it, for every shape."""


def measure(policy: Path, scratch: Path) -> str:
    """A table: each object's decoded size, the peak above what the process held before, and the time.

    Args:
        policy: One of ``policies/deid/``.
        scratch: Folder for the objects.
    """
    lines = [f"{'object':40s}{'decoded':>10s}{'file':>10s}{'peak':>10s}{'peak/decoded':>14s}{'CPU':>9s}{'MB/s':>8s}"]
    for name, shape in SHAPES.items():
        file = scratch / "large"
        file.write_bytes(large_object(shape))
        command = [sys.executable, __file__, str(file), str(policy), str(scratch), str(int(shape.look))]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=900)
        seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        file.unlink()
        if "refused" in seen:
            lines.append(f"{name:40s} refused: {seen['refused']}")
            continue
        size = shape.decoded / 1e6
        lines.append(
            f"{name:40s}{size:7.0f} MB{seen['file'] / 1e6:7.0f} MB{seen['peak'] / 1e6:7.0f} MB"
            f"{seen['peak'] / shape.decoded:13.2f}x{seen['seconds']:7.1f} s{size / seen['seconds']:8.0f}"
        )
    return "\n".join(lines)


def large_object(shape: Shape) -> bytes:
    """A file with soft noise in its pixels, and lines of burned-in text on every frame where they are looked for."""
    roll = np.random.default_rng(1)
    size = (shape.rows, shape.columns)
    y, x = np.mgrid[-1 : 1 : size[0] * 1j, -1 : 1 : size[1] * 1j]
    base = 0.4 * (x**2 + y**2 < 0.8)
    frames = []
    for number in range(shape.frames):
        grey = np.clip(base + roll.normal(0, 0.01, size), 0, 0.7)
        if shape.look:
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
    dataset.Modality = {_US: "US", _EMR: "MR", _MG: "MG"}[shape.sop_class]
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
    if shape.syntax != ExplicitVRLittleEndian:
        dataset.compress(shape.syntax, generate_instance_uid=False)
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _status(field: str) -> int:
    """Bytes, of a field of /proc/self/status: VmRSS is now, VmHWM the most since the mark was reset (proc(5))."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field + ":"))


def _one(file: Path, policy: Path, scratch: Path, *, look: bool) -> dict[str, Any]:
    """Measured in this process, which has done nothing else but one small object before."""
    from benchmarks.deid_corpus.adapters import Ours  # noqa: PLC0415 - imports the engine: for the measured process alone
    from gateway.errors import GatewayError  # noqa: PLC0415 - as above

    engine = Ours.load(policy, scratch, pixels=look)
    engine.limits = engine.limits.model_copy(update={"max_total_pixels": 10**9, "max_frames": 10**4})
    engine.file(large_object(SMALL))
    data = file.read_bytes()
    Path("/proc/self/clear_refs").write_text("5", "ascii")
    before, begin = _status("VmRSS") - len(data), time.process_time()
    try:
        engine.file(data)
    except GatewayError as error:
        return {"refused": f"{type(error).__name__}: {error.detail}"}
    return {"file": len(data), "peak": _status("VmHWM") - before, "seconds": time.process_time() - begin}


if __name__ == "__main__":
    seen = _one(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), look=sys.argv[4] == "1")
    print(json.dumps(seen))
