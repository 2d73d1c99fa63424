"""``cordon serve``: the gateway alone, against servers that run elsewhere."""

from __future__ import annotations

import gc
import math
import os
import signal
import socket
import sys
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from prometheus_client import CollectorRegistry
from pydantic import ValidationError
from rich.console import Console

from gateway.cli.errors import explain_settings, fail
from gateway.draining import CUT_SECONDS
from gateway.embedded.child import die_with_parent
from gateway.settings import Settings
from gateway.telemetry.listener import serve_metrics
from gateway.telemetry.shared_folder import VARIABLE as SHARED_FOLDER
from gateway.telemetry.shared_folder import SharedNumbers, shared_folder
from gateway.tls import CertificateError, check, listener_context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp

    from gateway.settings import HttpSettings, MetricsSettings


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: HTTP_HOST")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port; 0 is a free one; default: HTTP_PORT")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Processes; default: HTTP_WORKERS")] = None,
    fd: Annotated[int | None, typer.Option(min=3, help="Serve on this inherited socket instead")] = None,
    metrics_fd: Annotated[
        int | None, typer.Option(min=3, help="Serve metrics on this inherited socket instead")
    ] = None,
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
    try:
        check(settings)
    except CertificateError as error:
        raise fail(str(error)) from None
    listener = socket.socket(fileno=fd) if fd is not None else listen(settings.http.host, settings.http.port)
    if metrics_fd is not None:
        metrics: socket.socket | None = socket.socket(fileno=metrics_fd)
    else:  # with a socket given, there may be several gateways on this machine
        metrics = listen_for_metrics(settings.metrics, or_anywhere=fd is not None)
    console = Console(stderr=True)
    if fd is None:
        console.print(f"Cordon on {url_of(listener, secure=bool(settings.http.tls_certificate))}", highlight=False)
    if metrics is not None and metrics_fd is None:
        console.print(f"Metrics on {url_of(metrics)}/metrics", highlight=False)
    run(settings.http, listener, metrics)


def url_of(listener: socket.socket, *, secure: bool = False) -> str:
    """Where a bound socket is reached over HTTP, or HTTPS."""
    host, port = listener.getsockname()[:2]
    scheme = "https" if secure else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def listen_for_metrics(metrics: MetricsSettings, *, or_anywhere: bool = False) -> socket.socket | None:
    """A bound socket for the metrics; None if they are switched off.

    Args:
        metrics: Where.
        or_anywhere: Take a free port if the one that nobody set is taken.

    Raises:
        typer.Exit: As ``listen``.
    """
    if not metrics.enabled:
        return None
    if or_anywhere and "port" not in metrics.model_fields_set:
        with suppress(OSError):
            return bound(metrics.host, metrics.port)
        return listen(metrics.host, 0)
    return listen(metrics.host, metrics.port, "METRICS_PORT")


def bound(host: str, port: int) -> socket.socket:
    """A socket that is bound and not listening yet. Raises OSError."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def listen(host: str, port: int, setting: str = "--port") -> socket.socket:
    """A socket that is bound and not listening yet.

    Args:
        host: Address.
        port: Port; 0 for a free one.
        setting: Where another port is named, for the message.

    Raises:
        typer.Exit: The port is taken or the address is not this machine's; it is said on stderr.
    """
    try:
        return bound(host, port)
    except PermissionError:
        raise fail(
            f"Port {port} needs privileges. Take one above 1023: {setting} 8080, or {setting} 0 for a free one."
        ) from None
    except OSError as error:
        if error.errno == 98:  # EADDRINUSE, errno(3)
            raise fail(
                f"Port {port} on {host} is in use. Name another with {setting}, or take a free one: {setting} 0."
            ) from None
        raise fail(f"Cannot listen on {host} port {port}: {error.strerror}") from None


def run(http: HttpSettings, listener: socket.socket, metrics: socket.socket | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then let running requests end.

    Args:
        http: How.
        listener: Bound, for requests.
        metrics: Bound, for metrics; None where they are not served.
    """
    import uvicorn  # noqa: PLC0415 - not needed by the commands that do not serve
    from uvicorn.supervisors import Multiprocess  # noqa: PLC0415

    alone = http.workers == 1
    config = uvicorn.Config(
        partial(application, metrics) if alone else "gateway.cli.serve:worker_application",
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
        ssl_context_factory=partial(listener_context, http) if http.tls_certificate else None,
        # What still runs after HTTP_DRAIN_SECONDS is told 503 by gateway/draining.py; this ends what does not listen.
        timeout_graceful_shutdown=math.ceil(http.drain_seconds + CUT_SECONDS),
    )
    # uvicorn raises the signal again after its own shutdown: as an exit it lets the loop close what it holds.
    signal.signal(signal.SIGTERM, _exit)
    if alone:
        try:
            uvicorn.Server(config).run(sockets=[listener])
        except KeyboardInterrupt:
            sys.exit(130)
        return
    os.environ[_SUPERVISOR] = str(os.getpid())
    listener.set_inheritable(True)

    class Supervisor(Multiprocess):
        """Holds the socket no longer than the processes that accept from it: nobody is to wait there for an answer."""

        def terminate_all(self) -> None:
            super().terminate_all()
            listener.close()

    with metrics_of_all(metrics):
        Supervisor(config, sockets=[listener]).run()


@contextmanager
def metrics_of_all(metrics: socket.socket | None) -> Iterator[None]:
    """Serve, from this process, what the processes that it starts count (docs/adr/0030)."""
    if metrics is None:
        yield
        return
    with shared_folder() as folder:
        os.environ[SHARED_FOLDER] = str(folder)  # read by prometheus-client when a worker imports it
        registry = CollectorRegistry()
        registry.register(SharedNumbers(folder))
        stop = serve_metrics(metrics, registry)
        try:
            yield
        finally:
            stop()


_SUPERVISOR = "CORDON_SUPERVISOR_PID"


def application(metrics: socket.socket | None = None) -> ASGIApp:
    """The application, with its metrics on that socket if this process is the only one."""
    from gateway.app import create_app  # noqa: PLC0415 - the heavy imports: only where they are used

    app = create_app()
    gc.freeze()  # what imports made stays: to look through it, as each full collection would, takes 0.12 s
    if metrics is not None:
        serve_metrics(metrics, app.state.metrics)
    return app


def worker_application() -> ASGIApp:
    """The application, in the process that serves it. A killed supervisor leaves no worker behind."""
    supervisor = os.environ.get(_SUPERVISOR)
    if supervisor is not None:
        die_with_parent(int(supervisor))
    return application()


def _exit(number: int, _frame: object) -> None:
    sys.exit(0 if number == signal.SIGTERM else 1)
