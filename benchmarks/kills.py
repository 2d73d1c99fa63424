"""Triton killed again and again under load, behind a real gateway: is any request lost, or any doubled?

    python benchmarks/kills.py                      50 kills, about 10 minutes on two cores
    python benchmarks/kills.py --kills 5
    python benchmarks/kills.py --victim model       the model's process in place of the server

Callers send in a closed loop, each request under an ID of its own, and wait a little when they are told 503. A keeper,
as in ``cordon up``, starts Triton anew on its ports. The served model is the shipped one with a ledger: it notes the ID
of each request before it computes it. At the end every request is held against three books: what its caller was told,
what the audit log says, and what the model computed. Refusals at the door (503 of the queue; 429 of the limiter, where
the machine is so busy that leases are returned too late) are on record by their number alone.

    lost        no answer (a broken connection), or an answer without its record, or a record with another status
    doubled     two records of one end; or one answer that was computed more than once, or not at all

Exit status 1 if there is one, or if an answer took longer than the deadline.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import httpx
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from benchmarks.serving import rig
from benchmarks.serving.pictures import pictures
from gateway.embedded.keeper import Keeper
from gateway.embedded.stack import Stack
from gateway.embedded.state import StateFolder

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.serving.pictures import Picture
    from benchmarks.serving.rig import Party

DEADLINE_SECONDS, RECORD_SECONDS = 10.0, 2.0
"""HTTP_DEADLINE_SECONDS and AUDIT_TIMEOUT_SECONDS as they are set by default: no answer may take longer than both."""
BACK_SECONDS = 60.0
LEDGER = """


# Added by benchmarks/kills.py: the ID of each request, before it is computed.
_execute = TritonPythonModel.execute


def _noted(self, requests):
    with open({path!r}, "a") as ledger:
        ledger.writelines(f"{{request.request_id()}}\\n" for request in requests)
    return _execute(self, requests)


