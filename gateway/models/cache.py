"""Around step 5 of 7: what a model said of a tensor, kept for a while, so that it need not be asked the same again.

Off unless ``MODELS_CACHE_SECONDS`` says otherwise. An entry's name is a keyed hash of tenant, tensor digest and the
version with its digest: other weights, or another tenant, never meet it. Its value is the logits alone, under a keyed
hash of their own: whoever can write to Redis cannot make a diagnosis up. There is a fixed number of places, and an
entry has one place by its name: what comes later takes it, so the memory is bounded without counting. While Redis is
away it is as if there were no cache.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import struct
from typing import TYPE_CHECKING

import numpy as np
import structlog
from redis.exceptions import RedisError

from gateway.admission.breaker import Breaker
from gateway.admission.redis_url import close, connect
from inference_client.client import Inference

if TYPE_CHECKING:
    from gateway.models.spec import ModelSpec
    from gateway.settings import RedisSettings

log = structlog.get_logger(__name__)

MAX_BYTES = 1024
"""Largest output that is kept: logits of 16 frames and 16 labels. A detector's are thousands of times as large."""
PLACE_BYTES = MAX_BYTES + 2 * 32 + 192
"""What a place takes at most: output, two hashes, and Redis' own for a key with an end."""

_PLACE = "cordon:answers:"
_HASH = 32
_AWAY = (RedisError, OSError, TimeoutError)


class AnswerCache:
    """What was said, by tenant, tensor and version.

    Args:
        settings: Where Redis is.
        secret: Of the keyed hashes; the same in every process.
        seconds: How long an answer is kept; 1 or more.
        room: Most bytes of Redis that kept answers take.
    """

    def __init__(self, settings: RedisSettings, *, secret: bytes, seconds: int, room: int) -> None:
        self._redis = connect(settings)
        self._turns = asyncio.Semaphore(settings.pool_size)
        self._timeout = settings.timeout_seconds
        self._secret = hmac.digest(secret, b"answers", hashlib.sha256)
        self._milliseconds = seconds * 1000
        self._places = max(1, room // PLACE_BYTES)
        self._breaker = Breaker()
        self._writing: set[asyncio.Task[None]] = set()

    def name(self, tenant: str, tensor: str, spec: ModelSpec) -> bytes:
        """An entry's name.

        Args:
            tenant: Whose request.
            tensor: SHA-256 of the tensor, hex.
            spec: The version asked.
        """
        parts = (tenant, tensor, spec.name, spec.version, spec.digest, repr(spec.input))
        return hmac.digest(
            self._secret, b"".join(struct.pack(">I", len(p)) + p.encode() for p in parts), hashlib.sha256
        )

    async def get(self, name: bytes, spec: ModelSpec) -> Inference | None:
        """What is kept under that name; None if nothing is, Redis is away, or it is not what was written."""
        if not self._breaker.allows():
            return None
        try:
            async with asyncio.timeout(self._timeout), self._turns:
                value: bytes | None = await self._redis.get(self._place(name))
        except _AWAY as error:
            self._failed(error)
            return None
        self._breaker.succeeded()
        if value is None or value[:_HASH] != name:
            return None
        payload = value[2 * _HASH :]
        if not hmac.compare_digest(value[_HASH : 2 * _HASH], self._seal(name, payload)):
            log.warning("answers.not-ours")
            return None
        return Inference(_unpacked(payload), spec.version)

    def put(self, name: bytes, inference: Inference) -> None:
        """Keep it. Returns at once; what is too large, or cannot be kept, is not kept."""
        if inference.output.nbytes > MAX_BYTES or self._breaker.open:
            return
        payload = _packed(inference)
        task = asyncio.create_task(self._put(name, name + self._seal(name, payload) + payload))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def close(self) -> None:
        """Write what is being written, and close the connections."""
        if self._writing:
            await asyncio.wait(self._writing)
        await close(self._redis)

    async def _put(self, name: bytes, value: bytes) -> None:
        try:
            async with asyncio.timeout(self._timeout), self._turns:
                await self._redis.set(self._place(name), value, px=self._milliseconds)
        except _AWAY as error:
            self._failed(error)

    def _place(self, name: bytes) -> str:
        return f"{_PLACE}{int.from_bytes(name[:8], 'big') % self._places}"

    def _seal(self, name: bytes, payload: bytes) -> bytes:
        return hmac.digest(self._secret, name + payload, hashlib.sha256)

    def _failed(self, error: BaseException) -> None:
        if self._breaker.failed():
            log.warning("answers.away", cause=type(error).__name__)


def _packed(inference: Inference) -> bytes:
    """Number of dimensions, dimensions, then float32 values; all little-endian."""
    array = inference.output
    head = struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
    return head + np.ascontiguousarray(array, "<f4").tobytes()


def _unpacked(payload: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    count = payload[0]
    shape = struct.unpack_from(f"<{count}I", payload, 1)
    return np.frombuffer(payload, "<f4", offset=1 + 4 * count).reshape(shape).astype(np.float32)
