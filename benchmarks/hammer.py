"""The audit log, hammered: eight processes write; they are killed, the disk fills up, the database goes away.

    python benchmarks/hammer.py                            200 rounds each on SQLite and on PostgreSQL
    python benchmarks/hammer.py --rounds 20 --database sqlite --seed 7

A round: eight processes with four callers each put events on record, as fast as they can; in an order and at times that
the seed decides, some are killed with SIGKILL, the disk is made full and free again, and the database is taken away
(SQLite: its lock; PostgreSQL: SIGKILL to the whole server). When all is well again every writer that lives must get a
record through. Then all are killed, and it is looked: every acknowledged record is there, none is there twice, and all
verdicts of the verification are good. Exit status 1 if one is not. The disk is a tmpfs: mounting it takes root.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.audit_hammer.disk import Disk, small_disk
from benchmarks.audit_hammer.stores import Store, store
from benchmarks.audit_hammer.writers import look, prepare, writer

MEGABYTES = {"sqlite": 512, "postgresql": 512}
ROUNDS_A_LOG = 10
"""Then the log is begun anew: verification reads all of it after every round."""
RECOVERY_SECONDS = 20.0


class Round:
    """One round on a log that others may have written to before."""

    def __init__(self, held: Store, disk: Disk, notes: Path, *, name: str, writers: int, seed: int) -> None:
        self.store, self.disk, self.notes, self.name = held, disk, notes, name
        self.random = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.writers = {writer(held.url, notes, f"{name}.{number}"): f"{name}.{number}" for number in range(writers)}

    def run(self) -> Counter[str]:
        steps = [self._kill, self._fill, self._away]
        self.random.shuffle(steps)
        try:
            self._until_more(1)
            for step in steps:
                time.sleep(self.random.uniform(0, 0.15))
                step()
            self._until_more(1)
        finally:
            self.disk.free()
            for pid in list(self.writers):
                self._end(pid)
        return self.counts

    def _kill(self) -> None:
        for pid in self.random.sample(sorted(self.writers), self.random.randint(1, len(self.writers) - 1)):
            self._end(pid)
            self.counts["writers killed"] += 1
            time.sleep(self.random.uniform(0, 0.02))

    def _fill(self) -> None:
        self.disk.fill()
        time.sleep(self.random.uniform(0.05, 0.4))
        self.disk.free()
        self.counts["disk full"] += 1

    def _away(self) -> None:
        self.store.away(self.random.uniform(0.05, 0.4))
        self.counts["database away"] += 1

    def _end(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        del self.writers[pid]

    def _until_more(self, times: int) -> None:
        """Until each writer that lives was told so often again that an event is on record."""
        end = time.monotonic() + RECOVERY_SECONDS
        before = {name: self._acknowledged(name) for name in self.writers.values()}
        while any(self._acknowledged(name) < before[name] + times for name in self.writers.values()):
            if time.monotonic() > end:
                stuck = [name for name in before if self._acknowledged(name) < before[name] + times]
                raise TimeoutError(f"no record of {stuck} went through in {RECOVERY_SECONDS:g} s")
            time.sleep(0.01)

    def _acknowledged(self, name: str) -> int:
        note = self.notes / name
        return note.read_bytes().count(b"+") if note.exists() else 0


def said(notes: Path, sign: str) -> set[str]:
    lines = [line for note in notes.iterdir() for line in note.read_text().splitlines()]
    return {line[1:] for line in lines if line.startswith(sign)}


def hammer(kind: str, rounds: int, writers: int, seed: int, console: Console) -> Counter[str]:
    """Returns counts; ``missing``, ``doubled`` and ``faults`` are what must be 0."""
    total: Counter[str] = Counter(missing=0, doubled=0, faults=0)
    with tempfile.TemporaryDirectory(prefix="cordon-hammer-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL's user has to reach the disk
        left = list(range(rounds))
        shown = track(range(rounds), description=kind, console=console)
        advance = iter(shown)
        while left:
            here, left = left[:ROUNDS_A_LOG], left[ROUNDS_A_LOG:]
            notes = folder / "notes"
            notes.mkdir()
            with small_disk(folder / "disk", MEGABYTES[kind]) as disk, store(kind, disk.folder) as held:
                prepare(held.url)
                for number in here:
                    next(advance)
                    total += Round(held, disk, notes, name=f"r{number}", writers=writers, seed=seed + number).run()
                    found = look(held.url, folder)
                    total["rounds"] += 1
                    acknowledged = said(notes, "+")
                    for what, wrong in (
                        ("missing", acknowledged - set(found.ids)),
                        ("doubled", [one for one, count in Counter(found.ids).items() if count > 1]),
                        ("faults", found.faults),
                    ):
                        total[what] += len(wrong)
                        if wrong:
                            console.print(f"[red]{kind}, seed {seed + number}: {what}: {sorted(wrong)[:3]}")
                total["acknowledged"] += len(said(notes, "+"))
                total["refused"] += len(said(notes, "-"))
                total["on record"] += len(found.ids)
                total["refused, yet on record"] += len(said(notes, "-") & set(found.ids))
            (folder / "disk").rmdir()
            shutil.rmtree(notes)
        next(advance, None)
    return total


def main(kinds: list[str], rounds: int, writers: int, seed: int) -> int:
    console = Console(width=110)
    table = Table(title=f"{rounds} rounds, {writers} writers, seed {seed}")
    table.add_column("what")
    totals = {}
    for kind in kinds:
        began = time.perf_counter()
        totals[kind] = hammer(kind, rounds, writers, seed, console)
        table.add_column(f"{kind}, {time.perf_counter() - began:.0f} s", justify="right")
    names = ("rounds", "acknowledged", "refused", "refused, yet on record", "on record", "writers killed", "disk full",
             "database away", "missing", "doubled", "faults")  # fmt: skip
    for name in names:
        table.add_row(name, *(f"{total[name]:,}" for total in totals.values()))
    console.print(table)
    console.print("Refused, yet on record: the store was asked to commit and its answer did not come in time.")
    return int(any(total["missing"] or total["doubled"] or total["faults"] for total in totals.values()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    arguments = parser.parse_args()
    databases = ["sqlite", "postgresql"] if arguments.database == "both" else [arguments.database]
    sys.exit(main(databases, arguments.rounds, arguments.writers, arguments.seed))
