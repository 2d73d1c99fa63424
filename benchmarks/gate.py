"""The gate: a change that makes a request dearer is refused. Ratios of CPU time, not times; under 20 seconds.

    python benchmarks/gate.py                   both ratios, as CI asks for them; exit status 1 if one is too high
    python benchmarks/gate.py --only steps      without servers, two seconds
    python benchmarks/gate.py --ratios my.json  with other bounds
    python benchmarks/gate.py --accept          write what is seen now, and bounds somewhat above, into the file

Numerator and denominator are CPU seconds of processes on the same machine, measured in turns, of each the least of
several rounds: another program may take the cores away, but it adds little to them. A machine that is faster is so for
both. The bounds stand in benchmarks/ratios.json; whoever raises one says in the commit what was bought with it.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from rich.console import Console
from rich.table import Table

from benchmarks.serving import rig
from benchmarks.serving.floor import prepared
from benchmarks.serving.pictures import pictures
from benchmarks.serving.processes import cpu_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.serving.pictures import Picture

RATIOS = Path(__file__).parent / "ratios.json"
PICTURE = "512x512"
MARGIN = 1.4
"""Bounds lie by so much above what was seen: a machine with ten times as many programs as cores adds a quarter."""

ROUNDS, CALLS = 20, 8
REQUEST_ROUNDS, REQUESTS = 10, 25
"""Many short rounds: the least is of one that nobody disturbed."""


def steps(folder: Path) -> float:
    """Steps 2 to 4 in this process, by ``floor.prepared``."""
    picture = _picture(folder)
    prepare = _steps_of_the_gateway(folder, picture)
    sides: tuple[Callable[[], object], ...] = (prepare, lambda: prepared(picture.data))
    best = [float("inf")] * 2
    for turn in range(ROUNDS + 1):
        for number, side in enumerate(sides):
            begun = time.process_time()
            for _ in range(CALLS):
                side()
            if turn:  # the first is to warm up
                best[number] = min(best[number], time.process_time() - begun)
    return best[0] / best[1]


def _picture(folder: Path) -> Picture:
    return next(each for each in pictures(folder) if each.name == PICTURE)


def _steps_of_the_gateway(folder: Path, picture: Picture) -> Callable[[], object]:
    from gateway.ingest.frames import FrameSelection  # noqa: PLC0415 - not for --help
    from gateway.ingest.upload import Upload  # noqa: PLC0415
    from gateway.models.catalog import ModelCatalog  # noqa: PLC0415
    from gateway.settings import DeidSettings, IngestSettings  # noqa: PLC0415
    from gateway.work import Work, prepare  # noqa: PLC0415

    catalog = ModelCatalog.load(rig.HERE / "null-models.yaml", rig.HERE / "null_model")
    deid = DeidSettings(key="k" * 32, policy=rig.without_look(folder / "deid"))
    work = Work(
        Upload(picture.data, "image/jpeg"), FrameSelection.parse(None), catalog.resolve(None), "gate",
        IngestSettings(), deid,
    )  # fmt: skip
    return lambda: prepare(work)


def request(folder: Path) -> float:
    """A request in all of the gateway's processes, by ``floor.py`` in its own, on the same Triton."""
    picture = _picture(folder)
    with rig.stack(folder / "stack") as servers, rig.gateway(servers, folder / "gateway", look=False) as gateway:
        body, content_type = picture.form
        headers = {"Content-Type": content_type, **gateway.headers}
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)

        def ask() -> None:
            connection.request("POST", gateway.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            if answer.status != http.HTTPStatus.OK:
                raise RuntimeError(f"the gateway answered {answer.status}: {content[:200]!r}")

        floor = rig.Floor(servers)
        best = [float("inf")] * 2
        with floor:
            for turn in range(REQUEST_ROUNDS + 1):
                before = cpu_of(gateway.pid).total
                for _ in range(REQUESTS):
                    ask()
                spent = cpu_of(gateway.pid).total - before, floor.run(picture, REQUESTS)["cpu"]
                if turn:
                    best = [min(*pair) for pair in zip(best, spent, strict=True)]
        return best[0] / best[1]


MEASURES: Mapping[str, Callable[[Path], float]] = {"steps": steps, "request": request}


def judge(seen: Mapping[str, float], bounds: Mapping[str, Mapping[str, Any]]) -> dict[str, bool]:
    """Whether each ratio is within its bound. One without a bound is not."""
    return {name: name in bounds and ratio <= bounds[name]["at_most"] for name, ratio in seen.items()}


def measure(names: list[str]) -> dict[str, float]:
    """Each ratio by its name."""
    seen = {}
    for name in names:
        with tempfile.TemporaryDirectory(prefix="gate-", dir="/tmp") as folder:
            seen[name] = MEASURES[name](Path(folder))
    return seen


def show(seen: Mapping[str, float], bounds: Mapping[str, Mapping[str, Any]], verdicts: Mapping[str, bool]) -> None:
    table = Table(box=None)
    for column in ("ratio", "now", "at the last change", "at most", ""):
        table.add_column(column, justify="left" if column in {"ratio", ""} else "right")
    for name, ratio in seen.items():
        bound = bounds.get(name, {})
        verdict = "good" if verdicts[name] else "[red]too high"
        table.add_row(name, f"{ratio:.2f}", str(bound.get("seen", "-")), str(bound.get("at_most", "none")), verdict)
    Console(width=110).print(table)


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(MEASURES), action="append", help="may be given more than once")
    parser.add_argument("--ratios", type=Path, default=RATIOS, help="the file with the bounds")
    parser.add_argument("--accept", action="store_true", help="take what is seen now for the bounds")
    choice = parser.parse_args(words)
    bounds = json.loads(choice.ratios.read_text(encoding="utf-8"))
    seen = measure(choice.only or list(MEASURES))
    if choice.accept:
        for name, ratio in seen.items():
            bounds[name] |= {"seen": round(ratio, 2), "at_most": round(MARGIN * ratio, 2)}
        choice.ratios.write_text(json.dumps(bounds, indent=2) + "\n", encoding="utf-8")
    verdicts = judge(seen, bounds)
    show(seen, bounds, verdicts)
    return int(not all(verdicts.values()))


if __name__ == "__main__":
    sys.exit(main())
