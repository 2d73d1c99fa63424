import io

import numpy as np
import pydicom
import pytest
from PIL import Image

from gateway.embedded.phantom import burn_in, head
from gateway.embedded.samples import Sample, all_samples, multi_frame, single_frame


def test_they_are_the_same_each_time() -> None:
    assert all_samples() == all_samples()


@pytest.mark.parametrize("sample", all_samples(), ids=lambda sample: sample.name)
def test_every_listed_identifier_is_really_in_the_file(sample: Sample) -> None:
    data = sample.data
    if sample.media_type == "image/png":
        image = Image.open(io.BytesIO(data))
        image.load()
        data += "".join(str(value) for value in image.info.values()).encode()  # some chunks are compressed
    missing = [each for each in sample.identifiers if each.encode() not in data]
    assert not missing
    assert sample.identifiers


@pytest.mark.parametrize(("sample", "frames"), [(single_frame(), 1), (multi_frame(), 5)], ids=["single", "multi"])
def test_the_dicom_files_are_valid_mr(sample: Sample, frames: int) -> None:
    dataset = pydicom.dcmread(io.BytesIO(sample.data))
    assert dataset.Modality == "MR"
    assert int(dataset.get("NumberOfFrames", 1)) == frames
    pixels = dataset.pixel_array.reshape(frames, dataset.Rows, dataset.Columns)
    assert pixels.dtype == np.uint16
    assert pixels.max() == 4095


def test_the_rasters_decode() -> None:
    for sample in all_samples()[2:]:
        image = Image.open(io.BytesIO(sample.data))
        assert image.mode == "L"
        assert image.size == (384, 384)


def test_text_is_burned_into_the_corner_and_nowhere_else() -> None:
    plain = head(256)
    marked = burn_in(plain, [("EXAMPLE", 20)])
    changed = np.argwhere(plain != marked)
    assert len(changed) > 100
    assert changed[:, 0].max() < 40


def test_the_slices_differ() -> None:
    assert np.abs(head(128, level=0.0) - head(128, level=0.4)).mean() > 0.01
