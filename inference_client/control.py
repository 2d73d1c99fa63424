"""Step 5 of 7: what of a model is loaded into Triton, and how long it takes to answer. Needs explicit model control."""

from __future__ import annotations

import copy
import json
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from tritonclient.grpc import InferInput, InferRequestedOutput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from inference_client.errors import InferenceRejected, ModelNotReady
from inference_client.metadata import ModelMetadata
from inference_client.translate import translate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable
    from typing import TypeVar

    Answer = TypeVar("Answer")

_READY = "READY"
_NOT_ALLOWED = "explicit model load / unload is not allowed"


class ControlRefused(InferenceRejected):
    """The server was started without ``--model-control-mode=explicit``, or cannot load the model."""


class ModelControl:
    """One server's models. One instance a use; belongs to the event loop that first uses it.

    Args:
        url: ``host:port`` of Triton's gRPC listener.
        seconds: Longest that a load or unload may take: a large model on a GPU takes minutes.
    """

    def __init__(self, url: str, *, seconds: float = 300.0) -> None:
        self._url = url
        self._seconds = seconds
        self._connection: InferenceServerClient | None = None

    async def versions(self, model: str) -> frozenset[str]:
        """The versions that are loaded and ready. Raises ModelNotReady if the server cannot be reached."""
        index = await self._call(self._client().get_model_repository_index(client_timeout=2.0))
        return frozenset(each.version for each in index.models if each.name == model and each.state == _READY)

    async def serve(self, model: str, versions: Iterable[str]) -> None:
        """Have these versions loaded and no others. Versions that stay answer all the while.

        Raises:
            ControlRefused: The server does not let models be loaded, or one of them cannot be.
            ModelNotReady, InferenceTimeout: It cannot be reached, or takes too long.
        """
        client, wanted = self._client(), sorted(versions, key=int)
        if not wanted:
            await self._change(client.unload_model(model, client_timeout=self._seconds))
            return
        if not await self.versions(model):
            await self._change(client.load_model(model, client_timeout=self._seconds))
        # What is on disk says which versions are loaded at the server's start; this says it until then.
        answer = await self._call(client.get_model_config(model, as_json=True, client_timeout=5.0))
        config = copy.deepcopy(answer["config"])
        config["version_policy"] = {"specific": {"versions": [int(version) for version in wanted]}}
        await self._change(client.load_model(model, config=json.dumps(config), client_timeout=self._seconds))
        missing = set(wanted) - await self.versions(model)
        if missing:
            raise ControlRefused(f"version {min(missing)} was not loaded: see the model server's log")

    async def largest_batch(self, model: str, version: str) -> int:
        """Most images in one request; 1 if the model sets no batch size."""
        return max(1, (await self._metadata(model, version)).max_batch)

    async def time_black(self, model: str, version: str, images: int) -> float:
        """Seconds that the server takes to answer so many black images at once."""
        metadata = await self._metadata(model, version)
        array, datatype = metadata.arrange(np.repeat(metadata.blank(), images, axis=0))
        tensor = InferInput(metadata.input, list(array.shape), datatype)
        tensor.set_data_from_numpy(array)
        began = perf_counter()
        await self._call(
            self._client().infer(
                model,
                [tensor],
                model_version=version,
                outputs=[InferRequestedOutput(metadata.output)],
                request_id="warm",
                client_timeout=self._seconds,
            )
        )
        return perf_counter() - began

    async def close(self) -> None:
        """Close the connection. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _metadata(self, model: str, version: str) -> ModelMetadata:
        client = self._client()
        described = await self._call(client.get_model_metadata(model, version, client_timeout=5.0))
        configured = await self._call(client.get_model_config(model, version, client_timeout=5.0))
        return ModelMetadata.of(described, configured.config)

    def _client(self) -> InferenceServerClient:
        if self._connection is None:
            self._connection = InferenceServerClient(self._url)
        return self._connection

    async def _change(self, call: Awaitable[Any]) -> None:
        try:
            await call
        except InferenceServerException as error:
            raise _refused(error) from None

    async def _call(self, call: Awaitable[Answer]) -> Answer:
        try:
            return await call
        except InferenceServerException as error:
            raise translate(error) from None


def _refused(error: InferenceServerException) -> Exception:
    if _NOT_ALLOWED in (error.message() or ""):
        return ControlRefused("it was started without --model-control-mode=explicit")
    named = translate(error)
    if type(named) in {InferenceRejected, ModelNotReady}:
        return ControlRefused("the model server cannot load or unload the model: see its log")
    return named
