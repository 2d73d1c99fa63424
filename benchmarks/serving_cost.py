"""What one JPEG costs in CPU: the bare script, the stack without promises, and the gateway; side by side, in one run.

    floor      decodes small (DCT scaling), resizes to uint8, sends by gRPC (benchmarks/serving/floor.py)
    peer       FastAPI UploadFile, Pillow at full size, float32, tritonclient.http, one process (peer.py)
    gateway    `cordon serve`: API key, three windows and a lease in Valkey, de-identification, two durable records

All ask one real Triton for a model that computes nothing, and their answers are held against each other. CPU is that of
all processes of a party, as the kernel counts it, over all requests of a round; that of Triton and Valkey is shown
apart. Rounds of all parties take turns, so that a busy machine is busy for all of them; ratios are medians of rounds.

The look for burned-in text, a neural network, is not part of the comparison: it is off in the policy `basic` of the
row "gateway" and on in that of the row "with the look", as it is shipped. The difference is the look's.

Examples:
    python benchmarks/serving_cost.py                            three minutes; writes docs/performance.md
    python benchmarks/serving_cost.py --quick --no-write         half a minute, for a first look
    python benchmarks/serving_cost.py --pictures 224x224 --callers 1 8 32 --no-look
"""

from __future__ import annotations

import math
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.serving import plots, rig
from benchmarks.serving.load import Generator
from benchmarks.serving.pictures import SIZES, pictures
from benchmarks.serving.processes import Cpu, cpu_of
from benchmarks.serving.report import Report, arguments, console, progress

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.serving.pictures import Picture
    from gateway.embedded.stack import Stack

GOAL_FLOOR, GOAL_PEER = 2.0, 1.0
STEPS = ("admit", "ingest", "deid", "preprocess", "infer", "audit", "total")


@dataclass(slots=True)
class Cost:
    """One party's rounds with one picture; milliseconds of CPU a request.

    Attributes:
        own: Of its processes.
        triton: Of the model server meanwhile.
        valkey: Of Valkey meanwhile.
        requests: Of all rounds.
    """

    own: list[Cpu] = field(default_factory=list)
    triton: list[float] = field(default_factory=list)
    valkey: list[float] = field(default_factory=list)
    requests: int = 0

    @property
    def total(self) -> float:
        return statistics.median(each.total for each in self.own)

    def part(self, name: str) -> float:
        return statistics.median(each.parts[name] for each in self.own)


class Meter:
    """Reads the CPU of one party and of the servers around a round."""

    def __init__(self, servers: Stack) -> None:
        assert servers.triton is not None
        assert servers.valkey is not None
        self._servers = servers.triton.child.pid, servers.valkey.child.pid

    def read(self, pid: int) -> tuple[Cpu, ...]:
        return tuple(cpu_of(each) for each in (pid, *self._servers))

    def note(self, cost: Cost, pid: int, before: tuple[Cpu, ...], count: int) -> None:
        own, triton, valkey = ((now - then) / (count / 1e3) for now, then in zip(self.read(pid), before, strict=True))
        cost.own.append(own)
        cost.triton.append(triton.total)
        cost.valkey.append(valkey.total)
        cost.requests += count


@dataclass(slots=True)
class Found:
    """All of one picture.

    Attributes:
        costs: Party, and for servers the callers, to what it cost.
        decoding: Of the floor, milliseconds without the sending, by round.
        steps: Step to milliseconds of wall clock at one caller (Server-Timing).
        look: The same for the gateway with the look.
    """

    costs: dict[str, Cost] = field(default_factory=dict)
    decoding: list[float] = field(default_factory=list)
    steps: dict[str, float] = field(default_factory=dict)
    look: dict[str, float] = field(default_factory=dict)

    def ratio(self, one: str, other: str) -> float:
        """The median of the rounds' ratios."""
        pairs = zip(self.costs[one].own, self.costs[other].own, strict=True)
        return statistics.median(ours.total / theirs.total for ours, theirs in pairs)


def steps_of(party: rig.Party, picture: Picture, count: int) -> dict[str, float]:
    """Medians of what its answers say of their own steps."""
    told = [rig.milliseconds(party.ask(picture)[1]) for _ in range(count)]
    return {step: statistics.median(each.get(step, 0.0) for each in told) for step in STEPS}


