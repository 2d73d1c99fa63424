"""De-identification benchmark: CPU time a file, header only, one process each, on the same files in the same run."""

from __future__ import annotations

import gc
import sys
import time
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.deid_corpus.peers import NAMES

if TYPE_CHECKING:
    from benchmarks.deid_corpus.adapters import Ours
    from benchmarks.deid_corpus.corpus import Instance
    from benchmarks.deid_corpus.peers import Folder


def milliseconds(
    folder: Folder, engine: Ours, instances: list[Instance], python: str | None, rounds: int
) -> dict[str, float]:
    """CPU milliseconds a file, from file to file, median of the rounds.

    Tools run in turn within each round, so that a busy machine hurts all alike.

    Args:
        folder: The corpus, written.
        engine: The gateway's.
        instances: The same corpus.
        python: Interpreter that has the peers; None to leave them out.
        rounds: How often everything is run.
    """
    tools = [("floor", sys.executable), ("decoded", sys.executable)] + (
        [(name, python) for name in NAMES] if python else []
    )
    taken: dict[str, list[float]] = {"cordon": []}
    _ours(folder, engine, instances)
    gc.freeze()  # the corpus in memory is none of the others' either: the collector does not walk it
    for _ in range(rounds):
        taken["cordon"].append(_ours(folder, engine, instances))
        for name, interpreter in tools:
            # Of two rounds the runner times the second: the first pays for imports.
            answer = folder.run(name, interpreter, rounds=2)
            taken.setdefault(name, []).append(1000 * answer["seconds"][0] / answer["files"])
    return {name: median(values) for name, values in taken.items()}


def _ours(folder: Folder, engine: Ours, instances: list[Instance]) -> float:
    target = folder.root / "cordon"
    target.mkdir(exist_ok=True)
    begin = time.process_time()
    for instance in instances:
        data = (folder.source / instance.name).read_bytes()
        (target / instance.name).write_bytes(engine.file(data))
    return 1000 * (time.process_time() - begin) / len(instances)
