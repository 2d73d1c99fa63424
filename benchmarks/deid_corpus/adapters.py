"""De-identification benchmark: the gateway's own engine, as an adapter."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Self

import yaml

from benchmarks.deid_corpus.output import Output
from gateway.deid.engine import DeidEngine
from gateway.errors import GatewayError, NoPixels
from gateway.ingest.decode import decode
from gateway.ingest.frames import FrameSelection
from gateway.ingest.image import IdentifiableImage
from gateway.ingest.part10 import read_file
from gateway.ingest.upload import MediaType, Upload
from gateway.settings import IngestSettings

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.deid_corpus.corpus import Instance
    from gateway.deid.image import SanitizedImage
    from gateway.ingest.image import DisplayFrame

KEY = b"a key of this benchmark, no secret"
TENANT = "benchmark"
_PIXELS = 0x7FE00010


class Ours:
    """The engine under one policy. Not picklable; one process."""

    name = "cordon"

    def __init__(self, engine: DeidEngine, *, pixels: bool) -> None:
        self._engine = engine
        self._pixels = pixels
        self._limits = IngestSettings()
        self._all = FrameSelection()

    @classmethod
    def load(cls, policy: Path, scratch: Path, *, pixels: bool) -> Self:
        """The engine with a policy as it is, or with the look for text switched off.

        Args:
            policy: One of ``policies/deid/``.
            scratch: Folder for the changed policy.
            pixels: Look for burned-in text.
        """
        if not pixels:
            document = yaml.safe_load(policy.read_text("utf-8"))
            document["pixels"]["look"] = False
            document["options"] = [code for code in document["options"] if code != "113101"]
            policy = scratch / "header-only.yaml"
            policy.write_text(yaml.safe_dump(document), "utf-8")
        return cls(DeidEngine.load(policy, KEY), pixels=pixels)

    def deidentify(self, instance: Instance) -> Output:
        """One instance. A refusal is the name of the error, and where it came from none of ours, that too."""
        before: list[DisplayFrame] | None = [] if self._pixels and instance.has_image else None
        try:
            image = self.read(instance.data)
            if before is not None:
                before = [frame.copy() for _, frame in image.frames()]
            done = self._engine.deidentify(image, tenant=TENANT)
        except GatewayError as error:
            return Output(None, f"{type(error).__name__}: {error.detail}", before)
        except Exception as error:  # noqa: BLE001 - a crash is a result too, and its text may hold values
            return Output(None, f"crash: {type(error).__name__}", before)
        return Output(done.dataset, "", before, list(done.frames) if before is not None else None)

    def read(self, data: bytes) -> IdentifiableImage:
        """As the gateway reads; objects without an image are read too, with no frames."""
        try:
            return decode(Upload(data), self._all, self._limits)
        except NoPixels:
            return self.header(data)

    def header(self, data: bytes) -> IdentifiableImage:
        """The header alone: no frame is decoded."""
        dataset = read_file(data, self._limits).dataset
        return IdentifiableImage(MediaType.DICOM, dataset, (), 0, None, _no_frame)

    def file(self, data: bytes, pixels: bytes | None) -> bytes:
        """Bytes to bytes, header only, for the clock. The pixels go through untouched.

        Args:
            data: The file.
            pixels: Its Pixel Data element, encoded; what other tools read and write without looking at it.
        """
        done: SanitizedImage = self._engine.deidentify(self.header(data), tenant=TENANT)
        assert done.dataset is not None
        buffer = BytesIO()
        if pixels is not None:
            done.dataset.add_new(_PIXELS, "OW", pixels)
            done.dataset[_PIXELS].is_undefined_length = done.dataset.file_meta.TransferSyntaxUID.is_encapsulated
        done.dataset.save_as(buffer, enforce_file_format=True)
        return buffer.getvalue()


def _no_frame(_number: int) -> DisplayFrame:
    raise NoPixels
