"""Beside all steps: what the gauges show, read from the services from time to time. No service knows of it."""

from __future__ import annotations

import asyncio
import os
import random
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from gateway import __version__
from gateway.audit.sealer import checkpoint_path
from gateway.audit.watch import STATES, ChainWatch
from gateway.telemetry import catalogue as of
from gateway.telemetry.history import SECONDS as HISTORY_SECONDS
from gateway.telemetry.machine import children_of, container_memory, free_share, resident_bytes
from gateway.telemetry.sampler import Probe, Sampler
from gateway.tls import CertificateError, check, listener_end
from inference_client.resilience import ResilientClient

if TYPE_CHECKING:
    from gateway.api.bounds import InflightBytes
    from gateway.audit.reader import AuditReader
    from gateway.services import Services

MODES = ("shared", "local", "closed", "open")
BREAKER_STATES = ("closed", "half-open", "open")
_OK = "ok"
_OFTEN, _READY, _MACHINE, _KEYS = 1.0, 5.0, 15.0, 60.0
WITHIN = {"1d": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}


def sampler_of(services: Services, inflight: InflightBytes, reader: AuditReader) -> Sampler:
    """Everything that is read, and how often."""
    meter, settings = services.meter, services.settings
    watch = ChainWatch(reader)
    parts = _Parts(services, inflight)
    chain = _Chain(services, watch)
    dependencies = _Dependencies(services)
    probes = [
        Probe("parts", _OFTEN, parts.read),
        Probe("dependencies", _READY, dependencies.read, first=_OFTEN),
        Probe("machine", _MACHINE, _Machine(services).read),
        Probe("keys", _KEYS, _Keys(services).read),
        Probe("certificates", _KEYS, _Certificates(services).read),
        Probe("history", HISTORY_SECONDS, services.history.take),
    ]
    if (seconds := settings.metrics.verify_seconds) > 0:
        # All processes together verify as often as is set, each at a time of its own.
        every = seconds * settings.http.workers
        first = random.uniform(0, every) if settings.http.workers > 1 else 0.0  # noqa: S311 - spreads load
        probes.append(Probe("chain", every, chain.verify, first=min(first, seconds)))
    info = meter.gauge(of.MODEL_INFO)
    for offer in services.catalog.offers.values():
        for spec in offer.versions.values():
            info.set(1, spec.name, spec.version, spec.digest)
    meter.gauge(of.VERSION).set(1, __version__)
    meter.gauge(of.STARTED).set(time.time())
    meter.gauge(of.PROCESSES).set(1)
    meter.gauge(of.PROCESSES_WANTED).set(settings.http.workers)
    chain.show()
    parts.chain = chain
    return Sampler(meter, probes)


class _Chain:
    def __init__(self, services: Services, watch: ChainWatch) -> None:
        self._watch = watch
        self._chain = services.meter.gauge(of.CHAIN)
        self._time = services.meter.gauge(of.CHAIN_TIME)

    async def verify(self) -> None:
        await self._watch.look()
        self.show()

    def show(self) -> None:
        """Also what someone else's verification in this process found."""
        self._chain.choose(self._watch.state, STATES)
        self._time.set(self._watch.at)


