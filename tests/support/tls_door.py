"""A server's TLS where the wheels' Valkey and PostgreSQL have none: ends it and passes on what comes.

What does not begin with a TLS handshake is passed on as it is: servers that talk among themselves (Sentinel and its
master) use the same address. Whoever was let in by TLS is counted.
"""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

HANDSHAKE = 0x16
"""ContentType of a ClientHello's record, RFC 8446 §5.1."""
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""https://www.postgresql.org/docs/17/protocol-message-formats.html"""


class TlsDoor:
    """Listens on all of this machine's addresses.

    Args:
        context: How it shows itself, and whom it lets in.
        behind: The server: a port of 127.0.0.1, or a unix socket. May be set later.
    """

    def __init__(self, context: ssl.SSLContext, behind: int | Path | None = None) -> None:
        self.behind = behind
        self.secure = 0
        self._context = context
        self._listener = socket.create_server(("0.0.0.0", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(caller,), daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        try:
            first = caller.recv(8, socket.MSG_PEEK)
            if first == SSL_REQUEST:
                caller.recv(8)
                caller.sendall(b"S")
            if first == SSL_REQUEST or first[:1] == bytes([HANDSHAKE]):
                caller = self._context.wrap_socket(caller, server_side=True)
                self.secure += 1
            if isinstance(self.behind, int):
                server = socket.create_connection(("127.0.0.1", self.behind))
            else:
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self.behind))
        except OSError:
            caller.close()
            return
        threading.Thread(target=_pass_on, args=(server, caller), daemon=True).start()
        _pass_on(caller, server)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for each in (source, target):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
