"""``cordon audit export`` and ``send``: records taken away, with their proof; and whether what was taken is whole."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from gateway.audit.export import Format  # noqa: TC001 - likewise
from gateway.audit.exporting import Exporting
from gateway.audit.keys import KeyRing
from gateway.audit.reader import AuditReader
from gateway.audit.search import Filters
from gateway.audit.sending import Sending
from gateway.audit.statements import TrustedKeys
from gateway.audit.syslog import Receiver
from gateway.audit.verify_export import ExportReport, Proof, is_record, verify_bytes, verify_records
from gateway.cli.audit_open import (
    Actor,
    Model,
    Outcome,
    Patient,
    Request,
    Since,
    Tenant,
    Type,
    Until,
    bar,
    engine_of_log,
    recording,
    run,
    settings_of_log,
    whoever,
)
from gateway.cli.errors import fail
from gateway.settings import AuditSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE_BYTES = 2**20
After = Annotated[int, typer.Option(metavar="NUMBER", min=0, help="Only records of a greater number")]


def export(  # noqa: PLR0917 - typer reads options from the signature
    since: Since = None,
    until: Until = None,
    kind: Type = None,
    actor: Actor = None,
    tenant: Tenant = None,
    outcome: Outcome = None,
    request: Request = None,
    patient: Patient = None,
    model: Model = None,
    form: Annotated[Format, typer.Option("--format", help="fhir: FHIR R4; dicom: PS3.15 A.5")] = "ndjson",
    after: After = 0,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="File; without it, stdout")] = None,
    proof: Annotated[Path | None, typer.Option(help="File of the proof; FILE.proof beside an output in a file")] = None,
) -> None:
    """Write records, the oldest first. NDJSON ends with its proof; that of any other format is a file of its own."""
    settings = settings_of_log()
    filters = Filters(since, until, kind, actor, tenant, outcome, request, patient, model)
    if proof is None and output is not None and form != "ndjson":
        proof = output.with_name(output.name + ".proof")
    progress = bar("Exporting", disable=output is None)

    async def work(stream: BinaryIO) -> None:
        async with engine_of_log() as engine:
            reader = AuditReader(engine, settings)
            await reader.check()
            async with recording(engine, settings) as recorder:
                task = progress.add_task("export", total=None)
                running = await Exporting(reader, recorder, settings).begin(
                    whoever(), form, filters, after, lambda reached: progress.update(task, completed=reached)
                )
                progress.update(task, total=running.until)
                try:
                    async for piece in running.pieces():
                        stream.write(piece)
                    stream.flush()
                finally:
                    await running.broken_off()
        if proof is not None:
            proof.write_bytes(running.proof)
        if output is not None:
            typer.echo(f"{running.export.records} records, {running.export.bytes} bytes", err=True)

    try:
        with ExitStack() as stack:
            stream = sys.stdout.buffer if output is None else stack.enter_context(output.open("xb"))
            stack.enter_context(progress)
            run(work(stream))
    except FileExistsError:
        raise fail("The output exists already; name another file") from None
    except OSError as error:
        raise fail(f"The output cannot be written ({type(error).__name__})") from None


def send(  # noqa: PLR0917 - typer reads options from the signature
    to: Annotated[str, typer.Option(metavar="URL", help="tls://HOST or tls://HOST:PORT; 6514 unless given")],
    since: Since = None,
    until: Until = None,
    kind: Type = None,
    actor: Actor = None,
    tenant: Tenant = None,
    outcome: Outcome = None,
    after: After = 0,
    ca: Annotated[Path | None, typer.Option(help="PEM file of the receiver's CA; the system's unless given")] = None,
    cert: Annotated[Path | None, typer.Option(help="PEM file of our certificate, for mutual TLS")] = None,
    key: Annotated[Path | None, typer.Option(help="PEM file of its key")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as records are added")] = False,
) -> None:
    """Send records as DICOM audit messages (PS3.15 A.5) by syslog over TLS (RFC 5424, 5425), the oldest first."""
    try:
        receiver = Receiver.parse(to, ca, cert, key)
    except ValueError as error:
        raise fail(str(error)) from None
    settings = settings_of_log()
    filters = Filters(since, until, kind, actor, tenant, outcome)
    progress = bar("Sending", disable=follow)

    async def work() -> Sending:
        async with engine_of_log() as engine:
            reader = AuditReader(engine, settings)
            await reader.check()
            async with recording(engine, settings) as recorder:
                sending = Sending(reader, recorder, settings, receiver=receiver, who=whoever())
                task = progress.add_task("send", total=None)
                if follow:
                    await sending.follow(filters, after)
                else:
                    await sending.send(
                        filters, after, lambda reached, end: progress.update(task, completed=reached, total=end)
                    )
                return sending

    try:
        with progress:
            sent = run(work())
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    typer.echo(f"{sent.records} records sent; go on with --after {sent.last}", err=True)


def verify_file(export: Path, proofs: list[Path], public_keys: list[str]) -> ExportReport:
    """Verify an export, with what is in the files alone; with the chain's key too where it is set."""
    report = ExportReport()
    try:
        trusted = _trusted(public_keys)
        inline, shows_chain = _inline_proof(export)
        lines = [*inline, *(line for path in proofs for line in path.read_bytes().splitlines(keepends=True))]
        proof = Proof(lines, trusted, report)
        if not shows_chain:
            return verify_bytes(_pieces(export), proof, report)
        with bar("Verifying") as progress, export.open("rb") as stream:
            task = progress.add_task("verify", total=export.stat().st_size)
            records = (line for line in stream if is_record(line))
            return verify_records(records, proof, report, _keys(), lambda size: progress.advance(task, size))
    except OSError as error:
        raise fail(f"A file cannot be read ({type(error).__name__})") from None


def _trusted(public_keys: list[str]) -> TrustedKeys:
    try:
        given = [bytes.fromhex(text) for text in public_keys]
    except ValueError:
        given = [b""]
    if any(len(key) != 32 for key in given):
        raise fail("A public key has 64 hexadecimal digits: see cordon audit public-key, at the gateway")
    return TrustedKeys(given) if given else TrustedKeys.of(settings_of_log())


def _keys() -> KeyRing | None:
    settings = AuditSettings()
    return KeyRing.of(settings) if settings.chain_key.get_secret_value() else None


def _inline_proof(export: Path) -> tuple[list[bytes], bool]:
    """The statements among the lines of an NDJSON export, and whether it is one."""
    with export.open("rb") as stream:
        first = stream.readline()
        if not (is_record(first) or first.startswith(b'{"')) or b'"resourceType"' in first:
            return [], False
        lines = [] if is_record(first) else [first]
        lines += [line for line in stream if not is_record(line)]
    return lines, True


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE_BYTES):
            yield piece


def mount(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(
        epilog="Examples:\n\ncordon audit export --since 2026-01-01 --until 2026-02-01 > january.ndjson\n\n"
        "cordon audit export --format fhir --since 7d -o week.json"
    )(export)
    app.command(
        epilog="Example:\n\ncordon audit send --to tls://audit.st-mary.example:6514 --ca ca.pem --since 24h --follow"
    )(send)
