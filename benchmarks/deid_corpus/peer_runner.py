"""De-identification benchmark: runs in a peer's own environment. Knows pydicom and the peer, nothing of this project.

    python peer_runner.py PEER INPUT_FOLDER OUTPUT_FOLDER ROUNDS

PEER is dicognito, dicom-anonymizer, deid, or one of two measures: floor (read and write) and decoded (the same, every
value looked at). Every round treats every file, one after the other in this one process, as the peer's documentation
says, from file to file. Prints a line of JSON: CPU seconds of each round, and the files that failed with the error's
type.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydicom

if TYPE_CHECKING:
    from collections.abc import Callable


def decoded() -> Callable[[Path, Path], None]:
    def work(source: Path, target: Path) -> None:
        dataset = pydicom.dcmread(source)
        # Touching every element makes pydicom convert it, as any tool that looks at the values must.
        for element in dataset.iterall():
            _ = element.value
        dataset.save_as(target)

    return work


def floor() -> Callable[[Path, Path], None]:
    """Read and write without a look at any value: pydicom copies raw elements."""

    def work(source: Path, target: Path) -> None:
        pydicom.dcmread(source).save_as(target)

    return work


def dicognito() -> Callable[[Path, Path], None]:
    from dicognito.anonymizer import Anonymizer  # type: ignore[import-not-found] # noqa: PLC0415 - in the peer's environment

    anonymizer = Anonymizer(seed="benchmark")

    def work(source: Path, target: Path) -> None:
        dataset = pydicom.dcmread(source)
        anonymizer.anonymize(dataset)
        dataset.save_as(target)

    return work


def dicom_anonymizer() -> Callable[[Path, Path], None]:
    from dicomanonymizer.simpledicomanonymizer import anonymize_dicom_file  # type: ignore[import-not-found] # noqa: PLC0415 - as above

    def work(source: Path, target: Path) -> None:
        anonymize_dicom_file(str(source), str(target))

    return work


def deid() -> Callable[[Path, Path], None]:
    from deid.config import DeidRecipe  # type: ignore[import-not-found] # noqa: PLC0415 - as above
    from deid.dicom import replace_identifiers  # type: ignore[import-not-found] # noqa: PLC0415 - as above

    # Its own recipe, whose header rules are what it ships; private elements off, sequences kept as by default.
    recipe = DeidRecipe(base=True)

    def work(source: Path, target: Path) -> None:
        (done,) = replace_identifiers(str(source), deid=recipe, save=False, remove_private=True)
        done.save_as(target)

    return work


PEERS: dict[str, Callable[[], Callable[[Path, Path], None]]] = {
    "floor": floor, "decoded": decoded, "dicognito": dicognito, "dicom-anonymizer": dicom_anonymizer, "deid": deid,
}  # fmt: skip


def main(peer: str, source: Path, target: Path, rounds: int) -> dict[str, Any]:
    work = PEERS[peer]()
    files = sorted(source.iterdir())
    failed: dict[str, str] = {}
    seconds = []
    for number in range(rounds):
        begin = time.process_time()
        for file in files:
            try:
                work(file, target / file.name)
            except BaseException as error:  # noqa: BLE001 - deid exits the process on some errors
                failed[file.name] = type(error).__name__
                (target / file.name).unlink(missing_ok=True)
        # The first round also pays for imports and caches.
        if number or rounds == 1:
            seconds.append(time.process_time() - begin)
    return {"seconds": seconds, "files": len(files), "failed": failed}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    os.environ.setdefault("MESSAGELEVEL", "QUIET")  # deid's own logger
    answer, sys.stdout = sys.stdout, Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - until the process ends
    result = main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
    answer.write(json.dumps(result) + "\n")
