"""The model server is told which trace a call belongs to."""

from __future__ import annotations

import numpy as np
import pytest

from inference_client.trace import TRACEPARENT
from inference_client.triton import TritonClient
from tests.support.kserve import KServeServer

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(("traceparent", "sent"), [(PARENT, PARENT), (PARENT[:-2] + "00", ""), ("", "")])
async def test_a_trace_that_is_recorded_goes_with_each_part_of_a_request(traceparent: str, sent: str) -> None:
    server = KServeServer(max_batch=2)
    async with server.serve() as url:
        client = TritonClient(url)
        token = TRACEPARENT.set(traceparent)
        try:
            images = np.zeros((5, 8, 8, 3), np.uint8)
            await client.infer("model", images, shape=(3,), timeout=5, request_id="r")
        finally:
            TRACEPARENT.reset(token)
            await client.close()
    assert [call.metadata.get("traceparent", "") for call in server.calls] == [sent] * 3
