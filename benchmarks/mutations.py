"""Damaged files through the whole way: a named error or a whole, stamped file; never a crash, a hang or half a file.

    python benchmarks/mutations.py                 10,000 damaged files from a fixed seed, pixels passed on unseen
    python benchmarks/mutations.py --count 500 --pixels
    python benchmarks/mutations.py --only 4711     one of them again

The seeds are the test files in the pydicom wheel and made JPEG and PNG pictures. Exit status 1 if one went wrong.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import tempfile
import time
import warnings
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np
import pydicom
import pydicom.data
from PIL import Image

from benchmarks.deid_corpus.adapters import KEY, TENANT, header_only
from gateway.deid.engine import DeidEngine
from gateway.errors import GatewayError
from gateway.ingest.decode import decode_object
from gateway.ingest.upload import MediaType, Upload
from gateway.settings import IngestSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNT, SEED, LONGEST = 10_000, 20261121, 2.0
LARGEST_SEED = 300_000
POLICY = ROOT / "policies" / "deid" / "research.yaml"
ODD = (
    b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0\0\0\0\0", b"SQ",
    b"UN", b"OB", b"\x7f", b"\x1b$B", b"\\", b"\x10\0\x10\0", b"\x28\0\x10\0", b"\xe0\x7f\x10\0",
)  # fmt: skip
_PRINTABLE = re.compile(rb"(?<=[ -~])[ -~](?=[ -~])")
"""Lengths without end, items and their delimiters, VRs, an escape of ISO 2022, and tags that matter."""


def seeds() -> dict[str, bytes]:
    """Small files of every kind and transfer syntax."""
    folder = Path(pydicom.data.__file__).parent / "test_files"
    files = {
        path.name: path.read_bytes()
        for path in sorted(folder.glob("*.dcm"))
        if path.stat().st_size <= LARGEST_SEED and "DICOMDIR" not in path.name
    }
    for kind in ("JPEG", "PNG"):
        out = BytesIO()
        Image.fromarray(np.arange(4096, dtype=np.uint8).reshape(64, 64)).save(out, kind)
        files[kind] = out.getvalue()
    return files


def mutants(count: int, seed: int) -> Iterator[tuple[int, str, bytes]]:
    """Number, name of the file it was made from, and the damaged file; each number stands for itself alone."""
    files = list(seeds().items())
    for number in range(count):
        roll = random.Random(f"{seed}/{number}")
        name, data = roll.choice(files)
        for _ in range(roll.choice((1, 1, 1, 2, 3, 6))):
            data = _damaged(data, roll)
        yield number, name, data


def _damaged(data: bytes, roll: random.Random) -> bytes:
    # Headers are short and pixels long: most of the damage goes to the beginning.
    at = int(len(data) * roll.random() ** roll.choice((1, 4)))
    new = roll.choice(ODD) if roll.random() < 0.5 else roll.randbytes(roll.randint(1, 8))
    what = roll.choice(("overwrite", "overwrite", "letters", "letters", "flip", "insert", "delete", "swap", "cut"))
    match what:
        case "overwrite":
            return data[:at] + new + data[at + len(new) :]
        case "letters":
            # Inside values, so that what is read is a whole file that says strange things.
            return (
                data[:at]
                + _PRINTABLE.sub(lambda _: bytes([roll.randint(0x20, 0x7E)]), data[at : at + 9])
                + data[at + 9 :]
            )
        case "insert":
            return data[:at] + new + data[at:]
        case "delete":
            return data[:at] + data[at + len(new) :]
        case "swap":
            other, size = roll.randrange(len(data) + 1), roll.randint(4, 64)
            return data[:at] + data[other : other + size] + data[at + size :]
        case "flip" if at < len(data):
            return data[:at] + bytes([data[at] ^ 1 << roll.randrange(8)]) + data[at + 1 :]
        case _ if roll.random() < 0.3:
            return data[:at]
    return data


def outcome(engine: DeidEngine, data: bytes, limits: IngestSettings, *, trace: bool = False) -> tuple[str, bool]:
    """What came of one file, and whether that is one of the two right answers."""
    begin = time.perf_counter()
    try:
        found = decode_object(Upload(data), limits)
        done = engine.deidentify_object(found, tenant=TENANT)
    except GatewayError as error:
        result, right = type(error).__name__, bool(error.detail)
    except Exception as error:
        if trace:
            raise
        return f"crash: {type(error).__name__}", False
    else:
        wrong = "" if done.media_type is not MediaType.DICOM else fault(done.data)
        result, right = f"a file that {wrong}" if wrong else "given back", not wrong
    if (taken := time.perf_counter() - begin) > LONGEST:
        return f"hang: {taken:.1f} s, {result}", False
    return result, right


def fault(data: bytes) -> str:
    """What is wrong with a file that was given back; empty if nothing is."""
    if data[:132] != bytes(128) + b"DICM":
        return "does not begin as a DICOM file"
    try:
        dataset = pydicom.dcmread(BytesIO(data))
        stamped = (dataset.PatientIdentityRemoved, dataset.DeidentificationMethodCodeSequence[0].CodeValue)
        same = dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
        for element in dataset.iterall():
            _ = element.value
    except Exception as error:  # noqa: BLE001 - whatever pydicom raises, it cannot read the file
        return f"pydicom cannot read: {type(error).__name__}"
    if stamped != ("YES", "113100"):
        return "is not stamped"
    return "" if same else "has two SOP Instance UIDs"


def main() -> int:
    choice = _arguments()
    warnings.simplefilter("ignore")
    limits = IngestSettings(max_frame_pixels=2_000_000, max_total_pixels=4_000_000)
    with tempfile.TemporaryDirectory() as scratch:
        policy = choice.policy if choice.pixels else header_only(choice.policy, Path(scratch))
        engine = DeidEngine.load(policy, KEY)
        outcomes: Counter[str] = Counter()
        wrong, slowest, begin = 0, 0.0, time.perf_counter()
        for number, name, data in mutants(choice.count, choice.seed):
            if choice.only is not None and number != choice.only:
                continue
            start = time.perf_counter()
            result, right = outcome(engine, data, limits, trace=choice.only is not None)
            slowest = max(slowest, time.perf_counter() - start)
            outcomes[result] += 1
            if not right:
                wrong += 1
                print(f"{number} (from {name}): {result}")
    total = outcomes.total()
    print(
        f"{total} damaged files, seed {choice.seed}, policy {choice.policy.stem}, "
        f"pixels {'looked at' if choice.pixels else 'passed on'}"
    )
    for result, count in outcomes.most_common():
        print(f"{count:7d}  {result}")
    print(
        f"{wrong} wrong; slowest {slowest:.2f} s; {1000 * (time.perf_counter() - begin) / max(1, total):.1f} ms a file"
    )
    return 1 if wrong else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--only", type=int, help="number of one file")
    parser.add_argument("--pixels", action="store_true", help="look for burned-in text as the policy says")
    parser.add_argument("--policy", type=Path, default=POLICY)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
