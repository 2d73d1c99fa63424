"""The command line: the stack as ``cordon up`` and ``cordon demo`` run it, from the port to the stop."""

from __future__ import annotations

import signal
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from gateway.cli.serve import listen, listen_for_metrics, url_of
from gateway.cli.steps import step
from gateway.embedded.errors import StackError
from gateway.embedded.stack import Stack
from gateway.embedded.triton import DEFAULT_CONFIGURATION
from gateway.settings import HttpSettings, LogSettings, MetricsSettings
from gateway.telemetry.logging import configure_logging

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path
    from types import FrameType

    from rich.console import Console

    from gateway.embedded.state import StateFolder

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """Someone asked for the end: Ctrl-C, SIGTERM, or the terminal was closed."""


@dataclass(frozen=True, slots=True)
class Running:
    """A stack that is ready.

    Attributes:
        stack: The servers.
        url: Base URL of the gateway.
        metrics_url: That of its metrics; None if they are switched off.
        first_key: The first key; None if the state folder holds keys already.
    """

    stack: Stack
    url: str
    metrics_url: str | None
    first_key: str | None


@contextmanager
def running(
    console: Console,
    state: StateFolder,
    *,
    triton: Path,
    host: str,
    port: int,
    workers: int,
    drain: float,
    configuration: str = DEFAULT_CONFIGURATION,
) -> Iterator[Running]:
    """Start everything, and stop everything at the block's end, however it ends.

    Raises:
        StackError: Something cannot be started, or the settings ask callers for certificates: this is one, without.
        Stopped: A signal asked for the end; raised in the block too.
        typer.Exit: The port is taken.
    """
    secure = bool(HttpSettings().tls_certificate)
    if HttpSettings().tls_client_ca:
        raise StackError(
            "HTTP_TLS_CLIENT_CA is for cordon serve: cordon up could not ask its own gateway. Take it away."
        )
    for number in _SIGNALS:
        signal.signal(number, _stop)
    # The port is taken before anything slow: if it is busy, that is known at once.
    with (
        _sockets(host, port) as (listener, metrics),
        state,
        Stack(state, triton_environment=triton, configuration=configuration) as stack,
    ):
        try:
            urls = url_of(listener, secure=secure), f"{url_of(metrics)}/metrics" if metrics is not None else None
            with step(console, "Starting Valkey, Triton and the gateway", "Valkey and Triton are ready"):
                stack.start()
                variables = {"HTTP_WORKERS": str(workers), "HTTP_DRAIN_SECONDS": str(drain)}
                stack.start_gateway(listener, variables, metrics, secure=secure)
                first_key = _first_key(stack)
                stack.wait_ready()
            with step(console, "Waiting for the gateway", "The gateway is ready"):
                stack.wait_gateway_ready()
            listener.close()  # the gateway's alone from here on: when it ends, callers are refused
            yield Running(stack, *urls, first_key)
        finally:
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_IGN)  # the end is bounded; a second Ctrl-C must not cut it short
            with step(console, "Letting running requests end, then stopping", "Everything is stopped"):
                stack.stop(HttpSettings().drain_pause_seconds + drain)


@contextmanager
def _sockets(host: str, port: int) -> Iterator[tuple[socket.socket, socket.socket | None]]:
    with listen(host, port) as listener, ExitStack() as rest:
        metrics = listen_for_metrics(MetricsSettings(), or_anywhere=True)
        if metrics is not None:
            rest.enter_context(metrics)
        yield listener, metrics


def _first_key(stack: Stack) -> str | None:
    if stack.state.has_keys:
        return None
    # SQLAlchemy takes a second or two to import: the first start alone waits for that.
    from gateway.embedded.first_key import issue_first_key  # noqa: PLC0415

    configure_logging(LogSettings(level="WARNING"), sys.stderr)  # of this process; the gateway's own log is its own
    key = issue_first_key(stack.variables())
    stack.state.note_keys()
    return key


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise Stopped
