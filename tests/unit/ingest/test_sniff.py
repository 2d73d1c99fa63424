"""Step 2: the type is what the bytes say."""

import pytest

from gateway.errors import UnsafeFile, UnsupportedMediaType
from gateway.ingest.sniff import check_declared, sniff
from gateway.ingest.upload import MediaType
from tests.support.dicom_files import file, sample


@pytest.mark.parametrize(
    ("start", "found"),
    [
        (b"\xff\xd8\xff\xe0", MediaType.JPEG),
        (b"\x89PNG\r\n\x1a\n", MediaType.PNG),
        (file(b""), MediaType.DICOM),
        (file(b"", preamble=b"II*\0\x08\0\0\0"), MediaType.DICOM),
        (file(b"", preamble=b"MM\0*\0\0\0\x08"), MediaType.DICOM),
    ],
)
def test_a_known_content_is_named(start: bytes, found: MediaType) -> None:
    assert sniff(start) is found


@pytest.mark.parametrize("data", [b"", b"DICM", b"\xff\xd8", b"GIF89a", b"\x89PNG", b"%PDF-1.7", b"\0" * 200])
def test_an_unknown_content_is_refused(data: bytes) -> None:
    with pytest.raises(UnsupportedMediaType):
        sniff(data)


@pytest.mark.parametrize("name", ["no_meta.dcm", "ExplVR_LitEndNoMeta.dcm", "rtstruct.dcm"])
def test_a_bare_data_set_is_refused_because_nothing_names_its_encoding(name: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        sniff(sample(name))


@pytest.mark.parametrize(
    "preamble", [b"MZ\x90\0", b"\x7fELF", b"#!/bin/sh\n", b"\xff\xd8\xff\xe0", b"\0" * 127 + b"\1"]
)
def test_a_preamble_that_could_be_another_format_is_refused(preamble: bytes) -> None:
    with pytest.raises(UnsafeFile):
        sniff(file(b"", preamble=preamble))


@pytest.mark.parametrize("declared", [None, "", "application/octet-stream", "image/png"])
def test_undeclared_or_rightly_declared_passes(declared: str | None) -> None:
    check_declared(declared, MediaType.PNG)


@pytest.mark.parametrize("declared", ["image/jpeg", "application/dicom", "text/plain", "image/*", "patient/doe"])
def test_declared_as_something_else_is_refused_without_repeating_the_declaration(declared: str) -> None:
    with pytest.raises(UnsupportedMediaType) as refusal:
        check_declared(declared, MediaType.PNG)
    assert "doe" not in refusal.value.detail