class _Parts:
    """What is known in memory: costs some microseconds."""

    chain: _Chain

    def __init__(self, services: Services, inflight: InflightBytes) -> None:
        self._services = services
        self._inflight = inflight
        meter = services.meter
        self._body_bytes, self._body_most = meter.gauge(of.BODY_BYTES), meter.gauge(of.BODY_BYTES_MOST)
        self._decoders, self._busy = meter.gauge(of.DECODERS), meter.gauge(of.DECODERS_BUSY)
        self._queue, self._ended = meter.gauge(of.DECODER_QUEUE), meter.counter(of.DECODERS_ENDED)
        self._breaker, self._at_server = meter.gauge(of.BREAKER), meter.gauge(of.AT_SERVER)
        self._queue_seconds, self._turned_away = meter.gauge(of.QUEUE_SECONDS), meter.counter(of.TURNED_AWAY)
        self._mode, self._heard = meter.gauge(of.LIMITER_MODE), meter.gauge(of.CHANGES_HEARD)
        self._recoveries, self._recovered = meter.counter(of.RECOVERIES), 0
        self._recoveries.inc(by=0)
        self._waiting, self._lag = meter.gauge(of.AUDIT_WAITING), meter.gauge(of.AUDIT_LAG)
        self._unsealed, self._checkpoint = meter.gauge(of.UNSEALED), meter.gauge(of.CHECKPOINT_TIME)
        self._sampled = meter.gauge(of.SAMPLED)
        self._counted = dict.fromkeys(("overdue", "broken", "abandoned"), 0)
        self._turned = 0.0
        for cause in self._counted:
            self._ended.inc(cause, by=0)

    async def read(self) -> None:
        services = self._services
        self._body_bytes.set(self._inflight.held)
        self._body_most.set(self._inflight.total)
        workers = services.workers
        self._decoders.set(workers.size)
        self._busy.set(workers.busy)
        self._queue.set(workers.asked - workers.busy)
        for cause, count in workers.ended.items():
            self._ended.inc(cause, by=count - self._counted.get(cause, 0))
            self._counted[cause] = count
        self._read_load()
        self._read_breakers()
        degraded = services.limiter.degraded
        self._mode.choose(services.settings.admission.limiter_failure if degraded else "shared", MODES)
        self._recoveries.inc(by=services.limiter.recoveries - self._recovered)
        self._recovered = services.limiter.recoveries
        self._heard.set(services.changes.listening.is_set())
        waiting, lag = services.recorder.backlog
        self._waiting.set(waiting)
        self._lag.set(lag)
        at, unsealed = services.recorder.sealed
        self._checkpoint.set(at)
        self._unsealed.set(unsealed)
        self.chain.show()
        self._sampled.set(time.time())

    def _read_load(self) -> None:
        load = self._services.load.snapshot()
        self._queue_seconds.set(load["wait_seconds"])
        self._turned_away.inc(by=load["turned_away"] - self._turned)
        self._turned = load["turned_away"]
        for name in self._services.catalog.offers:
            self._at_server.set(load.get(f"model.{name}.images", 0), name)

    def _read_breakers(self) -> None:
        client = self._services.inference
        if not isinstance(client, ResilientClient):
            return
        states = client.states()
        for offer in self._services.catalog.offers.values():
            for version in offer.versions:
                now = states.get((offer.name, version), "closed")
                for state in BREAKER_STATES:
                    self._breaker.set(state == now, offer.name, version, state)


class _Dependencies:
    """What answers: the same question as /readiness, and the same answer if it was asked within the second."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._up, self._model_up = services.meter.gauge(of.DEPENDENCY_UP), services.meter.gauge(of.MODEL_UP)

    async def read(self) -> None:
        ready = await self._services.readiness()
        for name, state in ready.dependencies.items():
            self._up.set(state == _OK, name)
        for name, state in ready.models.items():
            self._model_up.set(state == _OK, name)


class _Machine:
    def __init__(self, services: Services) -> None:
        meter, settings = services.meter, services.settings
        self._memory, self._disk = meter.gauge(of.MEMORY), meter.gauge(of.DISK_FREE)
        self._most, self._used = meter.gauge(of.MEMORY_MOST), meter.gauge(of.MEMORY_USED)
        path = checkpoint_path(services.engine.url, settings.audit)
        self._folder = None if path is None else path.parent

    async def read(self) -> None:
        own = os.getpid()
        self._memory.set(resident_bytes(own), "gateway")
        self._memory.set(sum(resident_bytes(child) for child in children_of(own)), "decoders")
        most, used = container_memory()
        self._most.set(most)
        self._used.set(used)
        if self._folder is not None:
            self._disk.set(await asyncio.to_thread(free_share, self._folder))


class _Keys:
    def __init__(self, services: Services) -> None:
        self._store = services.key_store
        self._good, self._expiring = services.meter.gauge(of.KEYS_GOOD), services.meter.gauge(of.KEYS_EXPIRING)

    async def read(self) -> None:
        good, *soon = await self._store.ending(*WITHIN.values())
        self._good.set(good)
        for name, count in zip(WITHIN, soon, strict=True):
            self._expiring.set(count, name)


class _Certificates:
    """The listener's is looked at again, for it may be renewed; the others are in use as they were at the start."""

    def __init__(self, services: Services) -> None:
        self._http = services.settings.http
        self._end = services.meter.gauge(of.CERTIFICATE_END)
        for name, end in check(services.settings).items():
            self._end.set(end.timestamp(), name)

    async def read(self) -> None:
        if self._http.tls_certificate:
            try:
                self._end.set((await asyncio.to_thread(listener_end, self._http)).timestamp(), "http")
            except CertificateError:
                self._end.set(0, "http")
