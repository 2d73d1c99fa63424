import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import suppress
from time import monotonic

import grpc
import numpy as np
import pytest

from inference_client.client import Inference
from inference_client.errors import (
    InferenceError,
    InferenceRejected,
    InferenceTimeout,
    InvalidAnswer,
    ModelNotReady,
    ServerBusy,
    ServerUnreachable,
)
from inference_client.triton import TritonClient
from tests.support.kserve import KServeServer

SECRET = "DOE^JANE"


@pytest.fixture
async def server() -> AsyncIterator[KServeServer]:
    server = KServeServer()
    async with server.serve():
        yield server


@pytest.fixture
async def client(server: KServeServer) -> AsyncIterator[TritonClient]:
    client = TritonClient(f"127.0.0.1:{server.port}")
    yield client
    await client.close()


def images(count: int = 1) -> np.ndarray:
    """Image number n is n everywhere."""
    return np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((count, 8, 8, 3), np.uint8)


async def ask(
    client: TritonClient, batch: np.ndarray | None = None, *, seconds: float = 5.0, shape: tuple[int, ...] = (3,)
) -> Inference:
    batch = images() if batch is None else batch
    return await client.infer("m", batch, shape=shape, timeout=seconds, request_id="r-1", version="1")


async def test_uint8_images_travel_as_they_are(client: TritonClient, server: KServeServer) -> None:
    batch = np.random.default_rng(1).integers(0, 256, (2, 8, 8, 3), np.uint8)
    await ask(client, batch)
    assert server.calls[0].request.inputs[0].datatype == "UINT8"
    assert np.array_equal(server.calls[0].images, batch)


async def test_images_that_are_a_view_are_sent_in_the_order_of_their_pixels(
    client: TritonClient, server: KServeServer
) -> None:
    batch = np.random.default_rng(1).integers(0, 256, (2, 8, 16, 3), np.uint8)[:, ::-1, ::2]
    await ask(client, batch)
    assert np.array_equal(server.calls[0].images, batch)


async def test_a_float_model_gets_channels_first_between_zero_and_one(
    client: TritonClient, server: KServeServer
) -> None:
    server.datatype, server.shape = "FP32", (-1, 3, 8, 8)
    batch = np.random.default_rng(1).integers(0, 256, (2, 8, 8, 3), np.uint8)
    await ask(client, batch)
    assert server.calls[0].images.shape == (2, 3, 8, 8)
    assert np.array_equal(server.calls[0].images, batch.transpose(0, 3, 1, 2).astype(np.float32) / 255)


async def test_more_images_than_a_batch_are_split_sent_at_once_and_answered_in_order(
    client: TritonClient, server: KServeServer
) -> None:
    server.delay = 0.2
    began = monotonic()
    answer = await ask(client, images(10))
    assert answer.output[:, 0].tolist() == list(range(10))
    assert sorted(len(call.images) for call in server.calls) == [2, 4, 4]
    assert monotonic() - began < 0.5  # three times 0.2 s, one after the other, would be longer


async def test_a_model_without_a_batch_limit_gets_all_images_in_one_request(
    client: TritonClient, server: KServeServer
) -> None:
    server.max_batch = 0
    await ask(client, images(10))
    assert [len(call.images) for call in server.calls] == [10]


async def test_the_server_learns_request_id_version_and_time_left(client: TritonClient, server: KServeServer) -> None:
    await ask(client, seconds=2.0)
    call = server.calls[0]
    assert (call.request.id, call.request.model_version) == ("r-1", "1")
    assert 0 < call.request.parameters["timeout"].int64_param <= 2_000_000
    assert 0 < call.time_remaining <= 2.01  # gRPC rounds seconds up to hundredths on the wire


async def test_a_model_that_was_found_ready_is_known(client: TritonClient, server: KServeServer) -> None:
    """So that the first caller does not wait for what the model takes."""
    server.ready = False
    assert not await client.ready("m", "1")
    assert server.metadata_reads == 0
    server.ready = True
    assert await client.ready("m", "1")
    assert await client.ready("m", "1")
    await ask(client)
    assert server.metadata_reads == 1
    assert [len(call.images) for call in server.calls] == [1]


async def test_metadata_is_read_once_and_again_after_a_failure(client: TritonClient, server: KServeServer) -> None:
    await ask(client)
    await ask(client)
    assert server.metadata_reads == 1
    server.fail = (grpc.StatusCode.UNAVAILABLE, "gone")
    with pytest.raises(ModelNotReady):
        await ask(client)
    server.fail, server.datatype, server.shape = None, "FP32", (-1, 3, 8, 8)
    await ask(client)
    assert server.metadata_reads == 2
    assert server.calls[-1].images.dtype == np.float32


