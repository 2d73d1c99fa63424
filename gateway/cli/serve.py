"""``cordon serve``: the gateway alone, against servers that run elsewhere."""

from __future__ import annotations

import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from gateway.cli.errors import explain_settings, fail
from gateway.embedded.child import die_with_parent
from gateway.settings import Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from gateway.settings import HttpSettings


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: HTTP_HOST")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port; 0 is a free one; default: HTTP_PORT")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Processes; default: HTTP_WORKERS")] = None,
    fd: Annotated[int | None, typer.Option(min=3, help="Serve on this inherited socket instead")] = None,
) -> None:
    """Run the gateway against REDIS_URL, TRITON_URL and DATABASE_URL.

    Settings come from the environment and .env; `cordon settings` lists them all.
    """
    for name, value in (("HTTP_HOST", host), ("HTTP_PORT", port), ("HTTP_WORKERS", workers)):
        if value is not None:
            os.environ[name] = str(value)  # worker processes read it there too
    try:
        settings = Settings()
    except (ValidationError, ValueError, OSError) as error:
        raise fail(explain_settings(error)) from None
    listener = socket.socket(fileno=fd) if fd is not None else listen(settings.http.host, settings.http.port)
    if fd is None:
        address, bound = listener.getsockname()[:2]
        Console(stderr=True).print(f"Cordon on http://{address}:{bound}", highlight=False)
    run(settings.http, listener)


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound and not listening yet.

    Raises:
        typer.Exit: The port is taken or the address is not this machine's; it is said on stderr.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except PermissionError:
        listener.close()
        raise fail(
            f"Port {port} needs privileges. Take one above 1023: --port 8080, or --port 0 for a free one."
        ) from None
    except OSError as error:
        listener.close()
        if error.errno == 98:  # EADDRINUSE, errno(3)
            raise fail(
                f"Port {port} on {host} is in use. Name another with --port, or take a free one: --port 0."
            ) from None
        raise fail(f"Cannot listen on {host} port {port}: {error.strerror}") from None
    return listener


def run(http: HttpSettings, listener: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT, then let running requests end."""
    import uvicorn  # noqa: PLC0415 - not needed by the commands that do not serve
    from uvicorn.supervisors import Multiprocess  # noqa: PLC0415

    config = uvicorn.Config(
        "gateway.cli.serve:worker_application",
        factory=True,
        workers=http.workers,
        loop="uvloop",
        http="gateway.api.small_reads:SmallReads",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        # The peer's address is the socket's own; a header that anyone can send does not change it.
        proxy_headers=False,
        # Else a request on a kept-alive connection starts with the context, so the correlation ID, of the last.
        reset_contextvars=True,
        timeout_graceful_shutdown=max(1, round(http.drain_seconds)),
    )
    # uvicorn raises the signal again after its own shutdown: as an exit it lets the loop close what it holds.
    signal.signal(signal.SIGTERM, _exit)
    if http.workers == 1:
        try:
            uvicorn.Server(config).run(sockets=[listener])
        except KeyboardInterrupt:
            sys.exit(130)
        return
    os.environ[_SUPERVISOR] = str(os.getpid())
    listener.set_inheritable(True)
    Multiprocess(config, sockets=[listener]).run()


_SUPERVISOR = "CORDON_SUPERVISOR_PID"


def worker_application() -> ASGIApp:
    """The application, in the process that serves it. A killed supervisor leaves no worker behind."""
    supervisor = os.environ.get(_SUPERVISOR)
    if supervisor is not None:
        die_with_parent(int(supervisor))
    from gateway.app import create_app  # noqa: PLC0415 - the heavy imports: only where they are used

    return create_app()


def _exit(number: int, _frame: object) -> None:
    sys.exit(0 if number == signal.SIGTERM else 1)
