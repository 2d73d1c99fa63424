"""De-identification benchmark: peak memory of one large frame in every transfer syntax, each in a process of its own.

An object of one frame leaves no room: what the gateway holds of a frame, it holds of the whole object. Three ways
through the worker's own functions are measured, each by itself: masked (a line of text is found, and the frame encoded
again), clean (looked at, and passed on), and for a model (decoded, looked at, made into a tensor).
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

from benchmarks.deid_corpus.adapters import KEY, TENANT
from benchmarks.deid_corpus.memory import DEFLATED_FRAME, GOAL, Shape, large_object, malloc_trim, status

if TYPE_CHECKING:
    from collections.abc import Callable

_MG, _US = "1.2.840.10008.5.1.4.1.1.1.2", "1.2.840.10008.5.1.4.1.1.6.1"
_BOTH = {
    "native": ExplicitVRLittleEndian,
    "big endian": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "RLE": RLELossless,
    "JPEG lossless": JPEGLosslessSV1,
    "JPEG-LS": JPEGLSLossless,
    "JPEG 2000": JPEG2000Lossless,
    "JPEG 2000, lossy": JPEG2000,
    "HTJ2K": HTJ2KLossless,
    "HTJ2K, lossy": HTJ2K,
    "deflated frame": DEFLATED_FRAME,
}
SHAPES = {
    f"{what}, {name}": Shape(sop_class, 1, *size, syntax, look=True)
    for what, sop_class, size, own in (
        ("16 bits grey", _MG, (4096, 3328, 1, 16), {"JPEG, 12 bits": JPEGExtended12Bit}),
        ("RGB", _US, (3008, 3024, 3, 8), {"JPEG": JPEGBaseline8Bit}),
    )
    for name, syntax in (_BOTH | own).items()
}
WAYS = ("masked", "clean", "model")


def measure(policy: Path, scratch: Path, names: tuple[str, ...] = tuple(SHAPES)) -> tuple[str, bool]:
    """A table of peaks above what the process holds at rest, in decoded sizes, and whether all are below the goal.

    The file that came and the file that goes are counted; the libraries, the tables, the detector and its largest
    working memory are not: they are the same whatever comes (``memory.measure`` prints them).

    Args:
        policy: One of ``policies/deid/``.
        scratch: Folder for the objects.
        names: Of SHAPES.
    """
    lines = [f"{'one frame':32s}{'decoded':>9s}{'file':>8s}{'masked':>9s}{'clean':>9s}{'model':>9s}{'CPU':>8s}"]
    below = True
    for name in names:
        shape = SHAPES[name]
        for text in (True, False):
            file = scratch / f"frame-{text}"
            file.write_bytes(large_object(replace(shape, text=text)))
        command = [sys.executable, __file__, str(scratch), str(policy), name]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=900)
        seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        size = (scratch / "frame-True").stat().st_size
        line = f"{name:32s}{shape.decoded / 1e6:6.0f} MB{size / 1e6:5.0f} MB"
        for way in WAYS:
            share = seen[way] / shape.decoded
            below &= share < GOAL
            line += f"{share:8.2f}x"
        lines.append(f"{line}{seen['seconds']:6.1f} s  {seen['recoded']}")
    lines.append(f"goal: under {GOAL:.0f} times the decoded object: {'met' if below else 'NOT met'}")
    return "\n".join(lines), below


def _one(scratch: Path, policy: Path, name: str) -> dict[str, Any]:
    """All three ways, in this process."""
    from gateway.isolation import give_memory_back  # noqa: PLC0415 - imports the gateway: for the measured process alone

    give_memory_back()  # as every worker process does
    whole, model = _ways(policy)
    shape = SHAPES[name]
    # The detector's working memory is as large as a look at a frame of this size makes it, and the codec is loaded.
    for warm in (replace(shape, syntax=ExplicitVRLittleEndian), replace(shape, rows=256, columns=320)):
        data = large_object(warm)
        whole(data)
        model(data)
        del data
    result: dict[str, Any] = {}
    for way in WAYS:
        gc.collect()
        malloc_trim()
        data = (scratch / f"frame-{way != 'clean'}").read_bytes()
        Path("/proc/self/clear_refs").write_text("5", "ascii")
        before, begin = status("VmRSS") - len(data), time.process_time()
        said = (model if way == "model" else whole)(data)
        result[way] = status("VmHWM") - before
        if way == "masked":
            result |= {"seconds": time.process_time() - begin, "recoded": said}
        del data
    return result


def _ways(policy: Path) -> tuple[Callable[[bytes], str], Callable[[bytes], str]]:
    """What a worker does with a whole object, and with one for a model; each says in what masks were encoded."""
    from pydantic import SecretStr  # noqa: PLC0415 - for the measured process alone

    from gateway.deid.engine import DeidEngine  # noqa: PLC0415 - likewise
    from gateway.ingest.decode import decode  # noqa: PLC0415 - likewise
    from gateway.ingest.frames import FrameSelection  # noqa: PLC0415 - likewise
    from gateway.ingest.upload import Upload  # noqa: PLC0415 - likewise
    from gateway.models.spec import InputSpec  # noqa: PLC0415 - likewise
    from gateway.preprocess.tensor import to_tensor  # noqa: PLC0415 - likewise
    from gateway.settings import DeidSettings, IngestSettings  # noqa: PLC0415 - likewise
    from gateway.work import ObjectWork, deidentify  # noqa: PLC0415 - likewise

    limits = IngestSettings()
    settings = DeidSettings(policy=policy, key=SecretStr(KEY.decode()))
    engine = DeidEngine.load(policy, KEY)

    def whole(data: bytes) -> str:
        work = ObjectWork(
            upload=Upload(data), tenant=TENANT, limits=limits, deid=settings, multipart=False, max_bytes=2**30
        )
        return deidentify(work).report.recoded

    def model(data: bytes) -> str:
        image = decode(Upload(data), FrameSelection(), limits)
        to_tensor(engine.deidentify(image, tenant=TENANT), InputSpec())
        return ""

    return whole, model


if __name__ == "__main__":
    print(json.dumps(_one(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])))