@pytest.mark.parametrize(
    ("code", "sentence", "error"),
    [
        ("UNAVAILABLE", "[request id: 1] Exceeds maximum queue size", ServerBusy),
        ("UNAVAILABLE", "Request timeout expired", ServerBusy),
        ("RESOURCE_EXHAUSTED", "", ServerBusy),
        ("UNAVAILABLE", "Server is stopping, scheduler for model has stopped", ServerUnreachable),
        ("UNAVAILABLE", "failed to connect to all addresses; last error: Connection refused", ServerUnreachable),
        ("UNAVAILABLE", "Socket closed", ModelNotReady),
        ("NOT_FOUND", "Request for unknown model: 'm' has no available versions", ModelNotReady),
        ("INTERNAL", "Stub process 'm_0_0' is not healthy.", ModelNotReady),
        ("CANCELLED", "", ModelNotReady),
        ("DEADLINE_EXCEEDED", "", InferenceTimeout),
        ("INVALID_ARGUMENT", "unexpected shape for input 'image'", InferenceRejected),
        ("INTERNAL", "anything", InferenceRejected),
        ("UNAUTHENTICATED", "", InferenceRejected),
    ],
)
async def test_each_status_has_its_error_and_none_repeats_the_servers_words(
    client: TritonClient, server: KServeServer, code: str, sentence: str, error: type[InferenceError]
) -> None:
    server.fail = (grpc.StatusCode[code], f"{sentence} {SECRET}")
    with pytest.raises(InferenceError) as raised:
        await ask(client)
    assert type(raised.value) is error
    assert SECRET not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda s, c: s.logits(c, np.zeros((1, 4), np.float32)), id="a class too many"),
        pytest.param(lambda s, c: s.logits(c, np.zeros((2, 3), np.float32)), id="an image too many"),
        pytest.param(lambda s, c: s.logits(c, np.zeros((3,), np.float32)), id="a dimension too few"),
        pytest.param(lambda s, c: s.logits(c, np.full((1, 3), np.nan, np.float32)), id="not a number"),
        pytest.param(lambda s, c: s.logits(c, np.full((1, 3), np.inf, np.float32)), id="infinite"),
        pytest.param(lambda s, c: s.logits(c, np.zeros((1, 3)), datatype="FP64"), id="another dtype"),
        pytest.param(lambda s, c: s.logits(c, np.zeros(0, np.float32), shape=[1, 3]), id="no bytes"),
        pytest.param(lambda s, c: s.logits(c, name="other"), id="another output"),
    ],
)
async def test_an_answer_that_does_not_fit_is_not_believed(client: TritonClient, server: KServeServer, answer) -> None:
    server.answer = lambda call: answer(server, call)
    with pytest.raises(InvalidAnswer):
        await ask(client)


async def test_a_free_length_takes_what_comes_and_the_same_of_every_part(
    client: TritonClient, server: KServeServer
) -> None:
    server.answer = lambda call: server.logits(call, np.ones((len(call.images), 6, 10), np.float32))
    assert (await ask(client, images(8), shape=(6, -1))).output.shape == (8, 6, 10)
    for shape in ((5, -1), (6, 9), (6,), (6, -1, -1)):
        with pytest.raises(InvalidAnswer):
            await ask(client, shape=shape)
    server.answer = lambda call: server.logits(call, np.ones((4, 6, len(server.calls)), np.float32))
    with pytest.raises(InvalidAnswer):
        await ask(client, images(8), shape=(6, -1))
    server.answer = lambda call: server.logits(call, np.ones((1, 6, 0), np.float32))
    with pytest.raises(InvalidAnswer):
        await ask(client, shape=(6, -1))


async def test_parts_answered_by_two_versions_are_no_answer(client: TritonClient, server: KServeServer) -> None:
    versions = itertools.count(1)  # not the number of calls: both may be there before the first is answered
    server.answer = lambda call: server.logits(call, version=str(next(versions)))
    with pytest.raises(ModelNotReady):
        await ask(client, images(8))


@pytest.mark.parametrize(
    "batch",
    [
        pytest.param(np.zeros((0, 8, 8, 3), np.uint8), id="no image"),
        pytest.param(np.zeros((8, 8, 3), np.uint8), id="no batch"),
        pytest.param(np.zeros((1, 8, 8, 3), np.float32), id="floats"),
        pytest.param(np.zeros((1, 9, 8, 3), np.uint8), id="another size"),
        pytest.param(np.zeros((1, 8, 8, 1), np.uint8), id="grey"),
    ],
)
async def test_images_that_do_not_fit_the_model_are_not_sent(
    client: TritonClient, server: KServeServer, batch: np.ndarray
) -> None:
    with pytest.raises(InferenceRejected):
        await ask(client, batch)
    assert not server.calls


