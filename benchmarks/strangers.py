"""Strangers at the door: what they cost a real gateway in memory, and a good caller in time.

    python benchmarks/strangers.py [--strangers 1000] [--rounds 3] [--seconds 25]

The gateway is ``cordon serve`` on a real Triton, Valkey and SQLite. Rounds without strangers and rounds with them take
turns. Strangers are all there at once, from many addresses; each offers 100 MB, sends for as long as it is let,
whatever it is answered, and comes again some seconds after it was cut off. The good callers, one that asks for
predictions and one that lists models, have a key and are admitted each time. Memory is that of all processes of the
gateway.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import multiprocessing
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import psutil
import uvloop
from rich.console import Console
from rich.table import Table

from gateway.cli.serve import listen
from gateway.embedded.stack import Stack
from gateway.embedded.state import StateFolder
from tests.support.objects import mr

if TYPE_CHECKING:
    from collections.abc import Iterator

OFFERED = 100 * 2**20
PIECE = bytes(64 * 2**10)
REST_SECONDS = 3.0
SLOW = {"slow head", "slow body"}


@dataclass(frozen=True, slots=True)
class Doors:
    """Where the gateway is, and the keys of those who have one."""

    port: int
    good: str
    unscoped: str
    limited: str


def heads(doors: Doors) -> dict[str, bytes]:
    """What each kind of stranger begins with."""
    sized, chunked = f"Content-Length: {OFFERED}\r\n", "Transfer-Encoding: chunked\r\n"
    bearers = {
        "no credential": ("", sized),
        "a key that is none": (f"cdn_{'x' * 60}", sized),
        "a key without the scope": (doors.unscoped, sized),
        "over its limit": (doors.limited, "Content-Length: 30000000\r\n"),  # fewer than are taken
        "too large by its head": (doors.good, sized),
        "no credential, without end": ("", chunked),
        "slow body": ("", sized),
        "slow head": ("", sized),
    }
    return {
        kind: (
            f"POST /v1/predict HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/dicom\r\n{size}"
            + (f"Authorization: Bearer {key}\r\n" if key else "")
            + "\r\n"
        ).encode()
        for kind, (key, size) in bearers.items()
    }


@dataclass(slots=True)
class Seen:
    """What strangers met with."""

    statuses: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    most: int = 0


async def strangers(doors: Doors, count: int, seconds: float) -> Seen:
    seen, until = Seen(), time.monotonic() + seconds
    kinds = list(heads(doors).items())
    await asyncio.gather(*(stranger(doors.port, kinds[n % len(kinds)], n, until, seen) for n in range(count)))
    return seen


async def stranger(port: int, what: tuple[str, bytes], number: int, until: float, seen: Seen) -> None:
    kind, head = what
    address = f"127.{1 + number % 100}.{number // 100}.{1 + number % 250}"
    while (left := until - time.monotonic()) > 0:
        try:
            async with asyncio.timeout(left):
                reader, writer = await connect(address, port)
                answer = asyncio.create_task(reader.read(12))
                try:
                    await offer(kind, head, writer, seen)
                finally:
                    await asyncio.sleep(0)
                    text = (
                        answer.result() if answer.done() and not answer.cancelled() and not answer.exception() else b""
                    )
                    seen.statuses[f"{kind}: {text[9:].decode() or 'cut off'}"] += 1
                    answer.cancel()
                    writer.transport.abort()
        except TimeoutError:
            return
        except OSError:
            pass
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                await asyncio.sleep(REST_SECONDS * random.uniform(0.5, 1.5))


async def connect(address: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """With a small buffer of its own: what this machine holds for the sender is no business of the gateway's."""
    door = socket.socket()
    door.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 2**10)
    door.setblocking(False)
    try:
        door.bind((address, 0))
        await asyncio.get_running_loop().sock_connect(door, ("127.0.0.1", port))
    except BaseException:
        door.close()
        raise
    return await asyncio.open_connection(sock=door)


async def offer(kind: str, head: bytes, writer: asyncio.StreamWriter, seen: Seen) -> None:
    """Until the gateway takes no more. Raises OSError then."""
    if kind in SLOW:
        begin = len(head) if kind == "slow body" else 1
        writer.write(head[:begin])
        for byte in head[begin:] + bytes(1000):
            await writer.drain()
            await asyncio.sleep(1.0)
            if writer.transport.is_closing():
                raise ConnectionResetError
            writer.write(bytes((byte,)))
        return
    writer.write(head)
    chunked = b"chunked" in head
    sent = 0
    while sent < OFFERED:
        writer.write(b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if chunked else PIECE)
        await writer.drain()
        sent += len(PIECE)
        seen.sent += len(PIECE)
        seen.most = max(seen.most, sent)


def crowd(pipe: Any) -> None:
    """In a process of its own."""
    os.nice(19)  # what they do to each other here, they would do on machines of their own
    while (task := pipe.recv()) is not None:
        pipe.send(uvloop.run(strangers(*task)))


class Caller(threading.Thread):
    """A good one: one request after the other, at a pace; notes how long each took."""

    def __init__(self, doors: Doors, path: str, body: bytes, *, pause: float, until: float) -> None:
        super().__init__(daemon=True)
        self.times: list[float] = []
        self.statuses: Counter[int] = Counter()
        self._asks = (doors.port, doors.good, path, body, pause, until)

    def run(self) -> None:
        port, key, path, body, pause, until = self._asks
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/dicom"}
        while time.monotonic() < until:
            begun = time.perf_counter()
            connection.request("POST" if body else "GET", path, body or None, headers)
            answer = connection.getresponse()
            answer.read()
            self.times.append(time.perf_counter() - begun)
            self.statuses[answer.status] += 1
            time.sleep(pause)
        connection.close()


