"""What step 1 adds to a request, with warm caches: admission as it is, in front of an application that does nothing.

    python benchmarks/admission.py [--calls 4000]

Real: the middleware and all that ``create_app`` gives it, a Valkey, SQLite. In process: no socket and no HTTP parser
are timed. Floor: the application alone; beside it one PING to the same Valkey, which tells how busy the machine is. The
caller has an API key, three windows and a concurrency. The parts are timed in runs of their own, each from its call to
its answer; the release follows the answer, so a caller does not wait for it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import uvloop
from rich.console import Console
from rich.table import Table

from gateway.admission.key_record import NewKey
from gateway.admission.redis_url import close, connect
from gateway.api.admission import AdmissionMiddleware, Gate
from gateway.api.exchange import begin
from gateway.settings import AdmissionSettings
from tests.support.door import door
from tests.support.valkey import ValkeyServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

ROUNDS = 10
PLANS = """
plans:
  standard: {windows: [], concurrency: 8}
  bench:
    windows:
      - {name: burst, limit: 1000000000, seconds: 1}
      - {name: minute, limit: 1000000000, seconds: 60}
      - {name: day, limit: 1000000000, seconds: 86400}
    concurrency: 32
"""


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that answers at once."""
    del scope, receive
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


class Timed:
    """Another object whose methods' times are noted."""

    def __init__(self, inner: Any, times: dict[str, list[float]], **names: str) -> None:
        self._inner = inner
        self._times = times
        self._names = names

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if name not in self._names:
            return method
        taken = self._times.setdefault(self._names[name], [])

        async def timed(*arguments: Any) -> Any:
            begun = time.perf_counter()
            try:
                answer = method(*arguments)
                return await answer if asyncio.iscoroutine(answer) else answer
            finally:
                taken.append(time.perf_counter() - begun)

        return timed


class TimedChecks(Timed):
    """The same where a method does not wait."""

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if name not in self._names:
            return method
        taken = self._times.setdefault(self._names[name], [])

        def timed(*arguments: Any) -> Any:
            begun = time.perf_counter()
            answer = method(*arguments)
            taken.append(time.perf_counter() - begun)
            return answer

        return timed


async def receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message: Message) -> None:
    assert message.get("status", 204) == 204


def request(app: ASGIApp, key: str) -> Callable[[], Awaitable[None]]:
    headers = [
        (b"host", b"gateway"),
        (b"user-agent", b"bench"),
        (b"accept", b"*/*"),
        (b"authorization", b"Bearer " + key.encode()),
        (b"content-type", b"application/dicom"),
        (b"content-length", b"524288"),
    ]
    number = iter(range(10**9))

    async def ask() -> None:
        scope: Scope = {
            "type": "http", "method": "POST", "path": "/v1/predict", "headers": headers, "client": ("127.0.0.1", 4000),
            "query_string": b"", "state": {},
        }  # fmt: skip
        begin(scope, f"request-{next(number)}")
        await app(scope, receive, send)

    return ask


async def times_of(asks: dict[str, Callable[[], Awaitable[None]]], calls: int) -> dict[str, list[float]]:
    """In turns: a busy machine is busy for all of them."""
    taken: dict[str, list[float]] = {name: [] for name in asks}
    for turn in range(ROUNDS + 1):
        for name, ask in asks.items():
            for _ in range(calls // ROUNDS):
                begun = time.perf_counter()
                await ask()
                if turn:  # the first is to warm up
                    taken[name].append(time.perf_counter() - begun)
    return taken


async def measure(folder: Path, url: str, calls: int) -> None:
    plans = folder / "plans.yaml"
    plans.write_text(PLANS, encoding="utf-8")
    settings = AdmissionSettings(key_pepper="p" * 32, plans_policy=plans)
    async with door(folder, url, admission=settings) as app:
        new = NewKey(owner="bench", tenant="st-mary", scopes=frozenset({"predict"}), plan="bench")
        _, issued = await app.state.parts.keys.issue(new)
        gate: Gate = next(each.kwargs["gate"] for each in app.user_middleware if each.cls is AdmissionMiddleware)
        parts: dict[str, list[float]] = {}
        watched = replace(
            gate,
            authenticator=Timed(gate.authenticator, parts, authenticate="who: the key"),
            policy=TimedChecks(gate.policy, parts, match="known route", check="may they: the scope"),
            switches=Timed(gate.switches, parts, check="switched off"),
            limiter=Timed(gate.limiter, parts, acquire="how often: windows and lease", release="the release"),
        )
        client = connect(app.state.services.settings.redis)
        floor, whole = request(nothing, issued.text), request(AdmissionMiddleware(nothing, gate), issued.text)
        taken = await times_of({"floor": floor, "ping": client.ping, "admitted": whole}, calls)
        await times_of({"watched": request(AdmissionMiddleware(nothing, watched), issued.text)}, calls)
        await close(client)
    show(taken, parts)


def show(taken: dict[str, list[float]], parts: dict[str, list[float]]) -> None:
    table = Table(title="One request, milliseconds", box=None, title_justify="left")
    for column in ("", "p50", "p99"):
        table.add_column(column, justify="left" if not column else "right")
    low, high = {}, {}
    for name, times in (taken | {f"  {name}": times for name, times in parts.items()}).items():
        ordered = sorted(times)
        low[name], high[name] = 1e3 * ordered[len(ordered) // 2], 1e3 * ordered[int(len(ordered) * 0.99)]
    table.add_row("the application alone", f"{low['floor']:.3f}", f"{high['floor']:.3f}")
    table.add_row("one PING to Valkey", f"{low['ping']:.3f}", f"{high['ping']:.3f}")
    table.add_row("with admission in front", f"{low['admitted']:.3f}", f"{high['admitted']:.3f}")
    added = low["admitted"] - low["floor"], high["admitted"] - high["floor"]
    table.add_row("added (goal: 0.5 and 2)", f"{added[0]:.3f}", f"{added[1]:.3f}")
    for name in parts:
        table.add_row(f"  {name}", f"{low[f'  {name}']:.3f}", f"{high[f'  {name}']:.3f}")
    Console(width=100).print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=4000, help="timed requests of each kind")
    choice = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="adm-", dir="/tmp") as name:
        server = ValkeyServer(Path(name)).start()
        try:
            uvloop.run(measure(Path(name), server.url, choice.calls))
        finally:
            server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
