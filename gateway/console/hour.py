"""The last hour of this process, and how its parts are now: drawn on the server from the metrics' own numbers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gateway.console.charts import HEIGHT
from gateway.errors import StoreUnavailable
from gateway.telemetry import catalogue as of
from gateway.telemetry.history import MINUTES, PERCENTILES
from inference_client.errors import InferenceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.api.parts import Parts
    from gateway.models.offer import Offer
    from gateway.telemetry.history import Minute

STEP = 10
"""Width of a minute in a drawing."""
WIDTH = STEP * MINUTES
KINDS = ("served", "refused", "failed")
CHAIN = {
    "ok": ("good", "Intact"),
    "broken": ("bad", "Broken"),
    "unknown": ("idle", "Not looked at yet"),
}
"""What the last verification of the log's newest part found, in a word and its tone."""
POLICIES = {
    "unauthenticated": "No good credential",
    "scope": "Scope is missing",
    "plan": "Not in the plan",
    "switch": "Switched off",
    "window": "Window used up",
    "concurrency": "Too many at once",
    "overload": "Overloaded",
}
"""The policies that refuse, in words."""
_ASK_SECONDS = 1.0
_NICE = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Column:
    """One minute's bar.

    Attributes:
        x: Left edge.
        time: When it ended, UTC.
        counts: Kind to number, from the ground up.
        parts: Kind, upper edge and height of each that is not empty.
    """

    x: int
    time: str
    counts: Mapping[str, int]
    parts: tuple[tuple[str, float, float], ...]


@dataclass(frozen=True, slots=True)
class Hour:
    """The drawings.

    Attributes:
        columns: A bar a minute.
        most: Requests of the drawing's height.
        lines: Percentile to the pieces of its line; each a list of points as SVG takes them.
        slowest: Milliseconds of the drawing's height.
        now: Percentile to milliseconds, of the newest minute that has any.
        denied: Policy to requests refused, the most first.
        since: When the first minute began to be counted; empty if nothing is known yet.
    """

    columns: tuple[Column, ...]
    most: int
    lines: Mapping[int, tuple[str, ...]]
    slowest: int
    now: Mapping[int, float]
    denied: tuple[tuple[str, int], ...]
    since: str

    width = WIDTH
    height = HEIGHT

    @property
    def totals(self) -> dict[str, int]:
        """Kind to requests of the whole hour."""
        return {kind: sum(column.counts[kind] for column in self.columns) for kind in KINDS}


@dataclass(frozen=True, slots=True)
class Serving:
    """One version of a model.

    Attributes:
        share: Percent of the patients that it answers; None where nobody knows at the moment.
        shadow: Whether it is given copies.
        breaker: ``closed``, ``half-open`` or ``open``.
        batches: Batch size to batches, as the model server counted them since it loaded the version.
    """

    model: str
    version: str
    share: int | None
    shadow: bool
    breaker: str
    batches: Mapping[int, int]


def drawn(minutes: Sequence[Minute]) -> Hour:
    """The hour as drawings; the newest minute is at the right edge."""
    shown = minutes[-MINUTES:]
    first = MINUTES - len(shown)
    counts = [{"served": each.served, "refused": each.refused, "failed": each.failed} for each in shown]
    most = nice(max((sum(each.values()) for each in counts), default=0))
    slowest = nice(max((value for each in shown for value in each.latency.values() if value is not None), default=0))
    denied: dict[str, int] = {}
    for each in shown:
        for policy, count in each.denied.items():
            denied[policy] = denied.get(policy, 0) + count
    newest = next((each.latency for each in reversed(shown) if each.latency[50] is not None), {})
    return Hour(
        columns=tuple(_column(first + at, each.at, counts[at], most) for at, each in enumerate(shown)),
        most=most,
        lines={each: _line([minute.latency[each] for minute in shown], first, slowest) for each in PERCENTILES},
        slowest=slowest,
        now={percent: value for percent, value in newest.items() if value is not None},
        denied=tuple(sorted(denied.items(), key=lambda pair: (-pair[1], pair[0]))),
        since=_clock(shown[0].at - 60) if shown else "",
    )


