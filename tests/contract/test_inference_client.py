"""The contract of ``InferenceClient``: the same scenarios for the fake and for a real Triton.

What the real one says in each case was read off Triton 2.51; a new one that says it otherwise fails here.
"""

import asyncio
import csv
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic
from typing import Protocol

import httpx
import numpy as np
import pytest
from PIL import Image

from gateway.embedded.stack import Stack
from inference_client.client import Inference, InferenceClient
from inference_client.errors import (
    InferenceRejected,
    InferenceTimeout,
    InvalidAnswer,
    ModelNotReady,
    ServerBusy,
)
from inference_client.fake import FakeClient
from inference_client.resilience import ResilientClient
from inference_client.triton import TritonClient

MODEL = "brain_mri_resnet50"
LABELS = ("Glioma", "Meningioma", "Pituitary", "No Tumor")
MRI = Path(__file__).resolve().parents[3] / "shared" / "data" / "mri"


class Subject(Protocol):
    """A client, and a hand on the server behind it."""

    client: InferenceClient

    async def unload(self) -> None: ...

    async def load(self) -> None: ...

    async def ask_until_busy(self) -> None: ...


class FakeSubject:
    def __init__(self) -> None:
        self._fake = FakeClient({MODEL: 4}, delay=0.005)
        self.client: InferenceClient = self._fake

    async def unload(self) -> None:
        self._fake.state = "down"

    async def load(self) -> None:
        self._fake.state = "up"

    async def ask_until_busy(self) -> None:
        self._fake.state = "busy"
        try:
            await ask(self.client)
        finally:
            self._fake.state = "up"


class ResilientSubject(FakeSubject):
    """The client around another: it has to keep the contract as well."""

    def __init__(self) -> None:
        super().__init__()
        self.client = ResilientClient(self._fake, failures=5, seconds=2.0, images=256)


class TritonSubject:
    def __init__(self, stack: Stack) -> None:
        assert stack.triton is not None
        self.client = TritonClient(stack.triton.url)
        self._http = stack.triton.http_url

    async def unload(self) -> None:
        await self._post(f"/v2/repository/models/{MODEL}/unload")

    async def load(self) -> None:
        await self._post(f"/v2/repository/models/{MODEL}/load")

    async def _post(self, path: str) -> None:
        async with httpx.AsyncClient(base_url=self._http, timeout=30) as http:
            (await http.post(path, json={})).raise_for_status()

    async def ask_until_busy(self) -> None:
        """More callers than the queue takes; the rest go away once one was refused."""
        tasks = [asyncio.create_task(ask(self.client, seconds=20)) for _ in range(120)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        failed = [task for task in tasks if task.done() and task.exception()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in failed:
            task.result()


@pytest.fixture(params=["fake", "resilient", pytest.param("triton", marks=pytest.mark.stack)])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    in_memory = {"fake": FakeSubject, "resilient": ResilientSubject}
    made = in_memory[request.param]() if request.param in in_memory else TritonSubject(request.getfixturevalue("stack"))
    yield made
    await made.client.close()


@pytest.fixture
async def triton(stack: Stack) -> AsyncIterator[TritonClient]:
    client = TritonSubject(stack).client
    yield client
    await client.close()


def images(count: int = 1) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 224, 224, 3), np.uint8)


async def ask(
    client: InferenceClient,
    batch: np.ndarray | None = None,
    *,
    model: str = MODEL,
    version: str = "1",
    shape: tuple[int, ...] = (4,),
    seconds: float = 10.0,
) -> Inference:
    batch = images() if batch is None else batch
    return await client.infer(model, batch, shape=shape, timeout=seconds, request_id="contract", version=version)


async def test_logits_are_finite_float32_one_row_an_image(subject: Subject) -> None:
    answer = await ask(subject.client, images(3))
    assert answer.output.shape == (3, 4)
    assert answer.output.dtype == np.float32
    assert np.isfinite(answer.output).all()
    assert answer.model_version == "1"


async def test_without_a_version_the_server_chooses_and_says_which(subject: Subject) -> None:
    assert (await ask(subject.client, version="")).model_version == "1"


async def test_an_image_gets_the_same_logits_alone_and_in_company(subject: Subject) -> None:
    batch = images(3)
    alone = await ask(subject.client, batch[1:2])
    together = await ask(subject.client, batch)
    assert np.abs(alone.output[0] - together.output[1]).max() < 0.01


async def test_more_images_than_the_largest_batch_come_back_in_order(subject: Subject) -> None:
    batch = images(18)
    answer = await ask(subject.client, batch)
    last = await ask(subject.client, batch[17:])
    assert answer.output.shape == (18, 4)
    assert np.abs(answer.output[17] - last.output[0]).max() < 0.01


async def test_concurrent_callers_each_get_their_own_answer(subject: Subject) -> None:
    batch = images(12)
    alone = await ask(subject.client, batch)
    answers = await asyncio.gather(*[ask(subject.client, batch[number : number + 1]) for number in range(12)])
    assert np.abs(np.concatenate([answer.output for answer in answers]) - alone.output).max() < 0.01


async def test_another_number_of_classes_is_an_invalid_answer(subject: Subject) -> None:
    with pytest.raises(InvalidAnswer):
        await ask(subject.client, shape=(5,))


