"""The shipped model on the CPU in FP32, BF16 and INT8, each served by a real Triton: how right, how alike, how fast.

    python benchmarks/runtimes.py [--images FOLDER] [--rounds 1] [--precision f32 bf16 int8]

    python benchmarks/runtimes.py                                     # all three, side by side
    python benchmarks/runtimes.py --precision int8 --rounds 3
    python benchmarks/runtimes.py --images /data/mri                  # labelled images elsewhere

The folder holds labels.csv (columns file and label, and onnx_prediction and onnx_confidence for the likeness to the
model in FP32). None of these images calibrated the INT8 weights. Without the folder only times are measured, on noise.
CPU is that of Triton and its model's process, for single images one after the other and for full batches; load of the
machine shifts times, and the CPU of one image less. The first request is the first after Triton says that it is ready.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np
import numpy.typing as npt
import psutil
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from gateway.embedded.triton import Triton
from gateway.embedded.triton_environment import TritonEnvironment
from gateway.modelkit.manifest import read_labels
from inference_client.triton import TritonClient

MODEL = ROOT / "model_repository" / "brain_mri_resnet50"
IMAGES = ROOT.parent / "shared" / "data" / "mri"
BATCH = 16
_PARAMETER = 'parameters {{ key: "precision" value {{ string_value: "{}" }} }}\n'


@dataclass(frozen=True, slots=True)
class Way:
    """One precision: which configuration, which version, and what model.py is told."""

    name: str
    configuration: str
    version: str
    precision: str


WAYS = {
    "f32": Way("FP32", "openvino", "1", "f32"),
    "bf16": Way("BF16", "openvino", "1", "bf16"),
    "int8": Way("INT8", "openvino-int8", "2", "auto"),
}


@dataclass(frozen=True, slots=True)
class Images:
    """What is asked: uint8 [N, 224, 224, 3]; labels and the answers of the bare model in FP32, where they are known."""

    array: npt.NDArray[np.uint8] = field(repr=False)
    truth: list[str] = field(default_factory=list)
    bare: list[str] = field(default_factory=list)
    confidence: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Outcome:
    """Of one way; milliseconds."""

    said: list[str]
    confidence: list[float]
    ready: float = 0.0
    first: float = 0.0
    warm: list[float] = field(default_factory=list)
    cpu_one: float = 0.0
    cpu_full: float = 0.0


def read_images(folder: Path) -> Images:
    """The labelled images, made as the gateway makes them; noise where there are none."""
    if not (folder / "labels.csv").exists():
        return Images(np.random.default_rng(1).integers(0, 256, (64, 224, 224, 3), np.uint8))
    with (folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    pictures = [Image.open(folder / row["file"]).convert("RGB") for row in rows]
    array = np.stack([np.asarray(one.resize((224, 224), Image.Resampling.BICUBIC)) for one in pictures])
    known = all(row.get("onnx_prediction") for row in rows)
    return Images(
        array,
        [row["label"] for row in rows],
        [row["onnx_prediction"] for row in rows] if known else [],
        [float(row["onnx_confidence"]) for row in rows] if known else [],
    )


def lay_out(folder: Path, way: Way) -> Path:
    """A repository with the shipped model, its configuration told which precision to compute in."""
    model = folder / MODEL.name
    (model / "configs").mkdir(parents=True)
    for path in MODEL.iterdir():
        if path.name != "configs":
            (model / path.name).symlink_to(path)
    config = (MODEL / "configs" / f"{way.configuration}.pbtxt").read_text(encoding="utf-8")
    told = config + _PARAMETER.format(way.precision)
    (model / "configs" / f"{way.configuration}.pbtxt").write_text(told, encoding="utf-8")
    return folder


def cpu_seconds(pid: int) -> float:
    """Of a process and all below it, so far."""
    top = psutil.Process(pid)
    return sum(sum(one.cpu_times()[:2]) for one in (top, *top.children(recursive=True)))


async def serve(way: Way, images: Images, folder: Path, rounds: int) -> Outcome:
    """Start a Triton, ask it for all images, and stop it."""
    began = time.perf_counter()
    triton = Triton(
        TritonEnvironment.find(ROOT / ".triton"),
        lay_out(folder / "models", way),
        folder=folder / "triton",
        cache=folder.parent / "cache",
        log=folder / "triton.log",
        configuration=way.configuration,
    )
    try:
        triton.wait_ready()
        outcome = Outcome([], [], ready=time.perf_counter() - began)
        client = TritonClient(triton.url)
        await client.ready(MODEL.name, way.version)  # as the gateway does before it says that it is ready itself
        await ask_all(client, triton.child.pid, way, images, outcome, rounds)
        await client.close()
    finally:
        triton.stop()
    return outcome


async def ask_all(  # noqa: PLR0917 - a table's row, as it is measured
    client: TritonClient, pid: int, way: Way, images: Images, outcome: Outcome, rounds: int
) -> None:
    """One by one, then in full batches."""
    labels = read_labels(MODEL)

    async def ask(batch: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        began = time.perf_counter()
        answer = await client.infer(
            MODEL.name, batch, shape=(len(labels),), timeout=60.0, request_id="benchmark", version=way.version
        )
        outcome.warm.append((time.perf_counter() - began) * 1000)
        return answer.output

    count, before = len(images.array), cpu_seconds(pid)
    logits = np.concatenate([await ask(images.array[at : at + 1]) for _ in range(rounds) for at in range(count)])
    outcome.cpu_one = (cpu_seconds(pid) - before) * 1000 / (rounds * count)
    outcome.first, outcome.warm = outcome.warm[0], outcome.warm[1:]
    times, before, full = outcome.warm, cpu_seconds(pid), count // BATCH * BATCH
    for at in range(0, rounds * full, BATCH):
        await ask(images.array[at % full :][:BATCH])
    outcome.cpu_full = (cpu_seconds(pid) - before) * 1000 / (rounds * full)
    outcome.warm = times[: rounds * count - 1]
    exponentials = np.exp(logits[:count] - logits[:count].max(axis=1, keepdims=True))
    shares = exponentials / exponentials.sum(axis=1, keepdims=True)
    outcome.said = [labels[best] for best in shares.argmax(axis=1)]
    outcome.confidence = shares.max(axis=1).tolist()


def _native_bf16() -> bool:
    return "avx512_bf16" in Path("/proc/cpuinfo").read_text()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, default=IMAGES, help="folder with labels.csv")
    parser.add_argument("--rounds", type=int, default=1, help="how often all images are asked for")
    parser.add_argument("--precision", nargs="+", choices=sorted(WAYS), default=list(WAYS))
    wanted = parser.parse_args()
    console = Console()
    images = read_images(wanted.images)
    if not images.truth:
        console.print(f"No labelled images in {wanted.images}: times alone, on noise.")
    table = Table(
        "", "right", "as FP32 on record", "confidence off by", "CPU-ms an image", "in batches of 16", "warm ms",
        "p95", "first ms", "first / warm", "ready after s",
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="cordon-runtimes-") as scratch:
        for name in track(wanted.precision, "Serving", console=console, transient=True):
            way = WAYS[name]
            if name == "bf16" and not _native_bf16():
                table.add_row(way.name, "the CPU does not compute in BF16")
                continue
            folder = Path(scratch) / name
            folder.mkdir()
            outcome = asyncio.run(serve(way, images, folder, wanted.rounds))
            table.add_row(*_row(way, images, outcome))
    console.print(table)
    console.print(f"{len(images.array)} images; load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")


def _row(way: Way, images: Images, outcome: Outcome) -> list[str]:
    right = like = off = "-"
    if images.truth:
        hits = sum(one == other for one, other in zip(outcome.said, images.truth, strict=True))
        right = f"{hits} of {len(images.truth)}, {100 * hits / len(images.truth):.1f} %"
    if images.bare:
        like = str(sum(one == other for one, other in zip(outcome.said, images.bare, strict=True)))
        off = f"{np.abs(np.subtract(outcome.confidence, images.confidence)).max():.3f}"
    warm = statistics.median(outcome.warm)
    return [
        way.name,
        right,
        like,
        off,
        f"{outcome.cpu_one:.1f}",
        f"{outcome.cpu_full:.1f}",
        f"{warm:.1f}",
        f"{statistics.quantiles(outcome.warm, n=20)[-1]:.1f}",
        f"{outcome.first:.1f}",
        f"{outcome.first / warm:.2f}",
        f"{outcome.ready:.1f}",
    ]


if __name__ == "__main__":
    main()
