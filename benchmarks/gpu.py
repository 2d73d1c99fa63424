"""The gateway in front of a GPU: its throughput, Triton's, the GPU's alone, and their ratios, in one command.

    python benchmarks/gpu.py                              on an NVIDIA GPU; installs 3 GB into .triton-gpu, once
    python benchmarks/gpu.py --wheels /media/wheels       the same without a network, from a folder of wheels
    python benchmarks/gpu.py --device cpu --quick         the whole way without a GPU, to see that it works
    python benchmarks/gpu.py --environment /opt/triton    one that is there already
    python benchmarks/gpu.py --no-write                   leaves docs/performance.md as it is

To make the folder of wheels, on a machine with a network:

    python -m pip download -d wheels --only-binary :all: -r benchmarks/gpu-requirements.txt

Triton comes from the nvidia-pytriton wheel with its Python backend; the shipped model.onnx runs in it on ONNX Runtime's
CUDA provider. Measured side by side: ONNX Runtime alone in a loop (the device's own limit, copies included), Triton
driven with finished tensors, and the gateway driven with JPEG files of 512 x 512. Needs ``make install`` first; Linux
on x86-64, a driver for CUDA 12.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import psutil

from benchmarks.serving import plots
from benchmarks.serving.load import Generator, Target
from benchmarks.serving.report import Report, arguments, console, milliseconds, progress
from benchmarks.serving.stack import SHIPPED, Serving
from benchmarks.serving.stats import Summary, summarize

if TYPE_CHECKING:
    import argparse

    from matplotlib.figure import Figure

REQUIREMENTS = Path(__file__).parent / "gpu-requirements.txt"
MODEL = Path(__file__).parent / "serving" / "gpu_model" / "model.py"
CONFIGURATION = "bench"
DRIVER_FOLDERS = ("/usr/lib/x86_64-linux-gnu", "/usr/local/nvidia/lib64", "/usr/lib64", "/usr/lib/wsl/lib")
WARM = "data_type: TYPE_UINT8 dims: [ 224, 224, 3 ] zero_data: true"
DIRECT, GATEWAY = "Triton driven directly", "gateway + Triton"
CONFIG = """name: "{model}"
backend: "python"
default_model_filename: "model.py"
max_batch_size: {batch}
input [ {{ name: "image" data_type: TYPE_UINT8 dims: [ 224, 224, 3 ] }} ]
output [ {{ name: "logits" data_type: TYPE_FP32 dims: [ 4 ] label_filename: "labels.txt" }} ]
version_policy: {{ specific: {{ versions: [ 1 ] }} }}
dynamic_batching {{ max_queue_delay_microseconds: 1000 }}
instance_group [ {{ kind: KIND_CPU count: {instances} }} ]
parameters {{ key: "device" value: {{ string_value: "{device}" }} }}
parameters {{ key: "libraries" value: {{ string_value: "{libraries}" }} }}
model_warmup [
  {{ name: "one" batch_size: 1 inputs {{ key: "image" value {{ {warm} }} }} }},
  {{ name: "full" batch_size: {batch} inputs {{ key: "image" value {{ {warm} }} }} }}
]
"""
"""KIND_CPU is where Triton puts the tensors; the model takes them to the device itself."""


def environment(choice: argparse.Namespace) -> Path:
    """A virtual environment with Triton and ONNX Runtime, made where it is missing."""
    folder: Path = choice.environment or ROOT / f".triton-{'gpu' if choice.device == 'cuda' else 'onnxruntime'}"
    done = folder / ".installed"
    if choice.environment or done.exists():
        return folder
    console.print(f"Installing Triton and ONNX Runtime for {choice.device} into {folder.name}")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    if choice.device == "cpu":
        wanted = wanted.replace("onnxruntime-gpu[cuda,cudnn]", "onnxruntime")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(wanted)
        file.flush()
        command = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        command += ["--only-binary", ":all:", "-r", file.name]
        if choice.wheels:
            command += ["--no-index", "--find-links", choice.wheels]
        subprocess.run([str(word) for word in command], check=True)
    done.touch()
    return folder


def device_name(device: str) -> str:
    """As nvidia-smi says it."""
    if device == "cpu":
        return "no GPU: ONNX Runtime on the CPU"
    asked = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    found = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip().splitlines()
    return f"{len(found)} x {found[0]}"


def repository(folder: Path, model: str, choice: argparse.Namespace) -> None:
    """The shipped model, with this benchmark's own runtime."""
    place = folder / model
    (place / "configs").mkdir(parents=True)
    (place / "1").mkdir()
    for name in ("manifest.json", "labels.txt", "1/model.onnx"):
        (place / name).symlink_to(SHIPPED / model / name)
    (place / "1" / "model.py").symlink_to(MODEL)
    text = CONFIG.format(
        model=model,
        batch=choice.batch,
        instances=choice.instances,
        device=choice.device,
        libraries=_libraries(),
        warm=WARM,
    )
    for name in ("config.pbtxt", f"configs/{CONFIGURATION}.pbtxt"):
        (place / name).write_text(text, encoding="utf-8")


def _libraries() -> str:
    """Where the driver's own may lie."""
    given = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    return os.pathsep.join([*filter(None, given), *DRIVER_FOLDERS])