class Memory(threading.Thread):
    """The most that a process and all below it held, from its start to ``stop``."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._ended = threading.Event()
        self.before = self.most = self._now()

    def _now(self) -> int:
        top = psutil.Process(self._pid)
        total = 0
        for process in (top, *top.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
        return total

    def run(self) -> None:
        while not self._ended.wait(0.1):
            self.most = max(self.most, self._now())

    def stop(self) -> int:
        self._ended.set()
        self.join()
        return self.most - self.before


@dataclass(slots=True)
class Round:
    """One of them: milliseconds of each caller's requests, and bytes."""

    p50: dict[str, float]
    p99: dict[str, float]
    slowest: dict[str, float]
    grown: int
    seen: Seen | None


def play(doors: Doors, pid: int, seconds: float, count: int, pipe: Any) -> Round:
    memory = Memory(pid)
    memory.start()
    until = time.monotonic() + seconds
    if count:
        pipe.send((doors, count, seconds))
    callers = {
        "predict": Caller(doors, "/v1/predict", mr(256), pause=0.05, until=until),
        "models": Caller(doors, "/v1/models", b"", pause=0.02, until=until),
    }
    for caller in callers.values():
        caller.start()
    for caller in callers.values():
        caller.join()
    seen = pipe.recv() if count else None
    grown = memory.stop()
    for name, caller in callers.items():
        assert set(caller.statuses) == {200}, f"{name}: {dict(caller.statuses)}"  # admitted, each of them
    return Round(
        {name: 1e3 * statistics.median(caller.times) for name, caller in callers.items()},
        {name: 1e3 * statistics.quantiles(caller.times, n=100)[98] for name, caller in callers.items()},
        {name: 1e3 * max(caller.times) for name, caller in callers.items()},
        grown,
        seen,
    )


def ask(port: int, key: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/v1/models", headers={"Authorization": f"Bearer {key}"})
    status = connection.getresponse().status
    connection.close()
    return status


@contextlib.contextmanager
def gateway(folder: Path) -> Iterator[tuple[Doors, int]]:
    with (
        StateFolder(folder, cache=ROOT / ".cordon" / "cache") as state,
        Stack(
            state,
            triton_environment=ROOT / ".triton",
            repository=ROOT / "model_repository",
            models_policy=ROOT / "policies" / "models.yaml",
        ) as stack,
    ):
        stack.start()
        stack.wait_ready()
        listener = listen("127.0.0.1", 0)
        stack.start_gateway(listener, {"LOG_LEVEL": "WARNING"})
        stack.wait_gateway_ready()
        environment = dict(os.environ) | stack.variables()

        def key(scope: str, plan: str, *more: str) -> str:
            words = ["keys", "issue", "--owner", "bench", "--tenant", "bench", "--scope", scope, "--plan", plan, *more]
            command = [sys.executable, "-m", "gateway.cli", *words]
            done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
            return done.stdout.strip()

        assert stack.gateway is not None
        used_up = key("predict", "trial", "--limit", "day=1")
        assert ask(listener.getsockname()[1], used_up) == 200
        assert ask(listener.getsockname()[1], used_up) == 429
        yield (
            Doors(
                listener.getsockname()[1],
                key("predict", "unlimited-internal"),
                key("audit:read", "unlimited-internal"),
                used_up,
            ),
            stack.gateway.pid,
        )


def show(rounds: list[tuple[Round, Round]]) -> None:
    console = Console(width=110)
    table = Table(title="A good caller, milliseconds", box=None, title_justify="left")
    for column in ("", "p50 alone", "p99", "most", "p50 with strangers", "p99", "most", "p99, times"):
        table.add_column(column, justify="left" if not column else "right")
    for name in rounds[0][0].p99:
        for number, (alone, beside) in enumerate(rounds, 1):
            cells = [times[name] for each in (alone, beside) for times in (each.p50, each.p99, each.slowest)]
            table.add_row(f"{name}, {number}", *(f"{cell:.1f}" for cell in cells), f"{cells[4] / cells[1]:.2f} x")
        ratio = statistics.median(beside.p99[name] / alone.p99[name] for alone, beside in rounds)
        table.add_row(f"{name}, median (goal: 2)", *[""] * 6, f"{ratio:.2f} x")
    console.print(table)
    grown = ", ".join(f"{beside.grown / 2**20:.1f}" for _, beside in rounds)
    console.print(f"\nMemory of all processes grew by {grown} MiB (goal: fewer than 50)")
    met: Counter[str] = Counter()
    for _, beside in rounds:
        assert beside.seen is not None
        met += beside.seen.statuses
    most = max(beside.seen.most for _, beside in rounds if beside.seen)
    sent = sum(beside.seen.sent for _, beside in rounds if beside.seen)
    console.print(
        f"Strangers wrote {sent / 2**20:,.0f} MiB in all, one at most {most / 2**20:.2f} MiB of its 100. They met:"
    )
    for name, times in sorted(met.items()):
        console.print(f"  {name}  {times}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strangers", type=int, default=1000, help="how many at once")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each kind")
    parser.add_argument("--seconds", type=float, default=25.0, help="length of a round")
    choice = parser.parse_args()
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=crowd, args=(theirs,), daemon=True)
    process.start()
    with tempfile.TemporaryDirectory(prefix="str-", dir="/tmp") as name, gateway(Path(name)) as (doors, pid):
        play(doors, pid, 3.0, 0, ours)  # to warm up
        rounds = []
        for _ in range(choice.rounds):
            alone = play(doors, pid, choice.seconds, 0, ours)
            rounds.append((alone, play(doors, pid, choice.seconds, choice.strangers, ours)))
            time.sleep(1.0)
        show(rounds)
    ours.send(None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
