import numpy as np

from inference_client.fake import FakeClient


async def test_logits_follow_from_the_pixels_alone() -> None:
    batch = np.random.default_rng(1).integers(0, 256, (3, 224, 224, 3), np.uint8)
    one = await FakeClient({"m": 4}).infer("m", batch, shape=(4,), timeout=1, request_id="a")
    other = await FakeClient({"m": 4}).infer("m", batch[::-1], shape=(4,), timeout=1, request_id="b")
    assert np.array_equal(one.output, other.output[::-1])
    assert len({tuple(row) for row in one.output.tolist()}) == 3


async def test_it_tells_which_requests_it_computed() -> None:
    client = FakeClient({"m": 4})
    await client.infer("m", np.zeros((1, 224, 224, 3), np.uint8), shape=(4,), timeout=1, request_id="a")
    assert client.requests == ["a"]
