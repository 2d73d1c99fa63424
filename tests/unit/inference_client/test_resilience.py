"""Against a real gRPC server that does as a test says, and a clock in the test's hand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import grpc
import numpy as np
import pytest

from inference_client.client import Inference
from inference_client.errors import InferenceTimeout, ModelNotReady, ServerBusy, ServerUnreachable
from inference_client.resilience import PATIENCE_SECONDS, ResilientClient
from inference_client.triton import TritonClient
from tests.support.kserve import KServeServer

GONE = (grpc.StatusCode.UNAVAILABLE, "Socket closed")
STOPPING = (grpc.StatusCode.UNAVAILABLE, "Server is stopping, scheduler for model has stopped accepting new requests")


class Clock:
    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def server() -> AsyncIterator[KServeServer]:
    server = KServeServer()
    async with server.serve():
        yield server


@pytest.fixture
async def client(server: KServeServer, clock: Clock) -> AsyncIterator[ResilientClient]:
    client = ResilientClient(TritonClient(f"127.0.0.1:{server.port}"), failures=3, seconds=2.0, images=4, now=clock)
    yield client
    await client.close()


async def ask(client: ResilientClient, count: int = 1, *, model: str = "m", seconds: float = 5.0) -> Inference:
    batch = np.zeros((count, 8, 8, 3), np.uint8)
    return await client.infer(model, batch, shape=(3,), timeout=seconds, request_id="r-1", version="1")


async def fail_until_held(client: ResilientClient, server: KServeServer) -> None:
    server.fail = GONE
    for _ in range(3):
        assert not client.held_back("m", "1")
        with pytest.raises(ModelNotReady):
            await ask(client)
    assert client.held_back("m", "1")


async def test_after_failures_in_a_row_the_server_is_not_asked(client: ResilientClient, server: KServeServer) -> None:
    await fail_until_held(client, server)
    asked = len(server.calls)
    with pytest.raises(ModelNotReady):
        await ask(client)
    assert len(server.calls) == asked


async def test_a_success_between_failures_starts_the_count_anew(client: ResilientClient, server: KServeServer) -> None:
    for _ in range(4):
        server.fail = GONE
        for _ in range(2):
            with pytest.raises(ModelNotReady):
                await ask(client)
        server.fail = None
        await ask(client)
    assert not client.held_back("m", "1")


async def test_a_full_queue_is_no_failure(client: ResilientClient, server: KServeServer) -> None:
    server.fail = (grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size")
    for _ in range(6):
        with pytest.raises(ServerBusy):
            await ask(client)
    assert not client.held_back("m", "1")


async def test_the_trial_is_a_black_image_and_a_call_goes_on_when_it_is_answered(
    client: ResilientClient, server: KServeServer, clock: Clock
) -> None:
    await fail_until_held(client, server)
    asked = len(server.calls)
    clock.at += 2.1
    with pytest.raises(ModelNotReady):
        await ask(client)
    assert [call.request.id for call in server.calls[asked:]] == ["readiness"]
    server.fail = None
    with pytest.raises(ModelNotReady):  # the trial that failed put the next one off
        await ask(client)
    clock.at += 2.1
    assert (await ask(client)).output.shape == (1, 3)
    assert not client.held_back("m", "1")


async def test_one_caller_makes_the_trial_and_the_others_are_refused_meanwhile(
    client: ResilientClient, server: KServeServer, clock: Clock
) -> None:
    await fail_until_held(client, server)
    server.fail, server.delay = None, 0.2
    clock.at += 2.1
    asked = len(server.calls)
    answers = await asyncio.gather(*(ask(client) for _ in range(10)), return_exceptions=True)
    assert sum(isinstance(answer, Inference) for answer in answers) == 1
    assert sum(isinstance(answer, ModelNotReady) for answer in answers) == 9
    assert [call.request.id for call in server.calls[asked:]] == ["readiness", "r-1"]


async def test_after_a_trial_the_first_failure_holds_back_again(
    client: ResilientClient, server: KServeServer, clock: Clock
) -> None:
    await fail_until_held(client, server)
    server.fail = None
    assert await client.ready("m", "1")  # /readiness is as good a trial as any
    assert not client.held_back("m", "1")
    server.fail = GONE
    with pytest.raises(ModelNotReady):
        await ask(client)
    assert client.held_back("m", "1")


async def test_a_trial_whose_caller_leaves_is_made_by_the_next(
    client: ResilientClient, server: KServeServer, clock: Clock
) -> None:
    await fail_until_held(client, server)
    server.fail, server.delay = None, 0.3
    clock.at += 2.1
    leaving = asyncio.create_task(ask(client))
    asked = len(server.calls)
    await server.wait_for(lambda: len(server.calls) > asked)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    server.delay = 0.0
    assert (await ask(client)).output.shape == (1, 3)


async def test_a_time_out_counts_if_its_caller_had_time(
    client: ResilientClient, server: KServeServer, clock: Clock
) -> None:
    server.delay = 30.0
    for _ in range(4):
        with pytest.raises(InferenceTimeout):
            await ask(client, seconds=0.05)
    assert not client.held_back("m", "1")
    for _ in range(3):
        call = asyncio.create_task(ask(client, seconds=0.1))
        asked = len(server.calls)
        await server.wait_for(lambda asked=asked: len(server.calls) > asked)  # type: ignore[misc]
        clock.at += PATIENCE_SECONDS
        with pytest.raises(InferenceTimeout):
            await call
    assert client.held_back("m", "1")


async def test_one_models_failures_hold_back_no_other(client: ResilientClient, server: KServeServer) -> None:
    await fail_until_held(client, server)
    server.fail = None
    assert (await ask(client, model="other")).output.shape == (1, 3)


async def test_a_model_takes_so_many_images_at_once_and_no_more(client: ResilientClient, server: KServeServer) -> None:
    server.delay = 0.3
    running = [asyncio.create_task(ask(client, 2)) for _ in range(2)]
    await server.wait_for(lambda: len(server.calls) == 2)
    with pytest.raises(ServerBusy):
        await ask(client)
    other = asyncio.create_task(ask(client, model="other"))  # its bulkhead is its own
    assert [answer.output.shape for answer in await asyncio.gather(*running, other)] == [(2, 3), (2, 3), (1, 3)]
    assert (await ask(client)).output.shape == (1, 3)


async def test_a_request_larger_than_the_bulkhead_goes_alone(client: ResilientClient, server: KServeServer) -> None:
    assert (await ask(client, 9)).output.shape == (9, 3)
    server.delay = 0.3
    first = asyncio.create_task(ask(client))
    await server.wait_for(lambda: len(server.calls) == 4)
    with pytest.raises(ServerBusy):
        await ask(client, 9)
    await first


async def test_what_reached_no_model_is_sent_once_more(client: ResilientClient, server: KServeServer) -> None:
    server.fail, server.fail_only = STOPPING, 1
    assert (await ask(client)).output.shape == (1, 3)
    assert len(server.calls) == 2


async def test_and_not_a_third_time(client: ResilientClient, server: KServeServer) -> None:
    server.fail = STOPPING
    with pytest.raises(ServerUnreachable):
        await ask(client)
    assert len(server.calls) == 2


async def test_what_may_have_been_computed_is_not_sent_again(client: ResilientClient, server: KServeServer) -> None:
    server.fail = GONE
    with pytest.raises(ModelNotReady):
        await ask(client)
    assert len(server.calls) == 1


async def test_a_server_that_comes_up_during_the_pause_answers(clock: Clock) -> None:
    server = KServeServer()
    async with AsyncExitStack() as stack:
        async with server.serve() as url:
            client = ResilientClient(TritonClient(url), failures=3, seconds=2.0, images=4, now=clock)
            await ask(client)
        await stack.enter_async_context(server.serve())
        assert (await ask(client)).output.shape == (1, 3)
        await client.close()
