"""Nothing leaves, be it an image for a model or a whole object, in whose header an identifier is still to be found."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from gateway.errors import NotSanitizable
from gateway.ingest.decode import decode_object
from gateway.ingest.upload import Upload
from gateway.settings import IngestSettings
from tests.support import deid
from tests.support.dicom_files import DEFLATED, EXPLICIT_LITTLE, attributes, element, file, text

IDENTIFIER = "77881234567"
META = text(0x00020002, "UI", "1.2.840.10008.5.1.4.1.1.2") + text(0x00020003, "UI", "1.2.3")


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    return deid.engine(folder=tmp_path_factory.mktemp("policy"))


def ct(thickness: str) -> bytes:
    """A CT image whose Slice Thickness, a number that is kept, is ``thickness``."""
    pixels = element(0x7FE00010, "OW", np.arange(16, dtype="<u2").tobytes())
    return b"".join(
        [
            text(0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.2"),
            text(0x00080018, "UI", "1.2.3"),
            text(0x00080060, "CS", "CT"),
            text(0x00100010, "PN", "Testmann^Erika"),
            text(0x00100020, "LO", IDENTIFIER),
            text(0x00180050, "DS", thickness),
            attributes(4, 4, allocated=16),
            pixels,
        ]
    )


def test_an_object_that_holds_none_is_given_back(engine):
    done = engine.deidentify_object(decode_object(Upload(file(ct("2.5"), meta=META)), IngestSettings()), tenant="a")
    assert b"2.5 " in done.data
    assert IDENTIFIER.encode() not in done.data


@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, DEFLATED])
def test_an_object_that_still_holds_one_is_refused_and_it_is_not_quoted(engine, syntax):
    body = ct(IDENTIFIER)
    if syntax == DEFLATED:
        stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        body = stream.compress(body) + stream.flush()
    found = decode_object(Upload(file(body, syntax, meta=META)), IngestSettings())
    with pytest.raises(NotSanitizable, match=r"\(0018,0050\)") as refusal:
        engine.deidentify_object(found, tenant="a")
    assert "7788" not in refusal.value.detail


def test_an_image_for_a_model_that_still_holds_one_is_refused(engine):
    dataset = deid.header()
    dataset.PatientID = dataset.SliceThickness = IDENTIFIER
    with pytest.raises(NotSanitizable, match=r"\(0018,0050\)"):
        engine.deidentify(deid.image(dataset), tenant="a")