def nice(most: float) -> int:
    """1, 2 or 5 times a power of ten, not below ``most``; at least 1."""
    power = 1
    while True:
        for step in _NICE:
            if step * power >= most:
                return step * power
        power *= 10


def _column(at: int, moment: float, counts: Mapping[str, int], most: int) -> Column:
    parts, top = [], float(HEIGHT)
    for kind, count in counts.items():
        if count:
            height = HEIGHT * count / most
            top -= height
            parts.append((kind, round(top, 2), round(height, 2)))
    return Column(STEP * at, _clock(moment), counts, tuple(parts))


def _line(values: Iterable[float | None], first: int, most: int) -> tuple[str, ...]:
    """Points of each piece without a gap; a lone minute is as long as a minute, so that it is seen."""
    pieces: list[list[tuple[float, str]]] = [[]]
    for at, value in enumerate(values, first):
        if value is None:
            pieces.append([])
            continue
        pieces[-1].append((STEP * (at + 0.5), f"{HEIGHT * (1 - value / most):.1f}"))
    return tuple(" ".join(f"{x:g},{y}" for x, y in _long(piece)) for piece in pieces if piece)


def _long(piece: list[tuple[float, str]]) -> list[tuple[float, str]]:
    if len(piece) > 1:
        return piece
    x, y = piece[0]
    return [(x - STEP / 2, y), (x + STEP / 2, y)]


def _clock(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%H:%M")


@dataclass(frozen=True, slots=True)
class Queue:
    """How much is under way in this process now."""

    decoders: int
    busy: int
    waiting: int
    wait_seconds: float
    images: int
    body_share: float
    audit_waiting: int
    audit_lag: float
    chain: tuple[str, str]
    chain_at: datetime | None


def queue(joined: Parts) -> Queue:
    """From the gauges, which are read anew every second."""
    value = joined.history.value
    at = value(of.CHAIN_TIME)
    state = next((name for name in CHAIN if value(of.CHAIN, state=name)), "unknown")
    return Queue(
        decoders=int(value(of.DECODERS)),
        busy=int(value(of.DECODERS_BUSY)),
        waiting=int(value(of.DECODER_QUEUE)),
        wait_seconds=value(of.QUEUE_SECONDS),
        images=int(sum(value(of.AT_SERVER, model=name) for name in joined.catalog.offers)),
        body_share=value(of.BODY_BYTES) / (value(of.BODY_BYTES_MOST) or 1.0),
        audit_waiting=int(value(of.AUDIT_WAITING)),
        audit_lag=value(of.AUDIT_LAG),
        chain=CHAIN[state],
        chain_at=datetime.fromtimestamp(at, UTC) if at else None,
    )


async def servings(joined: Parts) -> list[Serving]:
    """Every version of every model that is offered."""
    found = await asyncio.gather(*(_versions(joined, offer) for offer in joined.catalog.offers.values()))
    return [version for versions in found for version in versions]


async def _versions(joined: Parts, offer: Offer) -> list[Serving]:
    try:
        route = (await joined.models.routes.of(offer)).route
    except StoreUnavailable:
        route = None
    batches = await asyncio.gather(*(_batches(joined, offer.name, version) for version in offer.versions))
    value = joined.history.value
    return [
        Serving(
            model=offer.name,
            version=version,
            share=route.shares.get(version, 0) if route else None,
            shadow=route is not None and route.shadow == version,
            breaker=next(
                (
                    state
                    for state in ("open", "half-open")
                    if value(of.BREAKER, model=offer.name, version=version, state=state)
                ),
                "closed",
            ),
            batches=dict(sorted(computed.items())),
        )
        for version, computed in zip(offer.versions, batches, strict=True)
    ]


async def _batches(joined: Parts, model: str, version: str) -> dict[int, int]:
    try:
        async with asyncio.timeout(_ASK_SECONDS):
            return await joined.pipeline.inference.batches(model, version)
    except (InferenceError, TimeoutError):
        return {}
