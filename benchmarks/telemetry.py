"""What metrics and traces cost a prediction, in CPU, and what a scrape costs; all in one process, by turns.

    python benchmarks/telemetry.py [--requests 20000] [--rounds 5]

A request is what the gateway notes of one: its beginning and end, its steps, and its report. In memory: one gateway
process. Mapped: several, whose numbers are in files in memory (docs/adr). Traced: every request recorded, eight spans,
none sent. Not traced: traces are made, but not of this request. Figures are medians over the rounds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from prometheus_client import CollectorRegistry, generate_latest
from rich.console import Console
from rich.progress import track
from rich.table import Table

from gateway.api.exchange import Exchange
from gateway.deid.image import Pseudonyms
from gateway.deid.report import DeidReport
from gateway.ingest.upload import MediaType
from gateway.models.spec import InputSpec, ModelSpec
from gateway.settings import TracesSettings
from gateway.story import Story
from gateway.telemetry.meter import Meter
from gateway.telemetry.shared_folder import VARIABLE, SharedNumbers, shared_folder
from gateway.telemetry.tracing import Tracer
from gateway.work import Sanitized

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS = {"ingest": 0.004, "deid": 0.03, "preprocess": 0.001}
ACTIONS = {"removed": 60, "emptied": 12, "replaced": 20, "uid": 9, "private": 5}


def made() -> tuple[Exchange, Story]:
    """A request with all that a prediction has."""
    model = ModelSpec("brain_mri_resnet50", "1", "0" * 64, ("a", "b"), InputSpec())
    report = DeidReport("basic", "0" * 64, actions=ACTIONS, frames_looked_at=1, seconds_text=0.02)
    sanitized = Sanitized(
        media_type=MediaType.DICOM,
        input_digest="0" * 64,
        pseudonyms=Pseudonyms(None, None, None),
        report=report,
        seconds=STEPS,
    )
    admission: Any = None
    story = Story(admission, model=model, sanitized=sanitized, images=1, waited=0.001)
    story.took(STEPS)
    story.took({"infer": 0.02})
    story.took({"audit": 0.004})
    exchange = Exchange("0" * 32, route="POST /v1/predict", bytes_in=200_000)
    exchange.steps["admit"] = 0.001
    return exchange, story


def metered() -> Callable[[], None]:
    """One request's metrics."""
    meter, (exchange, story) = Meter(), made()

    def request() -> None:
        meter.began()
        meter.told(story)
        meter.ended(exchange, 200)

    return request


class Nowhere(SpanExporter):
    """Throws spans away."""

    def export(self, _spans: Any, /) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def traced(ratio: float) -> Callable[[], None]:
    """One request's spans, which are thrown away."""
    tracer, (exchange, story) = Tracer(TracesSettings(endpoint="http://x/v1/traces", ratio=ratio), Nowhere()), made()

    def request() -> None:
        request = tracer.begin(exchange, None)
        tracer.told(story)
        tracer.end(request, exchange, 200)

    return request


def microseconds(request: Callable[[], None], requests: int) -> float:
    """CPU of one."""
    began = time.process_time()
    for _ in range(requests):
        request()
    return (time.process_time() - began) / requests * 1e6


def scrape(registry: CollectorRegistry) -> float:
    """CPU milliseconds of one."""
    began = time.process_time()
    for _ in range(20):
        generate_latest(registry)
    return (time.process_time() - began) / 20 * 1e3


def mapped(requests: int, folder: Path) -> float:
    """In a process of its own, which the variable makes write files."""
    command = [sys.executable, __file__, "--requests", str(requests), "--mapped"]
    done = subprocess.run(command, env=os.environ | {VARIABLE: str(folder)}, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000, help="requests a round (default: 20000)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default: 5)")
    parser.add_argument("--mapped", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.mapped:
        sys.stdout.write(f"{microseconds(metered(), options.requests)}\n")
        return
    kinds = {"metrics, in memory": metered(), "traces, traced": traced(1.0), "traces, not traced": traced(0.0)}
    took: dict[str, list[float]] = {name: [] for name in (*kinds, "metrics, mapped")}
    with shared_folder() as folder:
        for _ in track(range(options.rounds), description="Rounds", console=Console(stderr=True)):
            for name, request in kinds.items():
                took[name].append(microseconds(request, options.requests))
            took["metrics, mapped"].append(mapped(options.requests, folder))
        registry = CollectorRegistry()
        registry.register(SharedNumbers(folder))
        of_all = scrape(registry)
        processes = len(list(folder.glob("counter_*.db")))
    table = Table("what", "CPU a request, us", "least", title=f"load average {os.getloadavg()[0]:.1f}")
    for name, values in took.items():
        table.add_row(name, f"{median(values):.1f}", f"{min(values):.1f}")
    console = Console()
    console.print(table)
    console.print(f"A scrape of the files of {processes} processes: {of_all:.1f} ms of CPU")


if __name__ == "__main__":
    main()
