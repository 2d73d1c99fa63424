from types import SimpleNamespace

import numpy as np
import pytest

from inference_client.errors import InferenceRejected
from inference_client.metadata import ModelMetadata, Scaling

CONFIG = SimpleNamespace(max_batch_size=8)


def model(datatype: str, *shape: int) -> ModelMetadata:
    tensor = SimpleNamespace(name="image", datatype=datatype, shape=[-1, *shape])
    return ModelMetadata.of(SimpleNamespace(inputs=[tensor], outputs=[SimpleNamespace(name="logits")]), CONFIG)


def pictures(channels: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (2, 4, 6, channels), np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("datatype", ["UINT8", "FP32"])
@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_every_layout_type_and_colour_is_made(layout: str, datatype: str, channels: int) -> None:
    found = model(datatype, *((4, 6, channels) if layout == "nhwc" else (channels, 4, 6)))
    assert (found.layout, found.datatype, found.channels, found.height, found.width) == (
        layout,
        datatype,
        channels,
        4,
        6,
    )
    images = pictures(channels)
    found.check(images)
    array, sent_as = found.arrange(images)
    assert (sent_as, array.flags.c_contiguous) == (datatype, True)
    expected = images if datatype == "UINT8" else images / 255
    np.testing.assert_allclose(array, expected if layout == "nhwc" else expected.transpose(0, 3, 1, 2), rtol=1e-6)
    assert found.blank().shape == (1, 4, 6, channels)


def test_floats_are_scaled_channel_by_channel() -> None:
    images = pictures(3)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    array, _ = model("FP32", 3, 4, 6).arrange(images, Scaling(255.0, mean, std))
    assert array.dtype == np.float32
    np.testing.assert_allclose(array.transpose(0, 2, 3, 1), (images / 255 - mean) / std, atol=1e-5)
    raw, _ = model("FP32", 4, 6, 3).arrange(images, Scaling(1.0))
    np.testing.assert_array_equal(raw, images.astype(np.float32))


@pytest.mark.parametrize(
    ("datatype", "shape"), [("INT64", (4, 6, 3)), ("UINT8", (4, 6, 4)), ("FP32", (2, 4, 6)), ("UINT8", (24,))]
)
def test_what_takes_no_images_is_refused(datatype: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(InferenceRejected):
        model(datatype, *shape)


def test_images_of_another_colour_are_refused() -> None:
    with pytest.raises(InferenceRejected, match="4, 6, 1"):
        model("UINT8", 4, 6, 1).check(pictures(3))