@pytest.mark.parametrize(("model", "version"), [("nobody", "1"), (MODEL, "7")])
async def test_an_unknown_model_or_version_is_not_ready(subject: Subject, model: str, version: str) -> None:
    assert not await subject.client.ready(model, version)
    with pytest.raises(ModelNotReady):
        await ask(subject.client, model=model, version=version)


async def test_a_loaded_model_is_ready(subject: Subject) -> None:
    assert await subject.client.ready(MODEL, "1")
    assert await subject.client.ready(MODEL)


@pytest.mark.parametrize("shape", [(1, 100, 100, 3), (224, 224, 3), (0, 224, 224, 3)])
async def test_images_of_another_shape_are_rejected(subject: Subject, shape: tuple[int, ...]) -> None:
    with pytest.raises(InferenceRejected):
        await ask(subject.client, np.zeros(shape, np.uint8))


async def test_a_deadline_that_passes_is_a_timeout(subject: Subject) -> None:
    await ask(subject.client)
    began = monotonic()
    with pytest.raises(InferenceTimeout):
        await ask(subject.client, seconds=0.003)
    assert monotonic() - began < 1.0


async def test_a_full_queue_is_named_and_those_who_leave_it_do_not_hold_up_the_next(subject: Subject) -> None:
    with pytest.raises(ServerBusy):
        await subject.ask_until_busy()
    # Triton clears out those who left when it next forms a batch: after the one that it is computing.
    async with asyncio.timeout(20):
        while True:
            try:
                assert (await ask(subject.client)).output.shape == (1, 4)
                break
            except ServerBusy:
                await asyncio.sleep(0.1)


async def test_an_unloaded_model_is_not_ready_and_is_found_when_it_is_back(subject: Subject) -> None:
    await ask(subject.client)
    await subject.unload()
    try:
        assert not await subject.client.ready(MODEL, "1")
        with pytest.raises(ModelNotReady):
            await ask(subject.client)
    finally:
        await subject.load()
    assert await subject.client.ready(MODEL, "1")
    assert (await ask(subject.client)).output.shape == (1, 4)


async def test_closing_is_idempotent(subject: Subject) -> None:
    await ask(subject.client)
    await subject.client.close()
    await subject.client.close()


@pytest.mark.stack
async def test_triton_batches_what_concurrent_callers_send(triton: TritonClient) -> None:
    before = await triton.statistics(MODEL, "1")
    await asyncio.gather(*[ask(triton, images()) for _ in range(16)])
    after = await triton.statistics(MODEL, "1")
    end = monotonic() + 10  # Triton counts an execution when its answers are out
    while after.inferences - before.inferences < 16 and monotonic() < end:
        await asyncio.sleep(0.01)
        after = await triton.statistics(MODEL, "1")
    executions = after.executions - before.executions
    assert after.inferences - before.inferences == 16
    assert executions <= 8
    assert sum(after.batches.values()) - sum(before.batches.values()) == executions
    assert any(size > 1 and count > before.batches.get(size, 0) for size, count in after.batches.items())


@pytest.mark.stack
async def test_a_stopped_server_costs_the_deadline_and_no_more(triton: TritonClient, stack: Stack) -> None:
    assert stack.triton is not None
    await ask(triton)
    pid = stack.triton.child.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        began = monotonic()
        with pytest.raises(InferenceTimeout):
            await ask(triton, seconds=0.5)
        assert monotonic() - began < 1.0
        assert not await triton.ready(MODEL, "1")
        assert monotonic() - began < 2.5
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (await ask(triton)).output.shape == (1, 4)


@pytest.mark.stack
async def test_a_model_whose_process_died_is_not_ready_whatever_triton_says(stack: Stack) -> None:
    assert stack.triton is not None
    subject = TritonSubject(stack)
    (stub,) = _children(stack.triton.child.pid)
    os.kill(stub, signal.SIGKILL)
    try:
        with pytest.raises(ModelNotReady):
            await ask(subject.client)
        async with httpx.AsyncClient(base_url=stack.triton.http_url) as http:
            assert (await http.get(f"/v2/models/{MODEL}/ready")).status_code == 200
        assert not await subject.client.ready(MODEL, "1")
    finally:
        await subject.unload()
        await subject.load()
    assert (await ask(subject.client)).output.shape == (1, 4)
    assert await subject.client.ready(MODEL, "1")
    await subject.client.close()


@pytest.mark.stack
@pytest.mark.skipif(not MRI.exists(), reason="the labelled images are kept outside the repository")
async def test_served_answers_are_those_on_record(triton: TritonClient) -> None:
    rows = list(csv.DictReader((MRI / "labels.csv").read_text().splitlines()))
    batch = np.stack([np.asarray(Image.open(MRI / row["file"]).convert("RGB").resize((224, 224))) for row in rows])
    logits = np.concatenate([(await ask(triton, batch[start : start + 16])).output for start in range(0, 120, 16)])
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    confidence = (exponentials / exponentials.sum(axis=1, keepdims=True)).max(axis=1)
    assert [LABELS[best] for best in logits.argmax(axis=1)] == [row["onnx_prediction"] for row in rows]
    # 0.01 where the model runs in FP32; 0.03 where the CPU computes in BF16.
    tolerance = 0.03 if _computes_in_bf16() else 0.01
    recorded = np.array([float(row["onnx_confidence"]) for row in rows])
    assert np.abs(confidence - recorded).max() < tolerance


def _computes_in_bf16() -> bool:
    return "avx512_bf16" in Path("/proc/cpuinfo").read_text()


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
