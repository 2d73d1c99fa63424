"""Triton batches what concurrent callers send: its own statistics say so."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest
import tritonclient.grpc as triton

from tests.support import canaries

pytestmark = pytest.mark.stack

MODEL = "brain_mri_resnet50"


def _statistics(url: str, images: int = 0) -> tuple[int, int, set[int]]:
    """Images, executions and batch sizes so far. Triton counts when the answers are out: ``images`` are waited for."""
    end = time.monotonic() + 10
    while (now := _counted(url))[0] < images and time.monotonic() < end:
        time.sleep(0.01)
    return now


def _counted(url: str) -> tuple[int, int, set[int]]:
    with triton.InferenceServerClient(url) as client:
        model = client.get_inference_statistics(MODEL).model_stats[0]
        return model.inference_count, model.execution_count, {batch.batch_size for batch in model.batch_stats}


async def _send(gateway, count: int) -> list[int]:
    body = canaries.jpeg().body
    headers = {"Authorization": f"Bearer {gateway.key}", "Content-Type": "image/jpeg"}
    async with httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=60) as client:

        async def caller() -> list[int]:
            return [(await client.post("/v1/predict", content=body)).status_code for _ in range(count)]

        return [status for statuses in await asyncio.gather(*(caller() for _ in range(8))) for status in statuses]


def test_eight_concurrent_callers_share_executions(gateway, stack):
    images, executions, _ = _statistics(stack.triton.url)
    statuses = asyncio.run(_send(gateway, 16))
    images_after, executions_after, sizes = _statistics(stack.triton.url, images + 128)
    assert statuses == [200] * 128
    assert images_after - images == 128
    assert executions_after - executions < 128
    assert max(sizes) > 1


def test_the_frames_of_one_instance_are_one_batch(gateway, stack):
    images, executions, _ = _statistics(stack.triton.url)
    with gateway.client() as client:
        body = canaries.dicom(frames=8).body
        answer = client.post("/v1/predict", content=body, headers={"Content-Type": "application/dicom"})
    assert answer.status_code == 200, answer.text
    images_after, executions_after, _ = _statistics(stack.triton.url, images + 8)
    assert (images_after - images, executions_after - executions) == (8, 1)
