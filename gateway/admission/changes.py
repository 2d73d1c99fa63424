"""Step 1 of 7: tells every worker at once that something in SQL was changed, so that it is read anew.

What a worker knows from SQL it trusts for half a second anyway, and SQL is the truth: that bound is what holds when a
message is lost, when Redis is away, and when whoever changed something died before they said so. A message only makes
it quicker. So no message is waited for, none is sent twice, and what it names is looked up, never believed.

One channel, in the plain form of publish and subscribe: a Cluster passes it on to all of its nodes, and a master to its
replicas. A subscription over which nothing was heard for some seconds is asked for a sign of life, and made anew if it
gives none.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Literal, get_args

import structlog
from redis.exceptions import RedisError

from gateway.admission.redis_url import close, connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.settings import RedisSettings

log = structlog.get_logger(__name__)

CHANNEL = "cordon:changes"

Topic = Literal["key", "switches", "tokens", "models"]
"""What was changed: one key, by its public ID; any switch; any revoked token; who answers for a model."""

_SILENCE_SECONDS = 5.0  # after which a sign of life is asked for; after as much again the subscription is made anew
_CONNECT_SECONDS = 2.0
_PAUSE_SECONDS = 0.5
_MAX_BYTES = 128
_AWAY = (RedisError, OSError, TimeoutError)


class Changes:
    """The channel, both ways.

    Args:
        settings: Where Redis is, and the longest that a message may take to be sent.
    """

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings
        self._redis = connect(settings)
        self._timeout = settings.timeout_seconds
        self._forget: dict[str, list[Callable[[str], None]]] = {topic: [] for topic in get_args(Topic)}
        self._sending: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Task[None] | None = None
        self.listening = asyncio.Event()

    def on(self, topic: Topic, forget: Callable[[str], None]) -> None:
        """Call ``forget`` with the name of each thing of this kind that was changed, here or elsewhere."""
        self._forget[topic].append(forget)

    def start(self) -> None:
        """Listen from now on; ``listening`` is set while there is a subscription."""
        if self._listener is None:
            self._listener = asyncio.create_task(self._listen())

    def tell(self, topic: Topic, name: str = "") -> None:
        """Say that something was changed. Returns at once; called when the change is committed, not before."""
        self._heard(topic, name)  # this process needs no Redis to know it
        task = asyncio.create_task(self._send(f"{topic} {name}"))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def close(self) -> None:
        """Send what is being sent, stop listening, and close the connections."""
        if self._sending:
            await asyncio.wait(self._sending)
        if self._listener is not None:
            self._listener.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listener
        await close(self._redis)

    async def _send(self, message: str) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._redis.publish(CHANNEL, message)
        except _AWAY as error:
            log.info("changes.not-sent", cause=type(error).__name__)

    async def _listen(self) -> None:
        away = False
        while True:
            client = connect(self._settings)  # a new one: what the last one knew of the servers may be over
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    await client.initialize()  # of a Cluster: which node has what
                async with client.pubsub() as subscription:
                    async with asyncio.timeout(_CONNECT_SECONDS):
                        await subscription.subscribe(CHANNEL)
                    if away:
                        log.info("changes.heard-again")
                    away = False
                    await self._hear(subscription)
            except Exception as error:  # noqa: BLE001 - whatever it is: a listener that ended would be missed by nobody
                if not away:
                    log.warning("changes.not-heard", cause=type(error).__name__)
                away = True
            finally:
                self.listening.clear()
                await close(client)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _hear(self, subscription: Any) -> None:
        """Until the connection is lost. Raises TimeoutError if it gives no sign of life."""
        asked = False
        while True:
            message = await subscription.get_message(timeout=_SILENCE_SECONDS)
            if message is None:
                if asked:
                    raise TimeoutError
                asked = True
                async with asyncio.timeout(_CONNECT_SECONDS):
                    await subscription.ping()
                continue
            asked = False
            if message["type"] == "subscribe":
                self.listening.set()
            elif message["type"] == "message":
                self._read(message["data"])

    def _read(self, data: bytes) -> None:
        """Whoever may publish here can make a worker look at SQL once more, and nothing else."""
        if len(data) > _MAX_BYTES:
            return
        topic, _, name = data.decode("utf-8", "replace").partition(" ")
        self._heard(topic, name)

    def _heard(self, topic: str, name: str) -> None:
        for forget in self._forget.get(topic, ()):
            forget(name)
