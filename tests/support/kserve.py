"""A real gRPC server that speaks KServe v2 and does as a test says: what a healthy Triton never does on command."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2 as messages
from tritonclient.grpc import service_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

DTYPES = {"UINT8": np.uint8, "FP32": np.float32}


@dataclass
class Call:
    """One ModelInfer that arrived."""

    request: Any
    images: np.ndarray
    time_remaining: float
    metadata: dict[str, str | bytes]


@dataclass
class KServeServer(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Attributes are read at each call, so a test may change them while the server runs."""

    datatype: str = "UINT8"
    shape: tuple[int, ...] = (-1, 8, 8, 3)
    max_batch: int = 4
    classes: int = 3
    version: str = "1"
    ready: bool = True
    delay: float = 0.0
    metadata_delay: float = 0.0
    fail: tuple[grpc.StatusCode, str] | None = None
    fail_only: int | None = None
    answer: Callable[[Call], messages.ModelInferResponse] | None = None
    calls: list[Call] = field(default_factory=list)
    cancelled: int = 0
    metadata_reads: int = 0
    port: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Until it holds; looked at after each call that arrives or is cancelled."""
        async with asyncio.timeout(5), self.changed:
            await self.changed.wait_for(condition)

    async def _notify(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        return messages.ModelReadyResponse(ready=self.ready)

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.metadata_reads += 1
        await asyncio.sleep(self.metadata_delay)
        tensor = messages.ModelMetadataResponse.TensorMetadata
        return messages.ModelMetadataResponse(
            name=request.name,
            inputs=[tensor(name="image", datatype=self.datatype, shape=self.shape)],
            outputs=[tensor(name="logits", datatype="FP32", shape=[-1, self.classes])],
        )

    async def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        answer = messages.ModelConfigResponse()
        answer.config.max_batch_size = self.max_batch
        return answer

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        tensor = request.inputs[0]
        images = np.frombuffer(request.raw_input_contents[0], DTYPES[tensor.datatype]).reshape(tensor.shape)
        call = Call(request, images, context.time_remaining(), dict(context.invocation_metadata()))
        self.calls.append(call)
        await self._notify()
        try:
            await asyncio.sleep(self.delay)
        except asyncio.CancelledError:
            self.cancelled += 1
            await self._notify()
            raise
        if self.fail and self.fail_only != 0:
            if self.fail_only is not None:
                self.fail_only -= 1
            await context.abort(*self.fail)
        return self.answer(call) if self.answer else self.logits(call)

    def logits(self, call: Call, values: np.ndarray | None = None, **changed: Any) -> messages.ModelInferResponse:
        """The usual answer: each image's mean in the first class, zeros in the others."""
        if values is None:
            values = np.zeros((len(call.images), self.classes), np.float32)
            values[:, 0] = call.images.reshape(len(call.images), -1).mean(axis=1)
        answer = messages.ModelInferResponse(
            model_name=call.request.model_name, model_version=changed.get("version", self.version)
        )
        answer.outputs.add(
            name=changed.get("name", "logits"),
            datatype=changed.get("datatype", "FP32"),
            shape=changed.get("shape", values.shape),
        )
        answer.raw_output_contents.append(values.tobytes())
        return answer

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Listen on loopback; yields host:port. Serving again takes the same port."""
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, server)
        self.port = server.add_insecure_port(f"127.0.0.1:{self.port}")
        await server.start()
        try:
            yield f"127.0.0.1:{self.port}"
        finally:
            await server.stop(None)
