"""How soon a switch of versions reaches every gateway process, and whether a request fails meanwhile.

A real Triton with a tiny model of two versions, a gateway of several processes, and callers that each ask again and
again over new connections. The model is switched to version 2 and rolled back, several times; for each the script says
when the last answer of the version before was asked for, counted from the commit, and what failed.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from gateway.admission.administrator import Administrator
from gateway.embedded.stack import Stack
from gateway.embedded.state import StateFolder
from gateway.errors import ModelUnavailable, StoreUnavailable
from gateway.models.administration import Why
from gateway.settings import DatabaseSettings
from tests.support.gateway import running_gateway
from tests.support.stack import ROOT, TRITON_ENVIRONMENT
from tests.support.versions import MODEL, POLICY, REPOSITORY, running_versions, settings_of, workers

EXAMPLES = """examples:
  python benchmarks/model_switch.py
  python benchmarks/model_switch.py --processes 4 --callers 50 --switches 10
"""
if TYPE_CHECKING:
    from gateway.embedded.triton import Triton
    from tests.support.gateway import RunningGateway

Met = tuple[float, int, str, float]
"""When it was asked for, its status, the version or the problem, and when it was answered."""


def png(number: int) -> bytes:
    """A picture of its own for each caller: a patient who is a picture."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (number % 256, number // 256, 7)).save(buffer, "PNG")
    return buffer.getvalue()


async def caller(gateway: RunningGateway, number: int, pause: float, stop: asyncio.Event, met: list[Met]) -> None:
    """Ask until stopped, each time over a new connection, so that any process may take it."""
    body, headers = png(number), {"Authorization": f"Bearer {gateway.key}", "Content-Type": "image/png"}
    while not stop.is_set():
        asked = time.monotonic()
        async with httpx.AsyncClient(base_url=gateway.url, timeout=60, headers=headers) as client:
            answer = await client.post("/v1/predict", content=body)
        said = answer.json()
        told = said["model"]["version"] if answer.is_success else said["type"]
        met.append((asked, answer.status_code, told, time.monotonic()))
        await asyncio.sleep(pause)


async def measure(gateway: RunningGateway, triton: Triton, folder: Path, given: argparse.Namespace) -> None:
    """Switch to and fro under load, and print what callers met."""
    settings = settings_of(folder, gateway.variables["REDIS_URL"], triton)
    settings = settings.model_copy(update={"database": DatabaseSettings(url=gateway.variables["DATABASE_URL"])})
    met: list[Met] = []
    stop = asyncio.Event()
    pause = given.callers / given.rate
    callers = [asyncio.create_task(caller(gateway, each, pause, stop, met)) for each in range(given.callers)]
    changes: list[tuple[str, float, float]] = []  # to which version, when it was asked for, when it was done
    by, why = Administrator.operator(), Why("test")
    async with workers(settings) as [operator]:
        models = operator.parts.administration
        await asyncio.sleep(1)
        for number in track(range(given.switches), "Switching"):
            to, began = "1" if number % 2 else "2", time.monotonic()
            while True:
                try:
                    await (models.rollback(by, MODEL, why) if number % 2 else models.canary(by, MODEL, to, 100, why))
                    break
                except (StoreUnavailable, ModelUnavailable):  # this process is too busy with its callers
                    began = time.monotonic()
            changes.append((to, began, time.monotonic()))
            await asyncio.sleep(given.seconds)
    stop.set()
    await asyncio.gather(*callers)

    table = Table(
        "CHANGE", "LAST ANSWER OF THE VERSION BEFORE", "ANSWERS MEANWHILE", "FAILED", box=None, pad_edge=False
    )
    late = []
    ends = [began for _, began, _ in changes[1:]] + [float("inf")]
    for (to, _, at), end in zip(changes, ends, strict=True):
        # Which version answers is decided after de-identification: one asked for before the next change may meet it.
        window = [each for each in met if at < each[0] and each[3] < end]
        stale = max(
            (asked - at for asked, status, version, _ in window if status == 200 and version != to), default=0.0
        )
        late.append(stale)
        failed = sum(each[1] != 200 for each in window)
        table.add_row(f"to {to}", f"asked {stale * 1000:.0f} ms after the commit", str(len(window)), str(failed))
    console = Console()
    console.print(table)
    failures = sorted({said for _, status, said, _ in met if status != 200})
    console.print(
        f"{given.processes} processes, {given.callers} callers, {len(met)} requests, "
        f"{sum(each[1] != 200 for each in met)} failed {failures or ''}; "
        f"last of the version before: median {median(late) * 1000:.0f} ms, most {max(late) * 1000:.0f} ms"
    )


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=int, default=2, help="gateway processes (2)")
    parser.add_argument("--callers", type=int, default=50, help="callers at once (50)")
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second, of all callers together (50)")
    parser.add_argument("--switches", type=int, default=6, help="changes, to and fro (6)")
    parser.add_argument("--seconds", type=float, default=2.5, help="between two changes (2.5)")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        StateFolder(Path(name) / "state", cache=ROOT / ".cordon" / "cache") as state,
    ):
        folder = Path(name)
        stack = Stack(
            state,
            triton_environment=TRITON_ENVIRONMENT,
            repository=ROOT / "model_repository",
            models_policy=ROOT / "policies" / "models.yaml",
        )
        with stack, running_versions(folder) as triton:
            stack.start()
            stack.wait_ready()
            offered = {"MODELS_POLICY": str(POLICY), "MODELS_REPOSITORY": str(REPOSITORY), "TRITON_URL": triton.url}
            busy = {"HTTP_WAIT_MULTIPLE": "0", "HTTP_DEADLINE_SECONDS": "30"}  # that is another script's question
            with running_gateway(
                stack, folder / "gateway", HTTP_WORKERS=str(given.processes), **offered, **busy
            ) as gateway:
                asyncio.run(measure(gateway, triton, folder, given))


if __name__ == "__main__":
    main()
