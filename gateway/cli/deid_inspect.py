"""``cordon deid inspect``: one frame beside what would leave of it, in the terminal or as a picture."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated

import cv2
import typer
from rich.columns import Columns
from rich.console import Console
from rich.table import Table

from gateway.batch.errors import CannotStart, NotTaken
from gateway.batch.items import open_regular
from gateway.batch.job import largest_file
from gateway.batch.montage import as_text, fitted, outlined, side_by_side
from gateway.batch.outcome import Outcome
from gateway.batch.picture import Look, look
from gateway.batch.work import Task
from gateway.cli.deid_plan import LOCAL_TENANT, PolicyOption, TimeoutOption, make_plan
from gateway.cli.errors import fail
from gateway.cli.up import DEFAULT_STATE
from gateway.errors import GatewayError
from gateway.isolation import WorkerDefect, Workers

if TYPE_CHECKING:
    from gateway.batch.job import Plan
    from gateway.batch.montage import Box
    from gateway.batch.picture import Seen

_USAGE = 2
_GAP = 3


def inspect(  # noqa: PLR0917 - typer reads options from the signature
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="A DICOM file, JPEG or PNG")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", metavar="PNG", dir_okay=False, help="Write the picture here; it holds the original"
        ),
    ] = None,
    frame: Annotated[int, typer.Option(min=1, help="Which frame of several")] = 1,
    policy: PolicyOption = None,
    timeout: TimeoutOption = 300.0,
) -> None:
    """Show one frame twice: as it is, with what would be masked outlined in red, and as it would leave.

    It is drawn in the terminal, or written as a PNG with -o, which only you can read and which replaces no file.

    Exits with 0 if the file would leave, 1 if it would be refused, 2 if it cannot be looked at.
    """
    if out is not None and os.path.lexists(out):
        raise fail(f"{out} is there already: name another file", _USAGE)
    state = context.find_root().params.get("state", DEFAULT_STATE)
    try:
        plan = make_plan(
            [file],
            policy=policy,
            key_file=None,
            tenant=LOCAL_TENANT,
            jobs=1,
            seconds=timeout,
            state=state,
            say=None,
        )
        seen = asyncio.run(_look(plan, file, frame))
    except CannotStart as error:
        raise fail(str(error), _USAGE) from None
    except (GatewayError, WorkerDefect, NotTaken) as error:
        raise fail(Outcome.of_error("", "", 0, error).reason, _USAGE) from None
    _show(seen, frame, out)
    raise typer.Exit(1 if seen.refused else 0)


async def _look(plan: Plan, file: Path, frame: int) -> Seen:
    task = Task(_read(file, largest_file(plan.limits)), plan.tenant, plan.limits, plan.deid, os.getpid())
    return await Workers(plan.limits).run(look, Look(task, frame))


def _read(file: Path, limit: int) -> bytes:
    try:
        with os.fdopen(open_regular(str(file.resolve())), "rb") as opened:
            data = opened.read(limit + 1)
    except OSError as error:
        raise NotTaken.from_os(error) from None
    if len(data) > limit:
        raise NotTaken("too-large", f"It is larger than the {limit} bytes that one file may have")
    return data


def _show(seen: Seen, frame: int, out: Path | None) -> None:
    console = Console(highlight=False)
    if out is not None:
        _write(seen, out)
        Console(stderr=True, highlight=False, soft_wrap=True).print(
            f"{out} holds the original picture: keep it as you keep the scan.", markup=False
        )
    elif console.is_terminal:
        _draw(console, seen)
    if seen.regions:
        table = Table(box=None, pad_edge=False)
        for title in ("MASKED", "SOURCE", "LEFT", "TOP", "WIDTH", "HEIGHT"):
            table.add_column(title, justify="right")
        for number, region in enumerate(seen.regions, 1):
            table.add_row(str(number), region.source, *map(str, region.box))
        console.print(table)
    height, width = seen.original.shape[:2]
    where = f"Frame {frame} of {seen.frames}, {width} x {height}: "
    if seen.refused:
        console.print(f"{where}[bold red]the file would be refused.[/] {seen.refused}")
    elif seen.regions:
        console.print(f"{where}{seen.share:.1%} of it is changed; regions: {len(seen.regions)}.")
    else:
        console.print(f"{where}nothing is masked.")


def _draw(console: Console, seen: Seen) -> None:
    result = seen.original // 4 if seen.result is None else seen.result
    columns, rows = (console.width - _GAP) // 2, max(8, console.height - 4)
    left, boxes = fitted(seen.original, _boxes(seen), columns, rows)
    right, _ = fitted(result, (), columns, rows)
    console.print(Columns([as_text(outlined(left, boxes)), as_text(right)], padding=(0, _GAP)))


def _boxes(seen: Seen) -> list[Box]:
    return [region.box for region in seen.regions]


def _write(seen: Seen, out: Path) -> None:
    result = seen.original // 4 if seen.result is None else seen.result
    both = side_by_side(outlined(seen.original, _boxes(seen)), result)
    _, data = cv2.imencode(".png", cv2.cvtColor(both, cv2.COLOR_RGB2BGR))
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data.tobytes())
    except OSError as error:
        raise fail(f"{out} cannot be written: {error.strerror}", _USAGE) from None