@pytest.mark.parametrize(
    ("datatype", "shape"), [("FP16", (-1, 3, 8, 8)), ("UINT8", (-1, 4, 8, 8)), ("UINT8", (8, 8, 3))]
)
async def test_a_model_that_asks_for_something_else_is_not_fed(
    client: TritonClient, server: KServeServer, datatype: str, shape: tuple[int, ...]
) -> None:
    server.datatype, server.shape = datatype, shape
    with pytest.raises(InferenceRejected):
        await ask(client)
    assert not server.calls


async def test_one_deadline_covers_metadata_and_inference(client: TritonClient, server: KServeServer) -> None:
    server.metadata_delay, server.delay = 0.3, 5.0
    began = monotonic()
    with pytest.raises(InferenceTimeout):
        await ask(client, seconds=0.5)
    assert 0.4 < monotonic() - began < 0.8


async def test_no_time_left_is_a_timeout_before_anything_is_sent(client: TritonClient, server: KServeServer) -> None:
    with pytest.raises(InferenceTimeout):
        await ask(client, seconds=0.0)
    assert server.metadata_reads == 0


async def test_a_cancelled_task_cancels_every_part_on_the_server(client: TritonClient, server: KServeServer) -> None:
    await ask(client)
    server.delay = 30.0
    task = asyncio.create_task(ask(client, images(8), seconds=30.0))
    await server.wait_for(lambda: len(server.calls) == 3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await server.wait_for(lambda: server.cancelled == 2)


async def test_a_part_that_fails_cancels_the_others(client: TritonClient, server: KServeServer) -> None:
    await ask(client)
    server.delay = 0.1

    def fail_one(call):
        if call.images[0, 0, 0, 0] == 0:
            return server.logits(call, np.zeros((1, 1), np.float32))
        return server.logits(call)

    server.answer = fail_one
    with pytest.raises(InvalidAnswer):
        await ask(client, images(8))
    assert (await ask(client, images(8)[4:])).output.shape == (4, 3)


async def test_a_restarted_server_is_found_again_within_two_seconds() -> None:
    server = KServeServer()
    async with server.serve() as url:
        client = TritonClient(url)
        await ask(client)
    # Down for a while, and asked all the time: gRPC waits longer after each attempt.
    down = monotonic() + 2.5
    while monotonic() < down:
        with pytest.raises(ModelNotReady):
            await ask(client, seconds=1.0)
        assert not await client.ready("m", "1")
        await asyncio.sleep(0.1)
    async with server.serve():
        up = monotonic()
        answered = False
        while not answered and monotonic() - up < 2.0:
            with suppress(ModelNotReady):
                answered = (await ask(client, seconds=1.0)).output.shape == (1, 3)
            await asyncio.sleep(0.02)
        assert answered
        assert await client.ready("m", "1")
    await client.close()


async def test_ready_is_false_and_quick_where_nobody_listens() -> None:
    client = TritonClient("127.0.0.1:9")
    began = monotonic()
    assert not await client.ready("m")
    assert monotonic() - began < 1.5
    await client.close()


async def test_ready_is_not_believed_after_a_failure_until_the_model_answers(
    client: TritonClient, server: KServeServer
) -> None:
    assert await client.ready("m", "1")
    assert not server.calls  # no inference is spent while all is well
    server.fail = (grpc.StatusCode.INTERNAL, "Stub process 'm_0_0' is not healthy.")
    with pytest.raises(ModelNotReady):
        await ask(client)
    assert server.ready
    assert not await client.ready("m", "1")
    server.fail = None
    assert await client.ready("m", "1")
    asked = len(server.calls)
    assert await client.ready("m", "1")
    assert len(server.calls) == asked


async def test_closing_twice_is_as_good_as_once(client: TritonClient) -> None:
    await ask(client)
    await client.close()
    await client.close()


async def test_a_call_under_way_at_close_fails_and_does_not_look_like_a_cancelled_caller(
    client: TritonClient, server: KServeServer
) -> None:
    server.delay = 30.0
    task = asyncio.create_task(ask(client, seconds=30.0))
    await server.wait_for(lambda: len(server.calls) == 1)
    await client.close()
    with pytest.raises(ModelNotReady):
        await task
