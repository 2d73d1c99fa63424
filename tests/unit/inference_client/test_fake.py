import numpy as np

from inference_client.fake import FakeClient


async def test_logits_follow_from_the_pixels_alone() -> None:
    batch = np.random.default_rng(1).integers(0, 256, (3, 224, 224, 3), np.uint8)
    one = await FakeClient({"m": 4}).infer("m", batch, classes=4, timeout=1, request_id="a")
    other = await FakeClient({"m": 4}).infer("m", batch[::-1], classes=4, timeout=1, request_id="b")
    assert np.array_equal(one.logits, other.logits[::-1])
    assert len({tuple(row) for row in one.logits.tolist()}) == 3


async def test_it_tells_which_requests_it_computed() -> None:
    client = FakeClient({"m": 4})
    await client.infer("m", np.zeros((1, 224, 224, 3), np.uint8), classes=4, timeout=1, request_id="a")
    assert client.requests == ["a"]
