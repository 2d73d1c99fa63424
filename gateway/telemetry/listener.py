"""Beside all steps: ``GET /metrics`` on a listener of its own, never on the public port (45 CFR 164.312(a)(1)).

It runs in a thread: the gateway's only process, or the parent of several, answers while requests are served. It has no
credentials: it listens on loopback unless set otherwise, and then belongs into a network that callers do not reach.
"""

from __future__ import annotations

import threading
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

    from prometheus_client.registry import Collector

PATH = "/metrics"
_PATIENCE_SECONDS = 5.0
_MOST_AT_ONCE = 4
_HEADERS = [
    ("Server", "cordon"),  # in place of the library's, which tells versions
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
]


class _Handler(WSGIRequestHandler):
    timeout = _PATIENCE_SECONDS  # of a scraper that sends nothing, or reads nothing

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Log nothing: a line holds the peer's address and what it sent."""


class _Server(ThreadingWSGIServer):
    """On a socket that is bound already; so many at once, others are closed unanswered."""

    def __init__(self, listener: socket.socket) -> None:
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_name, self.server_port = "", 0
        self.setup_environ()
        self._room = threading.BoundedSemaphore(_MOST_AT_ONCE)
        self.server_activate()

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._room.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a scraper that went away is no fault, and a traceback may show what it sent."""


def serve_metrics(listener: socket.socket, registry: Collector) -> Callable[[], None]:
    """Answer on this socket from now on, in a thread.

    Args:
        listener: Bound; listens from now on.
        registry: What is exported.

    Returns:
        A function that ends it and closes the socket.
    """
    server: WSGIServer = _Server(listener)
    server.set_app(_only(PATH, make_wsgi_app(registry)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, name="metrics", daemon=True)
    thread.start()

    def stop() -> None:
        server.shutdown()
        thread.join(_PATIENCE_SECONDS)
        server.server_close()

    return stop


def _only(path: str, exporting: Callable[..., Any]) -> Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]:
    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def begin(status: str, headers: list[tuple[str, str]]) -> object:
            return start_response(status, [*headers, *_HEADERS])

        if environ["PATH_INFO"] != path:
            status = HTTPStatus.NOT_FOUND
            begin(f"{status.value} {status.phrase}", [("Content-Type", "text/plain")])
            return [b"Metrics are at /metrics\n"]
        return cast("Iterable[bytes]", exporting(environ, begin))

    return answer