def alone(python: Path, serving: Serving, choice: argparse.Namespace) -> dict[int, float]:
    """Batch size to images a second, of ONNX Runtime in a loop."""
    sizes = [size for size in (1, 8, 16, 32, 64, 128) if size <= choice.batch] or [choice.batch]
    weights = SHIPPED / serving.model / "1" / "model.onnx"
    words = [python, MODEL, weights, choice.device, ",".join(map(str, sizes)), choice.seconds / 2]
    words.append(_libraries())
    done = subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True)
    return {int(size): rate for size, rate in json.loads(done.stdout.splitlines()[-1]).items()}


def measure(
    generator: Generator, targets: dict[str, Target], choice: argparse.Namespace
) -> dict[str, dict[int, Summary]]:
    found: dict[str, dict[int, Summary]] = {name: {} for name in targets}
    with progress() as bar:
        task = bar.add_task("closed loop", total=len(choice.callers) * len(targets))
        for target in targets.values():
            generator.closed(target, choice.callers[0], 2.0)  # to warm up
        for callers in choice.callers:
            for name, target in targets.items():
                found[name][callers] = summarize(generator.closed(target, callers, choice.seconds, warm=1.0))
                bar.advance(task)
    return found


def show(report: Report, device: str, rates: dict[int, float], found: dict[str, dict[int, Summary]]) -> None:
    report.line(f"Device: {device}.")
    report.table(
        "ONNX Runtime alone, in a loop", ("batch", *map(str, rates)),
        [("images a second", *(f"{rate:,.0f}" for rate in rates.values()))],
    )  # fmt: skip
    callers = list(found[DIRECT])
    rows = [
        (name, *(f"{each.goodput:,.0f} ({milliseconds(each.p99)})" for each in by_callers.values()))
        for name, by_callers in found.items()
    ]
    report.table("Answers a second (p99 ms), by callers", ("", *map(str, callers)), rows)
    limit = max(rates.values())
    best = {name: max(each.goodput for each in by_callers.values()) for name, by_callers in found.items()}
    report.line(
        f"The gateway's best rate, {best[GATEWAY]:,.0f} a second, is {100 * best[GATEWAY] / best[DIRECT]:.0f} % of "
        f"Triton's driven directly and {100 * best[GATEWAY] / limit:.0f} % of what the device does alone "
        f"({limit:,.0f}); Triton's is {100 * best[DIRECT] / limit:.0f} % of it."
    )


def draw(device: str, rates: dict[int, float], found: dict[str, dict[int, Summary]]) -> Figure:
    figure, axes = plots.panels(2)
    for number, (name, by_callers) in enumerate(found.items()):
        look = {"color": plots.COLOURS[number], "marker": plots.MARKS[number], "label": name}
        axes[0].plot(list(by_callers), [each.goodput for each in by_callers.values()], **look)
        axes[1].plot(list(by_callers), [each.p99 for each in by_callers.values()], **look)
    plots.goal(axes[0], max(rates.values()), "the device alone")
    for axis in axes:
        plots.callers_axis(axis, list(found[DIRECT]))
    axes[0].set(title=device, ylabel="images a second")
    axes[0].set_ylim(0, 1.15 * max(axes[0].get_ylim()[1], *rates.values()))
    axes[0].legend(loc="lower right")
    axes[1].set(title="p99", ylabel="ms")
    plots.log_axis(axes[1])
    return figure


def main() -> int:
    cores = len(psutil.Process().cpu_affinity())
    parser = arguments(__doc__)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--wheels", type=Path, help="a folder of wheels to install from, without a network")
    parser.add_argument("--environment", type=Path, help="an environment with nvidia-pytriton and onnxruntime[-gpu]")
    parser.add_argument("--workers", type=int, default=max(1, cores // 2), help="HTTP_WORKERS; default half the cores")
    parser.add_argument("--batch", type=int, help="largest batch; default 64, on the CPU 16")
    parser.add_argument("--instances", type=int, help="of the model; default 2, on the CPU 1")
    parser.add_argument("--callers", type=int, nargs="+", help="default 8 32 64 128 256, with --quick 4 16")
    parser.add_argument("--seconds", type=float, help="length of one run; default 8, with --quick 3")
    choice = parser.parse_args()
    choice.batch = choice.batch or (64 if choice.device == "cuda" else 16)
    choice.instances = choice.instances or (2 if choice.device == "cuda" else 1)
    choice.callers = choice.callers or ([4, 16] if choice.quick else [8, 32, 64, 128, 256])
    choice.seconds = choice.seconds or (3.0 if choice.quick else 8.0)
    report = Report("gpu", choice.docs)
    device = device_name(choice.device)
    installed = environment(choice)
    with contextlib.ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="srv-", dir="/tmp")))
        generator = exits.enter_context(Generator())
        serving = Serving(
            folder,
            triton_environment=installed,
            configuration=CONFIGURATION,
            repository=lambda place, model: repository(place, model, choice),
        )
        rates = alone(installed / "bin" / "python", serving, choice)
        exits.enter_context(serving)
        gateway = replace(serving.gateway(HTTP_WORKERS=str(choice.workers), INGEST_WORKER_PROCESSES="1"), name=GATEWAY)
        targets = {DIRECT: serving.triton(DIRECT, serving.model), GATEWAY: gateway.target(serving.picture)}
        found = measure(generator, targets, choice)
    show(report, device, rates, found)
    report.plot(draw(device, rates, found), "gpu.png", "Throughput and p99 in front of the device")
    report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
