"""The bytes that are written by hand are what protobuf reads."""

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from inference_client.message import message


def _read(array: np.ndarray, datatype: str = "UINT8", **changed: object) -> service_pb2.ModelInferRequest:
    known = {"name": "image", "output": "logits", "request_id": "r-1", "microseconds": 2_500_000} | changed
    return service_pb2.ModelInferRequest.FromString(message("resnet", "3", array, datatype=datatype, **known))


@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (1, 4, 8, 4), (1, 224, 224, 3), (16, 224, 224, 3)])
def test_protobuf_reads_it(shape):
    array = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    read = _read(array)
    assert (read.model_name, read.model_version, read.id) == ("resnet", "3", "r-1")
    assert read.parameters["timeout"].int64_param == 2_500_000
    assert [(each.name, each.datatype, tuple(each.shape)) for each in read.inputs] == [("image", "UINT8", shape)]
    assert [each.name for each in read.outputs] == ["logits"]
    assert list(read.raw_input_contents) == [array.tobytes()]


def test_floats_are_sent_as_they_lie():
    array = np.linspace(0, 1, 3 * 32 * 32, dtype=np.float32).reshape(1, 3, 32, 32)
    read = _read(array, "FP32")
    assert np.array_equal(np.frombuffer(read.raw_input_contents[0], np.float32).reshape(array.shape), array)


def test_each_request_has_its_own_id_and_time():
    array = np.zeros((1, 2, 2, 3), np.uint8)
    first, second = _read(array), _read(array, request_id="r-2", microseconds=1)
    assert (first.id, second.id) == ("r-1", "r-2")
    assert second.parameters["timeout"].int64_param == 1
    assert len(second.inputs) == len(second.outputs) == 1
