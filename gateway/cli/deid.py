"""``cordon deid``: files, folders, zips and DICOMDIRs, de-identified on this machine without a gateway."""

from __future__ import annotations

import asyncio
import json
import signal
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from gateway.batch.errors import CannotStart
from gateway.batch.job import Job, write_list
from gateway.batch.outputs import check_apart
from gateway.cli.deid_inspect import inspect
from gateway.cli.deid_plan import LOCAL_TENANT, KeyFileOption, PolicyOption, TimeoutOption, make_plan
from gateway.cli.deid_view import Bar, changes, failures, summary
from gateway.cli.errors import fail
from gateway.cli.up import DEFAULT_STATE

if TYPE_CHECKING:
    from collections.abc import Coroutine

_USAGE = 2
_INTERRUPTED = 130
_FILES = "files"


class PathsOrInspect(TyperGroup):
    """``cordon deid inspect FILE`` is a command of its own; all else after ``cordon deid`` are paths and options.

    A file that is called inspect is named ./inspect.
    """

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the command that the words mean."""
        if args and args[0] == "inspect":
            return super().make_context(info_name, args, parent, **extra)
        return self.commands[_FILES].make_context(info_name, args, parent, **extra)


app = typer.Typer(cls=PathsOrInspect, help="De-identify files without a gateway; show what would be masked.")

TenantOption = Annotated[
    str,
    typer.Option(help="Organisation: the gateway gives the same stand-ins to images that this one sends"),
]


@app.command(
    _FILES,
    no_args_is_help=True,
    epilog="Examples:\n\n"
    "cordon deid scans/ -o clean/\n\n"
    "cordon deid scans/ --dry-run\n\n"
    "cordon deid study.zip /media/cdrom/DICOMDIR -o clean/ --policy research --json report.json\n\n"
    "cordon deid inspect scans/IM0001.dcm",
)
def deid(  # noqa: PLR0917 - typer reads options from the signature
    context: typer.Context,
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", exists=True, help="Files, folders, zip archives, DICOMDIR files")
    ],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FOLDER", file_okay=False, help="Where the results go")
    ] = None,
    policy: PolicyOption = None,
    key_file: KeyFileOption = None,
    tenant: TenantOption = LOCAL_TENANT,
    jobs: Annotated[
        int | None, typer.Option("-j", "--jobs", min=1, max=256, help="Files at a time; default: one a core")
    ] = None,
    timeout: TimeoutOption = 300.0,
    report: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", allow_dash=True, help="Write the report as JSON; - is stdout"),
    ] = None,
    failed_list: Annotated[
        Path | None,
        typer.Option(
            "--failed",
            metavar="FILE",
            help="List of failed and skipped files, with their paths; default: in the state folder",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write no result; show what would happen to each attribute, values hidden")
    ] = False,
) -> None:
    """De-identify files, folders, zip archives and the files that a DICOMDIR names, on all cores.

    The results are named by their stand-ins, PATIENT/STUDY/SERIES/INSTANCE.dcm; of the input's names nothing is kept.

    A file that fails stops nothing; it is listed with its reason.

    Interrupted? The same command goes on where it was.

    Exits with 0 if all is done, 1 if some files failed, 2 if it could not start.

    To see one file and what would be masked in it: cordon deid inspect --help
    """
    if out is None and not dry_run:
        raise typer.BadParameter("name the folder for the results: -o FOLDER (or look first: --dry-run)")
    state = context.find_root().params.get("state", DEFAULT_STATE)
    says = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        private = _list_path(failed_list, state)
        _check_places(out, private, report, paths)
        plan = make_plan(
            paths,
            policy=policy,
            key_file=key_file,
            tenant=tenant,
            jobs=jobs,
            seconds=timeout,
            state=state,
            say=None if dry_run else lambda text: says.print(text, markup=False),
        )
        bar = Bar("Looking" if dry_run else "De-identifying")
        job = Job(plan, bar, keep_files=report is not None)
        with bar:
            whole = _run(job.preview() if out is None or dry_run else job.sanitize(out))
    except CannotStart as error:
        raise fail(str(error), _USAGE) from None
    _tell(job, report, private, says)
    if not whole:
        says.print("Stopped. What is done is kept; the same command goes on from here.")
        raise typer.Exit(_INTERRUPTED)
    raise typer.Exit(1 if job.totals.failed else 0)


app.command(
    "inspect",
    no_args_is_help=True,
    epilog="Examples:\n\ncordon deid inspect scan.dcm\n\ncordon deid inspect cine.dcm --frame 12 -o look.png",
)(inspect)


def _run(work: Coroutine[Any, Any, None]) -> bool:
    """Whether it came to its end: Ctrl-C and SIGTERM stop it in order."""

    async def stoppable() -> bool:
        task = asyncio.current_task()
        assert task is not None
        asked = asyncio.Event()

        def stop() -> None:
            asked.set()
            task.cancel()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stop)
        try:
            await work
        except (asyncio.CancelledError, CannotStart):
            # A worker that was just starting may have taken Ctrl-C for its own, so that the run could not start.
            if not asked.is_set():
                raise
            return False
        return True

    return asyncio.run(stoppable())


def _list_path(named: Path | None, state: Path) -> Path:
    """Where the list of failed files goes: it holds their paths, so not into the results."""
    if named is not None:
        return named
    return state / "deid" / f"not-done-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}.csv"


def _check_places(out: Path | None, private: Path, report: Path | None, paths: list[Path]) -> None:
    """Refuse to write where a written file would destroy an input, or carry a path out with the results."""
    if out is not None:
        check_apart(out, paths)
        if out.resolve() in private.resolve().parents:
            raise CannotStart("The list of failed files holds their paths: name a place outside of the results")
    inputs = [path.resolve() for path in paths]
    for path in (private, report):
        if path is not None and any(path.resolve() == each or each in path.resolve().parents for each in inputs):
            raise CannotStart(f"{path} lies in an input: name a place outside of it")


def _tell(job: Job, report: Path | None, private: Path, says: Console) -> None:
    to_stdout = report is not None and str(report) == "-"
    console = says if to_stdout else Console(highlight=False)
    listed = list(job.changes)
    if listed:
        changes(console, listed)
        console.print()
    summary(console, job.totals, job.seconds)
    if job.listed:
        if says.is_terminal:
            failures(says, job.listed)
        try:
            private.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_list(private, job.listed)
            says.print(f"Failed and skipped files, with their paths: {private}", markup=False)
        except OSError as error:
            says.print(f"The list {private} cannot be written: {error.strerror}", markup=False)
    if report is not None:
        document = job.document() | ({"changes": [line.as_json() for line in listed]} if listed else {})
        text = json.dumps(document, indent=2) + "\n"
        if to_stdout:
            typer.echo(text, nl=False)
        else:
            try:
                report.write_text(text, encoding="utf-8")
            except OSError as error:
                raise fail(f"The report {report} cannot be written: {error.strerror}") from None