def same(parties: Iterable[rig.Party], picture: Picture, logits: list[float]) -> None:
    """All say what the floor says of it; decoding at other scales moves the last digits.

    Raises:
        RuntimeError: One does not.
    """
    weights = [math.exp(each - max(logits)) for each in logits]
    expected = [weight / sum(weights) for weight in weights]
    for party in parties:
        answer: dict[str, Any] = party.ask(picture)[0]
        if party.name == "peer":
            theirs = [math.exp(each - max(answer["logits"])) for each in answer["logits"]]
            given = [each / sum(theirs) for each in theirs]
        else:
            given = list(answer["probabilities"].values())
        if max(abs(one - other) for one, other in zip(given, expected, strict=True)) > 0.02:
            raise RuntimeError(f"{party.name} says {given} of {picture.name}, the floor {expected}")


def measure(chosen: Any) -> dict[str, Found]:
    """All pictures, all parties, in turns."""
    rounds, seconds, count = (1, 1.5, 100) if chosen.quick else (chosen.rounds, chosen.seconds, 300)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cost-", dir="/tmp")))
        generator = stack.enter_context(Generator())
        servers = stack.enter_context(rig.stack(folder / "servers"))
        floor = rig.Floor(servers)
        floor_pid = stack.enter_context(floor).pid
        peer = stack.enter_context(rig.peer(servers, folder))
        gateway = stack.enter_context(rig.gateway(servers, folder / "gateway", look=False))
        looking = (
            [] if chosen.no_look else [stack.enter_context(rig.gateway(servers, folder / "look", "with the look"))]
        )
        meter = Meter(servers)
        found = {picture.name: Found() for picture in pictures(folder) if picture.name in chosen.pictures}
        runs = [(peer, chosen.callers[-1])] + [(gateway, callers) for callers in chosen.callers]
        runs += [(party, chosen.callers[-1]) for party in looking]
        bar = stack.enter_context(progress())
        task = bar.add_task("", total=rounds * len(found) * (len(runs) + 1))
        for turn in range(rounds):
            for picture in pictures(folder):
                if picture.name not in found:
                    continue
                of_picture = found[picture.name]
                bar.update(task, description=f"round {turn + 1}, {picture.name}")
                logits = floor.run(picture, count // 10)["logits"]
                same((peer, gateway, *looking), picture, logits)
                before = meter.read(floor_pid)
                floor.run(picture, count)
                meter.note(of_picture.costs.setdefault("floor", Cost()), floor_pid, before, count)
                of_picture.decoding.append(1e3 * floor.run(picture, count, sending=False)["cpu"] / count)
                bar.advance(task)
                for party, callers in runs:
                    target = party.target(picture)
                    generator.closed(target, callers, seconds / 4, warm=0.0)
                    before = meter.read(party.pid)
                    run = generator.closed(target, callers, seconds, warm=0.0)
                    if set(run.status.tolist()) != {200}:
                        raise RuntimeError(f"{party.name}: not every answer was 200: {set(run.status.tolist())}")
                    cost = of_picture.costs.setdefault(f"{party.name} @{callers}", Cost())
                    meter.note(cost, party.pid, before, len(run.status))
                    bar.advance(task)
                of_picture.steps = steps_of(gateway, picture, count // 10)
                for party in looking:
                    of_picture.look = steps_of(party, picture, 5)
    return found


def tell(report: Report, found: dict[str, Found], callers: list[int]) -> None:
    """The tables."""
    most = callers[-1]
    ours, peer, look = f"gateway @{most}", f"peer @{most}", f"with the look @{most}"
    report.table(
        f"CPU milliseconds a request, {most} callers; the look for text excluded",
        (
            "picture",
            "floor",
            "peer",
            "gateway",
            "gateway / floor",
            "gateway / peer",
            f"goals: {GOAL_FLOOR}, {GOAL_PEER}",
        ),
        [
            (
                name,
                f"{each.costs['floor'].total:.2f}",
                f"{each.costs[peer].total:.2f}",
                f"{each.costs[ours].total:.2f}",
                f"{each.ratio(ours, 'floor'):.2f}",
                f"{each.ratio(ours, peer):.2f}",
                "; ".join(
                    "met" if each.ratio(ours, other) <= goal else "missed"
                    for other, goal in (("floor", GOAL_FLOOR), (peer, GOAL_PEER))
                ),
            )
            for name, each in found.items()
        ],
    )
    rows = []
    for name, each in found.items():
        decoding = statistics.median(each.decoding)
        rows.append((f"{name}, floor", f"{each.costs['floor'].total:.2f}", "", "", f"{decoding:.2f} decoding"))
        rows += [
            (
                f"{name}, {party}",
                f"{cost.total:.2f}",
                *(f"{cost.part(part):.2f}" for part in ("main", "threads", "workers")),
            )
            for party, cost in each.costs.items()
            if party != "floor"
        ]
    report.table(
        "CPU milliseconds a request, by process",
        ("party @callers", "all", "main thread", "other threads", "workers"),
        rows,
    )
    report.table(
        "Steps of the gateway, milliseconds of wall clock at one caller (Server-Timing)",
        ("picture", *STEPS),
        [(name, *(f"{each.steps[step]:.1f}" for step in STEPS)) for name, each in found.items()],
    )
    if any(each.look for each in found.values()):
        report.table(
            "The look for burned-in text, apart: CPU milliseconds a request",
            ("picture", "without", "with", "the look", "wall clock of step deid with it"),
            [
                (
                    name,
                    f"{each.costs[ours].total:.2f}",
                    f"{each.costs[look].total:.2f}",
                    f"{each.costs[look].total - each.costs[ours].total:.2f}",
                    f"{each.look['deid']:.1f}",
                )
                for name, each in found.items()
            ],
        )
    report.table(
        "The servers meanwhile: CPU milliseconds a request",
        (
            "picture",
            *(
                f"{server}, {party.split(' @')[0]}"
                for server in ("Triton", "Valkey")
                for party in ("floor", peer, ours)
            ),
        ),
        [
            (
                name,
                *(f"{statistics.median(each.costs[party].triton):.2f}" for party in ("floor", peer, ours)),
                *(f"{statistics.median(each.costs[party].valkey):.2f}" for party in ("floor", peer, ours)),
            )
            for name, each in found.items()
        ],
    )
    counts = {
        party: sum(each.costs[party].requests for each in found.values()) for party in next(iter(found.values())).costs
    }
    report.line("Requests measured: " + ", ".join(f"{party} {count:,}" for party, count in counts.items()) + ".")


def draw(report: Report, found: dict[str, Found], callers: list[int]) -> None:
    """Bars by picture: what each party's CPU goes to."""
    most = callers[-1]
    figure, axes = plots.panels(len(found), height=3.8)
    for axis, (name, each) in zip(axes, found.items(), strict=True):
        floor, peer, ours = each.costs["floor"], each.costs[f"peer @{most}"], each.costs[f"gateway @{most}"]
        decoding = statistics.median(each.decoding)
        parts = (
            ("decode, resize, send", (floor.total, peer.total, 0.0)),
            ("worker: decode, de-identify, tensor", (0.0, 0.0, ours.part("workers"))),
            ("event loop: HTTP, admission, gRPC", (0.0, 0.0, ours.part("main"))),
            ("threads: audit store", (0.0, 0.0, ours.part("threads"))),
        )
        bottom = [0.0, 0.0, 0.0]
        for (label, values), colour in zip(parts, plots.COLOURS, strict=False):
            axis.bar(("floor", "peer", "gateway"), values, 0.6, bottom=bottom, label=label, color=colour)
            bottom = [low + value for low, value in zip(bottom, values, strict=True)]
        plots.goal(axis, GOAL_FLOOR * floor.total, "2 times the floor")
        axis.annotate(f"of it decoding {decoding:.1f}", (0, floor.total), xytext=(0, 4), textcoords="offset points",
                      ha="center", fontsize=8)  # fmt: skip
        axis.set_title(name)
        axis.set_ylabel("CPU ms a request")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    report.plot(figure, "cost.png", "CPU a request, by party and picture")


def main() -> int:
    """See the module."""
    parser = arguments(__doc__)
    names = [f"{width}x{height}" for width, height in SIZES]
    parser.add_argument("--rounds", type=int, default=3, help="of each kind")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one party's turn")
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 8], help="at once; the last is compared")
    parser.add_argument("--pictures", nargs="+", choices=names, default=names)
    parser.add_argument("--no-look", action="store_true", help="without the row of the look for text")
    chosen = parser.parse_args()
    report = Report("cost", chosen.docs)
    found = measure(chosen)
    tell(report, found, chosen.callers)
    draw(report, found, chosen.callers)
    report.write()
    missed = [
        name
        for name, each in found.items()
        if each.ratio(f"gateway @{chosen.callers[-1]}", "floor") > GOAL_FLOOR
        or each.ratio(f"gateway @{chosen.callers[-1]}", f"peer @{chosen.callers[-1]}") > GOAL_PEER
    ]
    console.print(f"Goals missed: {', '.join(missed)}" if missed else "Goals met.", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
