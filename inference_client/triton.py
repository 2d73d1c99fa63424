"""Step 5 of 7: Triton over gRPC (KServe v2), with one deadline for everything that a call needs."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import numpy as np
from tritonclient.grpc import InferResult, service_pb2
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from inference_client.channel import options_for
from inference_client.client import Inference
from inference_client.errors import InferenceError, InferenceRejected, InferenceTimeout, InvalidAnswer, ModelNotReady
from inference_client.message import METHOD, message
from inference_client.metadata import PLAIN, ModelMetadata
from inference_client.trace import trace_metadata
from inference_client.translate import translate
from inference_client.validate import validate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    import numpy.typing as npt

    from inference_client.channel import Tls
    from inference_client.metadata import Scaling

Answer = TypeVar("Answer")

PROBE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Deadline:
    """One point in time that every call of a request is held to."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """That many seconds from now."""
        return cls(monotonic() + seconds)

    def left(self) -> float:
        """Seconds left. Raises InferenceTimeout when there are none."""
        seconds = self.at - monotonic()
        if seconds <= 0:
            raise InferenceTimeout("no time left")
        return seconds


@dataclass(frozen=True, slots=True)
class Statistics:
    """Triton's own counts for one model version, since it was loaded; warm-up included.

    Attributes:
        inferences: Images classified.
        executions: Batches computed; ``inferences / executions`` is the mean batch size.
        batches: Batch size to how many batches had it.
    """

    inferences: int
    executions: int
    batches: dict[int, int]


@dataclass(frozen=True, slots=True)
class _Request:
    """What all calls of one request have in common."""

    model: str
    version: str
    id: str
    deadline: Deadline

    @property
    def key(self) -> tuple[str, str]:
        return self.model, self.version


class TritonClient:
    """An ``InferenceClient`` for a real server. One instance a process; safe for concurrent calls in one event loop.

    Args:
        url: ``host:port`` of Triton's gRPC listener, or ``dns:///name:port`` of several: each call goes to the next.
        scaling: Model to how its pixels are scaled, where its input is float32; ``PLAIN`` where it is not named.
        tls: Its certificates; plain text without.
    """

    def __init__(self, url: str, scaling: Mapping[str, Scaling] | None = None, tls: Tls | None = None) -> None:
        self._url = url
        self._credentials = tls.credentials() if tls is not None else None
        self._scaling = dict(scaling or {})
        self._connection: InferenceServerClient | None = None
        self._channel: grpc.aio.Channel | None = None
        self._model_infer: Any = None
        self._metadata: dict[tuple[str, str], ModelMetadata] = {}
        self._suspect: dict[tuple[str, str], tuple[int, ...]] = {}  # and the shape that its answers should have

    async def infer(
        self,
        model: str,
        images: npt.NDArray[np.uint8],
        *,
        shape: tuple[int, ...],
        timeout: float,  # noqa: ASYNC109 - becomes gRPC's own deadline, which the server sees as well
        request_id: str,
        version: str = "",
    ) -> Inference:
        """See ``InferenceClient``. Cancelling the task cancels the call on the server."""
        request = _Request(model, version, request_id, Deadline.after(timeout))
        try:
            inference = await self._infer(request, images, shape)
        except (ModelNotReady, InferenceRejected, InvalidAnswer):
            self._metadata.pop(request.key, None)  # the server may come back with another model
            self._suspect[request.key] = shape
            raise
        except InferenceTimeout:
            if timeout >= PROBE_SECONDS:  # one who hardly had time proves nothing
                self._suspect[request.key] = shape
            raise
        self._suspect.pop(request.key, None)
        return inference

    async def expect(self, model: str, version: str = "", *, seconds: float = math.inf) -> None:
        """See ``InferenceClient``. Nothing is known before the call."""

    async def ready(self, model: str, version: str = "") -> bool:
        """See ``InferenceClient``. Waits at most ``PROBE_SECONDS``.

        Triton calls a model ready whose Python process has died. So after a failure its word is not enough: the model
        has to answer a black image, or a caller's, as it should.
        """
        request = _Request(model, version, "readiness", Deadline.after(PROBE_SECONDS))
        try:
            left = request.deadline.left()
            if not await self._call(self._client().is_model_ready(model, version, client_timeout=left)):
                return False
            metadata = await self._read_metadata(request)  # now, so that no caller waits for it
            if (shape := self._suspect.get(request.key)) is not None:
                answer = await self._send(request, metadata, metadata.blank())
                validate(_tensor(answer, metadata.output), images=1, shape=shape)
                self._suspect.pop(request.key, None)
        except InferenceError:
            return False
        return True

    async def statistics(self, model: str, version: str = "") -> Statistics:
        """What Triton counted for a model. Raises ModelNotReady, InferenceTimeout."""
        answer = await self._call(self._client().get_inference_statistics(model, version, client_timeout=1.0))
        found = answer.model_stats[0]
        return Statistics(
            inferences=found.inference_count,
            executions=found.execution_count,
            batches={entry.batch_size: entry.compute_infer.count for entry in found.batch_stats},
        )

    async def batches(self, model: str, version: str = "") -> dict[int, int]:
        """See ``InferenceClient``."""
        return (await self.statistics(model, version)).batches

    async def close(self) -> None:
        """See ``InferenceClient``."""
        connection, self._connection = self._connection, None
        channel, self._channel = self._channel, None
        for each in (connection, channel):
            if each is not None:
                await each.close()

    def _client(self) -> InferenceServerClient:
        if self._connection is None:  # a gRPC channel belongs to the event loop: not made before there is one
            self._connection = InferenceServerClient(
                self._url, creds=self._credentials, channel_args=options_for(self._url)
            )
        return self._connection

    def _infer_call(self) -> Any:
        """ModelInfer, whose requests are bytes already. gRPC lets channels to one server share its connection."""
        if self._channel is None:
            if self._credentials is not None:
                self._channel = grpc.aio.secure_channel(self._url, self._credentials, options_for(self._url))
            else:
                self._channel = grpc.aio.insecure_channel(self._url, options_for(self._url))
            read = service_pb2.ModelInferResponse.FromString
            self._model_infer = self._channel.unary_unary(METHOD, response_deserializer=read)
        return self._model_infer

    async def _read_metadata(self, request: _Request) -> ModelMetadata:
        known = self._metadata.get(request.key)
        if known is None:
            client, deadline = self._client(), request.deadline
            described = await self._call(client.get_model_metadata(*request.key, client_timeout=deadline.left()))
            configured = await self._call(client.get_model_config(*request.key, client_timeout=deadline.left()))
            known = self._metadata[request.key] = ModelMetadata.of(described, configured.config)
        return known

    async def _infer(self, request: _Request, images: npt.NDArray[np.uint8], shape: tuple[int, ...]) -> Inference:
        metadata = await self._read_metadata(request)
        metadata.check(images)
        size = metadata.max_batch or len(images)

        async def ask(part: npt.NDArray[np.uint8]) -> Inference:
            answer = await self._send(request, metadata, part)
            output = validate(_tensor(answer, metadata.output), images=len(part), shape=shape)
            return Inference(output, answer.get_response().model_version)

        if len(images) <= size:
            return await ask(images)
        parts = [images[start : start + size] for start in range(0, len(images), size)]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(ask(part)) for part in parts]
        except BaseExceptionGroup as errors:  # not except*: before Python 3.11.4 it wraps what it raises
            named, others = errors.split(InferenceError)
            if named is None or others is not None:
                raise
            raise named.exceptions[0] from None
        answers = [task.result() for task in tasks]
        if len({answer.model_version for answer in answers}) > 1:
            raise ModelNotReady("the model changed its version in the middle of a request")
        if len({answer.output.shape[1:] for answer in answers}) > 1:
            raise InvalidAnswer("the model answered parts of one request in different shapes")
        return Inference(np.concatenate([answer.output for answer in answers]), answers[0].model_version)

    async def _send(self, request: _Request, metadata: ModelMetadata, images: npt.NDArray[np.uint8]) -> InferResult:
        """One request to the server: at most as many images as it takes at once."""
        array, datatype = metadata.arrange(images, self._scaling.get(request.model, PLAIN))
        left = request.deadline.left()
        written = message(
            request.model,
            request.version,
            array,
            name=metadata.input,
            datatype=datatype,
            output=metadata.output,
            request_id=request.id,
            microseconds=int(left * 1e6),  # in Triton's queue: whoever waited longer has gone
        )
        return InferResult(await self._call(self._infer_call()(written, timeout=left, metadata=trace_metadata())))

    async def _call(self, call: Awaitable[Answer]) -> Answer:
        try:
            return await call
        except InferenceServerException as error:
            raise translate(error) from None
        except grpc.aio.AioRpcError as error:
            raise translate(InferenceServerException(error.details() or "", str(error.code()))) from None
        except asyncio.CancelledError:
            # grpc.aio raises this as well when its channel is closed under a call: our caller did not cancel anything.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise ModelNotReady("the connection was closed") from None


def _tensor(answer: InferResult, name: str) -> npt.NDArray[Any] | None:
    try:
        array: npt.NDArray[Any] | None = answer.as_numpy(name)
    except (ValueError, TypeError):
        raise InvalidAnswer("the answer's bytes do not fill its shape") from None
    return array
