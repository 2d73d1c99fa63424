"""Around step 5 of 7: what operators may do with models while all runs. The rules for HTTP and command line alike.

A change of who answers is one row (``routes.py``) and holds on every worker within a second. A version that answers, is
fallen back to, or is the shadow is not unloaded; before an unload all workers are given the time to hear of it. What is
done here is on record here, after it.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING

from gateway.audit.events import ModelChanged
from gateway.errors import Conflict, InvalidParameter, ModelUnavailable
from gateway.models.routes import Change, Served, moved
from inference_client.control import ControlRefused, ModelControl
from inference_client.errors import InferenceError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.admission.administrator import Administrator
    from gateway.admission.key_admin import Record
    from gateway.models.catalog import ModelCatalog
    from gateway.models.offer import Offer
    from gateway.models.routes import Action, ChangeReason, Routes

HEARD_SECONDS = 1.0
"""After so long every worker works by a change, told of it or not."""
_MOST_ROUNDS = 20
_STEADY = 1.1


@dataclass(frozen=True, slots=True)
class Why:
    """Why a change is made: a code, which goes on record, and a sentence for the other operators, which does not."""

    reason: ChangeReason
    note: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """One model as it is now.

    Attributes:
        offer: What the file offers.
        served: What holds.
        change: Who set it; None while the file holds.
        loaded: The versions that the model server has ready; None if it cannot be reached.
    """

    offer: Offer
    served: Served
    change: Change | None
    loaded: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Warmth:
    """How long one batch size took.

    Attributes:
        images: Images in the batch.
        first: Seconds of the first answer.
        warm: Median of the last answers, seconds.
        rounds: How many were asked for until times were steady.
    """

    images: int
    first: float
    warm: float
    rounds: int


@dataclass(frozen=True, slots=True)
class _Now:
    """What a change is made from: of two that are made from the same, one is refused."""

    offer: Offer
    served: Served
    number: int


class ModelAdministration:
    """The models, as operators may change them.

    Args:
        catalog: What is offered.
        routes: Who answers.
        recorder: The audit log.
        triton: ``host:port`` of the model server's gRPC listener.
    """

    def __init__(self, catalog: ModelCatalog, routes: Routes, recorder: Record, triton: str) -> None:
        self._catalog = catalog
        self._routes = routes
        self._recorder = recorder
        self._triton = triton

    async def list(self) -> tuple[Standing, ...]:
        """All of them. A model server that is away is no error."""
        return tuple([await self.standing(name) for name in self._catalog.offers])

    async def standing(self, name: str) -> Standing:
        """One of them. Raises UnknownModel."""
        offer = self._catalog.offer(name)
        loaded: frozenset[str] | None = None
        try:
            async with self._control() as control:
                loaded = await control.versions(name)
        except (ModelUnavailable, Conflict):
            loaded = None
        return Standing(offer, await self._routes.of(offer), await self._routes.last(offer), loaded)

    async def canary(self, by: Administrator, name: str, version: str, percent: int, why: Why) -> Standing:
        """Give a version its share of the patients; the one that answers most besides it has the rest.

        Raises:
            UnknownModel, UnknownVersion: It is not on offer.
            InvalidParameter: A percent that is none, or a note that does not fit.
            Conflict: The version is not loaded, no other one could have the rest, or someone else changed the model.
            ModelUnavailable: The model server cannot be asked whether it is.
        """
        now = await self._now(name, version)
        offer, served = now.offer, now.served
        if not 0 <= percent <= 100:
            raise InvalidParameter("The share must be 0 to 100 percent", parameter="percent")
        await self._need_loaded(name, version)
        others = {each: share for each, share in served.route.serving.items() if each != version}
        rest = max(others, key=lambda each: others[each]) if others else served.fallback
        if percent < 100 and not rest:
            raise Conflict("No other version answers: there is none that could have the rest")
        shares = dict.fromkeys(offer.versions, 0) | ({rest: 100 - percent} if rest else {}) | {version: percent}
        served = moved(served, shares)
        if percent == 100 and version == served.route.shadow:  # there is nothing left to compare it with
            served = replace(served, route=replace(served.route, shadow="", shadow_share=0))
        return await self._set(by, now, served, "canary", version, why)

    async def rollback(self, by: Administrator, name: str, why: Why, to: str = "") -> Standing:
        """Everyone to the version that had all before, and no shadow. The model server is not asked: it may be sick.

        Raises:
            UnknownModel, UnknownVersion: It is not on offer.
            Conflict: There is none to go back to, or it was unloaded.
        """
        now = await self._now(name, to)
        offer, served = now.offer, now.served
        version = to or served.fallback or (served.route.main if len(served.route.serving) > 1 else "")
        if not version:
            raise Conflict("No version had all before the one that has them now: name one")
        if version in served.unloaded:
            raise Conflict(f"Version {version} is unloaded: load it first")
        shares = dict.fromkeys(offer.versions, 0) | {version: 100}
        route = replace(served.route, shares=shares, shadow="", shadow_share=0)
        return await self._set(by, now, replace(served, route=route, fallback=""), "rollback", version, why)

    async def shadow(self, by: Administrator, name: str, version: str, percent: int, why: Why) -> Standing:
        """Give a version copies of so many percent of the requests; 0 ends that. Raises as ``canary`` does."""
        now = await self._now(name, version)
        served = now.served
        if not 0 <= percent <= 100:
            raise InvalidParameter("The share must be 0 to 100 percent", parameter="percent")
        if percent:
            await self._need_loaded(name, version)
        route = replace(served.route, shadow=version if percent else "", shadow_share=percent)
        return await self._set(by, now, replace(served, route=route), "shadow", version, why)

    async def load(self, by: Administrator, name: str, version: str, why: Why) -> Standing:
        """Load a version into the model server, once its weights are the ones that the manifest lists.

        Raises:
            UnknownModel, UnknownVersion: It is not on offer.
            Conflict: The weights are not at hand here or not those listed, or the server does not load them.
            ModelUnavailable: The model server cannot be reached.
        """
        now = await self._now(name, version)
        served = now.served
        await asyncio.to_thread(self._verify, name, version)
        async with self._control() as control:
            await control.serve(name, {*await control.versions(name), version})
        served = replace(served, unloaded=served.unloaded - {version})
        return await self._set(by, now, served, "load", version, why)

    async def unload(self, by: Administrator, name: str, version: str, why: Why) -> Standing:
        """Take a version from the model server. It can be asked for by nobody from then on, until it is loaded again.

        Raises:
            UnknownModel, UnknownVersion: It is not on offer.
            Conflict: It answers, is what would be fallen back to, or is the shadow; or the server does not do it.
            ModelUnavailable: The model server cannot be reached.
        """
        now = await self._now(name, version)
        served = now.served
        if version in served.route.serving:
            raise Conflict(f"Version {version} answers: give its share to another first")
        if version in {served.fallback, served.route.shadow}:
            raise Conflict(f"Version {version} is the shadow, or what would be fallen back to: end that first")
        async with self._control() as control:
            loaded = await control.versions(name)
            served = replace(served, unloaded=served.unloaded | {version})
            done = await self._set(by, now, served, "unload", version, why)
            await asyncio.sleep(HEARD_SECONDS)  # a worker that has not heard of it may still send it a request
            await control.serve(name, loaded - {version})
        return replace(done, loaded=loaded - {version})

    async def warm(
        self, name: str, version: str, told: Callable[[Warmth], None] = lambda _: None
    ) -> tuple[Warmth, ...]:
        """Have a version answer black images, at batch sizes from 1 to its largest, until times are steady.

        Args:
            name: The model.
            version: As it is on offer; empty for the one that answers most.
            told: Of each batch size when it is done.

        Raises:
            UnknownModel, UnknownVersion: It is not on offer.
            Conflict, ModelUnavailable: It is not loaded, or cannot be reached.
        """
        now = await self._now(name, version)
        offer, served = now.offer, now.served
        version = version or served.route.main
        made: tuple[Warmth, ...] = ()
        async with self._control() as control:
            for images in _sizes(await control.largest_batch(name, version)):
                made += (await _warm(control, offer.name, version, images),)
                told(made[-1])
        return made

    async def _now(self, name: str, version: str) -> _Now:
        """What is offered and what holds, read anew."""
        offer = self._catalog.offer(name)
        if version:
            offer.version(version)
        number = await self._routes.newest(name)
        return _Now(offer, await self._routes.of(offer), number)

    async def _need_loaded(self, name: str, version: str) -> None:
        async with self._control() as control:
            if version not in await control.versions(name):
                raise Conflict(f"Version {version} is not loaded: load it first")

    async def _set(  # noqa: PLR0917 - each is another kind of thing
        self, by: Administrator, now: _Now, served: Served, action: Action, version: str, why: Why
    ) -> Standing:
        if len(why.note) > 500 or not why.note.isprintable():
            raise InvalidParameter("The note must have at most 500 printable characters", parameter="note")
        offer, at = now.offer, datetime.now(UTC)
        change = Change(now.number + 1, served, offer.digest, action, why.reason, why.note, by.key_id, at)
        await self._routes.add(offer, change)
        route = served.route
        event = ModelChanged(
            *by.who,
            model=offer.name,
            version=version,
            digest=offer.versions[version].digest,
            action=action,
            shares=route.serving,
            shadow=route.shadow,
            shadow_share=route.shadow_share,
            reason=why.reason,
        )
        await self._recorder.record(event)
        return await self.standing(offer.name)

    def _verify(self, name: str, version: str) -> None:
        try:
            checked = self._catalog.verify_weights(name, version)
        except ValueError:
            raise Conflict(f"The files of version {version} are not those that its manifest lists") from None
        if not any(path.parent.name == version for path in checked):
            raise Conflict(f"The weights of version {version} are not at hand here, so they cannot be verified")

    @asynccontextmanager
    async def _control(self) -> AsyncIterator[ModelControl]:
        control = ModelControl(self._triton)
        try:
            yield control
        except ControlRefused as error:
            raise Conflict(f"The model server refused: {error}") from None
        except InferenceError:
            raise ModelUnavailable("The model server cannot be reached, or has not loaded the version") from None
        finally:
            await control.close()


def _sizes(largest: int) -> list[int]:
    """1, 2, 4, ... and the largest."""
    return sorted({largest, *(2**power for power in range(largest.bit_length()) if 2**power <= largest)})


async def _warm(control: ModelControl, name: str, version: str, images: int) -> Warmth:
    """Until the median of the last three is no less than nine tenths of that of the three before."""
    times: list[float] = []
    while len(times) < _MOST_ROUNDS:
        times.append(await control.time_black(name, version, images))
        if len(times) >= 7 and median(times[-6:-3]) <= _STEADY * median(times[-3:]):
            break
    return Warmth(images, times[0], median(times[-3:]), len(times))