TritonPythonModel.execute = _noted
"""


@dataclass
class Book:
    """What the callers were told.

    Attributes:
        told: Request ID to status; 0 for a connection that broke.
        took: Seconds, by request ID.
        last_success: When an answer of 200 came last.
    """

    told: dict[str, int] = field(default_factory=dict)
    took: dict[str, float] = field(default_factory=dict)
    last_success: float = 0.0


def with_ledger(folder: Path, ledger: Path) -> Path:
    """The shipped model repository, its weights as links, its code with the ledger."""
    repository = folder / "models"
    for path in sorted((ROOT / "model_repository").rglob("*")):
        target = repository / path.relative_to(ROOT / "model_repository")
        if "__pycache__" in path.parts:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            target.mkdir(exist_ok=True)
        elif path.name == "model.py":
            target.write_text(path.read_text("utf-8") + LEDGER.format(path=str(ledger)), "utf-8")
        elif path.stat().st_size > 10**6:
            target.symlink_to(path)
        else:
            shutil.copyfile(path, target)
    ledger.touch()
    return repository


async def call(party: Party, picture: Picture, book: Book, callers: int, stop: threading.Event) -> None:
    """So many callers, until they are told to stop."""
    body, content_type = picture.form
    limits = httpx.Limits(max_connections=callers)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{party.port}", timeout=60, limits=limits) as client:

        async def caller() -> None:
            while not stop.is_set():
                name, began = str(uuid4()), time.monotonic()
                head = {"Content-Type": content_type, "X-Request-ID": name, **party.headers}
                try:
                    status = (await client.post(party.path, content=body, headers=head)).status_code
                except httpx.HTTPError:
                    status = 0
                book.told[name], book.took[name] = status, time.monotonic() - began
                if status == 200:
                    book.last_success = time.monotonic()
                else:
                    await asyncio.sleep(random.uniform(0.05, 0.2))

        await asyncio.gather(*(caller() for _ in range(callers)))


def kill_again_and_again(
    stack: Stack, keeper: Keeper, book: Book, options: argparse.Namespace, progress: Progress
) -> list[float]:
    """Each time: wait for answers, kill, wait for answers. How long each took to be back, in seconds."""
    assert stack.triton is not None
    bar = progress.add_task("kills", total=options.kills)
    back = []
    for _ in range(options.kills):
        watched(keeper, lambda: book.last_success > 0, BACK_SECONDS)
        pause = time.monotonic() + random.uniform(0.5, 1.5) * options.between
        watched(keeper, lambda until=pause: time.monotonic() >= until, BACK_SECONDS)
        victim = stack.triton.child.pid
        if options.victim == "model":
            victim = child_of(victim)
        os.kill(victim, signal.SIGKILL)
        killed = time.monotonic()
        restarts = keeper.restarts
        watched(keeper, lambda count=restarts: keeper.restarts > count, BACK_SECONDS)
        begun = time.monotonic()
        watched(keeper, lambda since=begun: book.last_success > since, BACK_SECONDS)
        back.append(time.monotonic() - killed)
        progress.advance(bar)
    return back


def watched(keeper: Keeper, done: Callable[[], bool], seconds: float) -> None:
    """Until it is so, with an eye on Triton."""
    until = time.monotonic() + seconds
    while not done():
        if time.monotonic() > until:
            raise TimeoutError(f"not within {seconds:g} s")
        keeper.watch()
        time.sleep(0.02)


def child_of(pid: int) -> int:
    """A process that this one started."""
    return next(
        int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()
    )


def on_record(database: Path) -> tuple[dict[str, list[int]], int]:
    """Request ID to the status of each record of its end; and how many were refused at the door."""
    found: dict[str, list[int]] = {}
    refused = 0
    with sqlite3.connect(database) as connection:
        for kind, name, body in connection.execute("SELECT type, request_id, body FROM audit"):
            if kind == "request.finished":
                found.setdefault(name, []).append(json.loads(body)["status"])
            elif kind == "access.denied":
                refused += json.loads(body)["count"]
    return found, refused


def main(options: argparse.Namespace) -> int:
    console = Console(width=110)
    random.seed(options.seed)
    load = os.getloadavg()[0]
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}")
    with tempfile.TemporaryDirectory(prefix="cordon-kills-") as name:
        folder = Path(name)
        ledger = folder / "ledger"
        repository = with_ledger(folder, ledger)
        picture = pictures(folder)[0]
        with (
            StateFolder(folder / "state", cache=ROOT / ".cordon" / "cache") as state,
            Stack(
                state,
                triton_environment=ROOT / ".triton",
                repository=repository,
                models_policy=ROOT / "policies" / "models.yaml",
            ) as stack,
        ):
            stack.start()
            stack.wait_ready()
            assert stack.triton is not None
            keeper = Keeper(stack.triton, lambda _said: None, stable_seconds=0.0)
            book, stop = Book(), threading.Event()
            settings = {"LOG_LEVEL": "WARNING", "MODELS_REPOSITORY": str(repository)}
            began = time.monotonic()
            with rig.gateway(stack, folder / "gateway", **settings) as party:
                callers = threading.Thread(
                    target=lambda: asyncio.run(call(party, picture, book, options.callers, stop))
                )
                callers.start()
                try:
                    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress:
                        back = kill_again_and_again(stack, keeper, book, options, progress)
                finally:
                    stop.set()
                    callers.join()
            seconds = time.monotonic() - began
        ended, refused = on_record(folder / "gateway" / "cordon.db")
        result = Result(book, ended, refused, Counter(ledger.read_text("utf-8").split()), back)
    when = f"{seconds:.0f} s, load average {load:.1f} before"
    console.print(table(f"{options.kills} kills of the {options.victim}, {options.callers} callers, {when}", result))
    wrong = [what for what, count in result.faults().items() if count]
    good = "Every request was answered once, is on record once, and was computed once at the most."
    console.print(f"NOT GOOD: {'; '.join(wrong)}" if wrong else good)
    return int(bool(wrong))


@dataclass
class Result:
    """The three books.

    Attributes:
        book: What callers were told.
        ended: What the audit log says of each request's end.
        refused: How many it says were refused at the door.
        computed: Request ID to how often the model began to compute it.
        back: Seconds from each kill to the next answer.
    """

    book: Book
    ended: dict[str, list[int]]
    refused: int
    computed: Counter[str]
    back: list[float]

    def counts(self) -> dict[str, str]:
        """What happened."""
        told = self.book.told
        statuses = Counter(told.values())
        spent = sum(self.computed[name] > 0 for name, status in told.items() if status != 200)
        numbers = {
            "requests": len(told),
            "answered 200": statuses[200],
            "answered 503": statuses[503],
            "answered 504": statuses[504],
            "answered 429": statuses[429],
            "  of 503 and 429, refused at the door": self.at_the_door(),
            "computed, and its answer lost with the server": spent,
        }
        return {what: f"{number:,}" for what, number in numbers.items()} | {
            "slowest answer of 200": f"{self.slowest(200):.2f} s",
            "slowest answer of another kind": f"{self.slowest(429, 503, 504):.2f} s",
            "from a kill to the next answer, median": f"{statistics.median(self.back):.1f} s",
            "from a kill to the next answer, longest": f"{max(self.back):.1f} s",
        }

    def slowest(self, *statuses: int) -> float:
        """Seconds, of answers with these."""
        return max((self.book.took[name] for name, status in self.book.told.items() if status in statuses), default=0.0)

    def at_the_door(self) -> int:
        """Told 503 or 429, and not on record by themselves."""
        return sum(status in {429, 503} and name not in self.ended for name, status in self.book.told.items())

    def faults(self) -> dict[str, int]:
        """What must not be."""
        told, ended, computed = self.book.told, self.ended, self.computed
        late = DEADLINE_SECONDS + RECORD_SECONDS
        return {
            "lost: connections that broke": sum(not status for status in told.values()),
            "lost: answers without a record": sum(
                name not in ended for name, status in told.items() if status not in {0, 429, 503}
            ),
            "lost: refusals at the door, by their number": abs(self.at_the_door() - self.refused),
            "lost: records with another status": sum(told.get(name) not in found for name, found in ended.items()),
            "doubled: requests with two records": sum(len(found) > 1 for found in ended.values()),
            "doubled: computed more than once": sum(computed[name] > 1 for name in told),
            "answers of 200 that were not computed": sum(
                not computed[name] for name, status in told.items() if status == 200
            ),
            "answers after the deadline": sum(seconds > late for seconds in self.book.took.values()),
            "answers of another kind": sum(status not in {0, 200, 429, 503, 504} for status in told.values()),
        }


def table(title: str, result: Result) -> Table:
    made = Table(title=title, box=None, title_justify="left")
    made.add_column("what")
    made.add_column("", justify="right")
    for what, said in (result.counts() | {what: str(count) for what, count in result.faults().items()}).items():
        made.add_row(what, said)
    return made


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--callers", type=int, default=8)
    parser.add_argument("--between", type=float, default=1.5, help="Mean seconds between an answer and the next kill")
    parser.add_argument("--victim", choices=["server", "model"], default="server")
    parser.add_argument("--seed", type=int, default=20261121)
    sys.exit(main(parser.parse_args()))
