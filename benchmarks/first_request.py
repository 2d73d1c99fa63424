"""What the first request after a start costs, against the ones that follow: `cordon up`, anew each time.

    python benchmarks/first_request.py [--starts 3] [--next 50] [--workers 1] [--model-config openvino]

    python benchmarks/first_request.py --starts 5              # the promise: at most 2 times the warm median
    python benchmarks/first_request.py --model-config openvino-both --starts 1

Each start has a state folder of its own, so keys, secrets and the database are new. Compiled models are kept from one
start to the next, as in use; the very first start compiles them, before it says that it is ready. For each kind of
image: the first request of that kind, the next ones' median and their 95th percentile, milliseconds as the caller sees
them over one open connection, and where the first one's time went.
"""

from __future__ import annotations

import argparse
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import httpx
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.serving.pictures import pictures
from gateway.embedded.samples import all_samples

CORDON = ROOT / ".venv" / "bin" / "cordon"
PROMISE = 2.0
_READY_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Image:
    """One body."""

    name: str
    body: bytes = field(repr=False)
    media_type: str


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of image after one start; milliseconds."""

    image: str
    first: float
    following: list[float]
    steps: str

    @property
    def ratio(self) -> float:
        """First to warm median."""
        return self.first / statistics.median(self.following)


class Up:
    """A `cordon up` that is ready."""

    def __init__(self, state: Path, options: list[str]) -> None:
        self._log = state.parent / f"{state.name}.log"
        command = [str(CORDON), "up", "--port", "0", "--state", str(state), *options]
        began = time.monotonic()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        while "/readiness" not in (said := self._log.read_text()):
            if self._process.poll() is not None or time.monotonic() - began > _READY_SECONDS:
                raise SystemExit(f"cordon up did not start:\n{said}")
            time.sleep(0.1)
        self.seconds = time.monotonic() - began
        self.url = self._find(r"Cordon is up: (\S+)", said)
        issue = [str(CORDON), "--state", str(state), "keys", "issue", "--owner", "benchmark", "--tenant", "local"]
        plan = [*issue, "--scope", "predict", "--plan", "unlimited-internal"]
        self.key = subprocess.run(plan, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()[-1]

    @staticmethod
    def _find(pattern: str, said: str) -> str:
        found = re.search(pattern, said)
        assert found is not None, said
        return found.group(1)

    def stop(self) -> None:
        """As Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(60)


def measure(up: Up, images: list[Image], following: int) -> list[Row]:
    """The kinds of images one after the other, in the order given."""
    rows = []
    with httpx.Client(base_url=up.url, headers={"X-API-Key": up.key}, timeout=60, trust_env=False) as client:
        client.get("/health")
        for image in images:
            took = [_ask(client, image) for _ in range(1 + following)]
            rows.append(Row(image.name, took[0][0], [each for each, _ in took[1:]], took[0][1]))
    return rows


def _ask(client: httpx.Client, image: Image) -> tuple[float, str]:
    began = time.perf_counter()
    answer = client.post("/v1/predict", content=image.body, headers={"Content-Type": image.media_type})
    took = (time.perf_counter() - began) * 1000
    answer.raise_for_status()
    return took, re.sub(r";dur=(\d+)[.\d]*", r" \1", answer.headers.get("server-timing", ""))


def _images(folder: Path, order: int) -> list[Image]:
    """A different kind is the first of all after each start."""
    jpeg = [Image(f"JPEG {one.name}", one.data, "image/jpeg") for one in pictures(folder)[1:2]]
    others = [Image(sample.name, sample.data, sample.media_type) for sample in all_samples()]
    images = [*jpeg, *others]
    return images[order % len(images) :] + images[: order % len(images)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=3, help="how often everything is started anew")
    parser.add_argument("--next", type=int, default=50, dest="following", help="warm requests of each kind")
    parser.add_argument("--workers", type=int, default=1, help="gateway processes")
    parser.add_argument("--model-config", default="openvino", help="which configs/NAME.pbtxt")
    wanted = parser.parse_args()
    console = Console()
    table = Table("start", "image", "first ms", "warm median", "warm p95", "ratio", "the first one's steps, ms")
    worst = 0.0
    with tempfile.TemporaryDirectory(prefix="cordon-first-") as folder:
        cache = Path(folder) / "cache"
        cache.mkdir()
        for number in track(range(wanted.starts), "Starting anew", console=console, transient=True):
            state = Path(folder) / f"state-{number}"
            state.mkdir(mode=0o700)
            (state / "cache").symlink_to(cache)
            up = Up(state, ["--workers", str(wanted.workers), "--model-config", wanted.model_config])
            try:
                rows = measure(up, _images(Path(folder), number), wanted.following)
            finally:
                up.stop()
            for position, row in enumerate(rows):
                if position == 0:
                    worst = max(worst, row.ratio)
                table.add_row(
                    f"{number + 1} ({up.seconds:.1f} s)" if position == 0 else "",
                    row.image,
                    f"{row.first:.1f}",
                    f"{statistics.median(row.following):.1f}",
                    f"{statistics.quantiles(row.following, n=20)[-1]:.1f}",
                    f"{row.ratio:.2f}",
                    row.steps,
                )
    console.print(table)
    console.print(
        f"The first request after a start costs at most {worst:.2f} times the warm median; promised: {PROMISE}"
    )


if __name__ == "__main__":
    main()
