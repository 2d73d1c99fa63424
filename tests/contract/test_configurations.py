"""A configuration that does not load what the policy has requests answered by is told at the start, not by each 503."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gateway.embedded.errors import StackError
from gateway.embedded.stack import Stack
from gateway.embedded.state import StateFolder
from inference_client.triton import TritonClient
from tests.support.stack import ROOT, TRITON_ENVIRONMENT, require_triton

if TYPE_CHECKING:
    from pathlib import Path

MODEL = "brain_mri_resnet50"


async def ask(url: str, version: str) -> np.ndarray:
    client = TritonClient(url)
    image = np.random.default_rng(1).integers(0, 256, (2, 224, 224, 3), np.uint8)
    try:
        answer = await client.infer(MODEL, image, shape=(4,), timeout=20, request_id="test", version=version)
    finally:
        await client.close()
    assert answer.model_version == version
    return answer.output


@pytest.mark.stack
def test_a_version_that_answers_must_be_loaded_and_the_quantized_one_can_be(tmp_path: Path, stack: Stack) -> None:
    require_triton()
    with (
        StateFolder(tmp_path, cache=ROOT / ".cordon" / "cache") as state,
        Stack(
            state,
            triton_environment=TRITON_ENVIRONMENT,
            repository=ROOT / "model_repository",
            models_policy=ROOT / "policies" / "models.yaml",
            configuration="openvino-int8",
        ) as quantized,
    ):
        quantized.start()
        with pytest.raises(StackError, match=r"version 1 of brain_mri_resnet50.*openvino-int8"):
            quantized.wait_ready()
        assert quantized.triton is not None
        assert stack.triton is not None
        assert quantized.triton.has_loaded(MODEL, "2")
        exact, near = asyncio.run(ask(stack.triton.url, "1")), asyncio.run(ask(quantized.triton.url, "2"))
    # Neither the same weights nor others.
    assert 0 < np.abs(exact - near).max() < 2
    assert exact.argmax(axis=1).tolist() == near.argmax(axis=1).tolist()
