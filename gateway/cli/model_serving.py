"""``cordon model list``, ``canary``, ``rollback``, ...: which version answers, at the machine that has the database."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.live import Live
from rich.table import Table

from gateway.admission.administrator import Administrator
from gateway.cli.database import database, database_on_record, run, telling
from gateway.cli.errors import explain_settings, fail
from gateway.settings import ModelSettings, TritonSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from gateway.models.administration import ModelAdministration, Standing, Warmth, Why
    from gateway.models.catalog import ModelCatalog
    from gateway.models.routes import ChangeReason

app = typer.Typer()

_Model = Annotated[str, typer.Argument(metavar="MODEL", help="Its name", show_default=False)]
_Target = Annotated[str, typer.Argument(metavar="MODEL@VERSION", help="Such as brain_mri_resnet50@2")]
_Percent = Annotated[int, typer.Argument(min=0, max=100, metavar="PERCENT", help="0 to 100")]
_Reason = Annotated[
    str,
    typer.Option(help="A code, which goes on record: release, canary, incident, maintenance, model-fault, test, other"),
]
_Note = Annotated[str, typer.Option(help="A sentence for the other operators; not on record")]


@app.command("list", epilog="Examples:\n\ncordon model list\n\ncordon model list --json | jq '.[].versions'")
def list_models(as_json: Annotated[bool, typer.Option("--json", help="For programs")] = False) -> None:
    """List models: versions, shares, what is loaded, and who changed it last."""

    async def work() -> tuple[Standing, ...]:
        from gateway.models.administration import ModelAdministration  # noqa: PLC0415 - see database.py
        from gateway.models.routes import Routes  # noqa: PLC0415

        async with database() as engine:
            routes = Routes(engine, cache_seconds=0)
            return await ModelAdministration(_catalog(), routes, _NoRecord(), _triton()).list()

    found = run(work())
    if as_json:
        typer.echo(json.dumps([_as_json(standing) for standing in found], indent=2))
    else:
        _print(found)


@app.command(
    epilog="Examples:\n\ncordon model canary brain_mri_resnet50@2 10 --reason canary\n\n"
    "cordon model canary brain_mri_resnet50@2 100 --reason release --note 'ten days without a difference'"
)
def canary(target: _Target, percent: _Percent, reason: _Reason, note: _Note = "") -> None:
    """Give a version a share of the patients: a patient always meets the same one. 100 makes it the only one.

    The version that answers most besides it has the rest. It must be loaded.
    """
    name, version = _read(target)
    why = _why(reason, note)
    _change(lambda models, by: models.canary(by, name, version, percent, why))


@app.command(
    epilog="Examples:\n\ncordon model rollback brain_mri_resnet50 --reason incident\n\n"
    "cordon model rollback brain_mri_resnet50 --to 1 --reason model-fault"
)
def rollback(
    model: _Model,
    reason: _Reason,
    note: _Note = "",
    to: Annotated[str, typer.Option(help="The version; else the one that had all before")] = "",
) -> None:
    """Everyone to the version that had all before, and no shadow. Holds on every worker within a second."""
    why = _why(reason, note)
    _change(lambda models, by: models.rollback(by, model, why, to))


@app.command(
    epilog="Examples:\n\ncordon model shadow brain_mri_resnet50@2 25 --reason test\n\n"
    "cordon model shadow brain_mri_resnet50@2 0 --reason test"
)
def shadow(target: _Target, percent: _Percent, reason: _Reason, note: _Note = "") -> None:
    """Give a version copies of so many percent of the requests; what it says is compared, and given to nobody.

    0 ends it. Outcomes are counted as cordon_shadow_copies_total, and each is a line model.shadow of the log.
    """
    name, version = _read(target)
    why = _why(reason, note)
    _change(lambda models, by: models.shadow(by, name, version, percent, why))


@app.command(epilog="Example:\n\ncordon model load brain_mri_resnet50@2 --reason release")
def load(target: _Target, reason: _Reason, note: _Note = "") -> None:
    """Load a version into the model server, once its weights are those of the manifest. Others answer all the while."""
    name, version = _read(target)
    why = _why(reason, note)
    _change(lambda models, by: models.load(by, name, version, why))


@app.command(epilog="Example:\n\ncordon model unload brain_mri_resnet50@1 --reason release")
def unload(target: _Target, reason: _Reason, note: _Note = "") -> None:
    """Take a version from the model server. One that answers, is the shadow, or would be fallen back to stays."""
    name, version = _read(target)
    why = _why(reason, note)
    _change(lambda models, by: models.unload(by, name, version, why))


@app.command(epilog="Examples:\n\ncordon model warm brain_mri_resnet50\n\ncordon model warm brain_mri_resnet50@2")
def warm(
    target: Annotated[str, typer.Argument(metavar="MODEL[@VERSION]", help="Without a version: the main one")],
) -> None:
    """Have a version answer black images at every batch size until times are steady; print first and warm times."""
    name, _, version = target.partition("@")
    table = Table(box=None, pad_edge=False)
    for title in ("IMAGES", "FIRST", "WARM", "FIRST / WARM", "ROUNDS"):
        table.add_column(title, justify="right")

    def told(warmth: Warmth) -> None:
        ratio = warmth.first / warmth.warm if warmth.warm else 0.0
        first, warm_ms = f"{warmth.first * 1000:.1f} ms", f"{warmth.warm * 1000:.1f} ms"
        table.add_row(str(warmth.images), first, warm_ms, f"{ratio:.2f}", str(warmth.rounds))
        live.refresh()

    async def work() -> None:
        from gateway.models.administration import ModelAdministration  # noqa: PLC0415 - see database.py
        from gateway.models.routes import Routes  # noqa: PLC0415

        async with database() as engine:
            models = ModelAdministration(_catalog(), Routes(engine, cache_seconds=0), _NoRecord(), _triton())
            await models.warm(name, version, told)

    with Live(table, console=Console(soft_wrap=False, markup=False, highlight=False), auto_refresh=False) as live:
        run(work())


class _NoRecord:
    """Where nothing is changed, there is nothing to record."""

    async def record(self, event: object) -> None:
        raise AssertionError(type(event).__name__)


def _change(change: Callable[[ModelAdministration, Administrator], Awaitable[Standing]]) -> None:
    async def work() -> Standing:
        async with _open() as models:
            return await change(models, Administrator.operator())

    _print((run(work()),))


@asynccontextmanager
async def _open() -> AsyncIterator[ModelAdministration]:
    from gateway.models.administration import ModelAdministration  # noqa: PLC0415 - see database.py
    from gateway.models.routes import Routes  # noqa: PLC0415

    catalog, triton = _catalog(), _triton()
    async with telling() as changes, database_on_record() as (engine, recorder):
        yield ModelAdministration(catalog, Routes(engine, cache_seconds=0, changes=changes), recorder, triton)


def _catalog() -> ModelCatalog:
    from gateway.models.catalog import ModelCatalog  # noqa: PLC0415 - see database.py

    try:
        settings = ModelSettings()
        return ModelCatalog.load(settings.policy, settings.repository)
    except (ValidationError, ValueError, OSError) as error:
        raise fail(explain_settings(error) if isinstance(error, ValidationError) else str(error)) from None


def _triton() -> str:
    try:
        return TritonSettings().url
    except ValidationError as error:
        raise fail(explain_settings(error)) from None


def _read(target: str) -> tuple[str, str]:
    name, _, version = target.partition("@")
    if not name or not version:
        raise fail("Write MODEL@VERSION, such as brain_mri_resnet50@2")
    return name, version


def _why(reason: str, note: str) -> Why:
    from gateway.models.administration import Why  # noqa: PLC0415 - see database.py
    from gateway.models.routes import ChangeReason  # noqa: PLC0415

    if reason not in get_args(ChangeReason):
        raise fail(f"--reason is one of: {', '.join(get_args(ChangeReason))}")
    return Why(cast("ChangeReason", reason), note)


def _print(found: tuple[Standing, ...]) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("MODEL", "VERSION", "SHARE", "LOADED", "ROLE", "WEIGHTS"):
        table.add_column(title, no_wrap=True, justify="right" if title == "SHARE" else "left")
    for standing in found:
        route = standing.served.route
        for version, spec in standing.offer.versions.items():
            loaded = "?" if standing.loaded is None else "yes" if version in standing.loaded else "no"
            roles = [f"shadow {route.shadow_share} %"] if version == route.shadow else []
            roles += ["fallback"] if version == standing.served.fallback else []
            share = f"{route.shares.get(version, 0)} %"
            table.add_row(spec.name, version, share, loaded, ", ".join(roles), spec.digest[:12])
    Console(soft_wrap=False, markup=False, highlight=False).print(table)
    for standing in found:
        if (change := standing.change) is not None:
            by, said = f"{change.changed_by}, {change.changed_at:%Y-%m-%d %H:%MZ}", change.note and f": {change.note}"
            typer.echo(f"{standing.offer.name}: {change.action} by {by}, {change.reason}{said}", err=True)


def _as_json(standing: Standing) -> dict[str, object]:
    route, change = standing.served.route, standing.change
    return {
        "name": standing.offer.name,
        "versions": [
            {
                "version": version,
                "digest": spec.digest,
                "share": route.shares.get(version, 0),
                "loaded": None if standing.loaded is None else version in standing.loaded,
            }
            for version, spec in standing.offer.versions.items()
        ],
        "shadow": route.shadow or None,
        "shadow_share": route.shadow_share,
        "fallback": standing.served.fallback or None,
        "changed_by": change.changed_by if change else None,
        "reason": change.reason if change else None,
        "note": change.note if change else None,
        "changed_at": change.changed_at.isoformat() if change else None,
    }
