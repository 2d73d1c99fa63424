"""De-identification benchmark: the gateway's own engine, as an adapter. File in, file out, as ``cordon deid`` does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import yaml

from benchmarks.deid_corpus.codes import CODES
from benchmarks.deid_corpus.output import Output, frames_of, read_output
from gateway.deid.engine import DeidEngine
from gateway.errors import GatewayError
from gateway.ingest.decode import decode_object
from gateway.ingest.upload import Upload
from gateway.settings import IngestSettings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from benchmarks.deid_corpus.corpus import Instance

KEY = b"a key of this benchmark, no secret"
TENANT = "benchmark"
PIXEL_OPTIONS = {"113101", "113102"}
DATES = {"least_days": 365, "most_days": 1460}


class Ours:
    """The engine under one policy. Not picklable; one process.

    Attributes:
        limits: On one file; the gateway's own unless they are changed.
    """

    name = "cordon"

    def __init__(self, engine: DeidEngine, *, pixels: bool) -> None:
        self._engine = engine
        self._pixels = pixels
        self.limits = IngestSettings()

    @classmethod
    def load(cls, policy: Path, scratch: Path, *, pixels: bool, options: Iterable[str] | None = None) -> Self:
        """The engine with a policy as it is, or with the look for text switched off.

        Args:
            policy: One of ``policies/deid/``.
            scratch: Folder for the changed policy.
            pixels: Look for burned-in text.
            options: Names out of CODES to put in the place of the policy's own.
        """
        if options is not None:
            document = yaml.safe_load(policy.read_text("utf-8"))
            codes = {CODES[option] for option in options} | (PIXEL_OPTIONS & set(document["options"]))
            document["options"] = sorted(codes)
            document.pop("dates", None)
            if CODES["dates"] in codes:
                document["dates"] = DATES
            policy = scratch / policy.name
            policy.write_text(yaml.safe_dump(document), "utf-8")
        if not pixels:
            policy = header_only(policy, scratch)
        return cls(DeidEngine.load(policy, KEY), pixels=pixels)

    def deidentify(self, instance: Instance) -> Output:
        """One instance. A refusal is the name of the error, and where it came from none of ours, that too."""
        before = frames_of(instance.data) if self._pixels and instance.has_image else None
        try:
            data = self.file(instance.data)
        except GatewayError as error:
            return Output(None, f"{type(error).__name__}: {error.detail}", before)
        except Exception as error:  # noqa: BLE001 - a crash is a result too, and its text may hold values
            return Output(None, f"crash: {type(error).__name__}", before)
        return read_output(data, before)

    def file(self, data: bytes) -> bytes:
        """File to file.

        Raises:
            GatewayError: It is refused.
        """
        return self._engine.deidentify_object(decode_object(Upload(data), self.limits), tenant=TENANT).data


def header_only(policy: Path, scratch: Path) -> Path:
    """A copy of a policy under which pixels go on without a look, which it then does not claim."""
    document = yaml.safe_load(policy.read_text("utf-8"))
    document["pixels"]["look"] = False
    document["visible_features"] = "accept"
    document["options"] = [code for code in document["options"] if code not in PIXEL_OPTIONS]
    copy = scratch / policy.name
    copy.write_text(yaml.safe_dump(document), "utf-8")
    return copy
